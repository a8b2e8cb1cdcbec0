"""Two API processes on one PostgreSQL and one Redis: what one takes away, the other refuses on the
next request, limits are one limit, and without Redis the database answers for both."""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from support.crash_pair import API, KINDS, Pair, take_away
from support.crash_server import Loaded, QuickServer
from support.databases import PostgresDatabases
from support.live import Cast, a_cast, a_password, ok
from support.proof import record, scale
from support.servers import ThrowAwayRedis, a_redis

pytestmark = [
    pytest.mark.parametrize("databases", ["postgresql"], indirect=True),  # SQLite has one server
    pytest.mark.timeout(scale(240, 3600)),
]
FOLLOW_UPS = 10
AT_ONCE = 40
_AFRESH = 60  # turns after which those who take away sign in anew: tokens live for 15 minutes


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowAwayRedis]:
    with a_redis(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


@pytest.fixture(scope="module")
async def servers(
    databases: PostgresDatabases, redis: ThrowAwayRedis, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[list[QuickServer]]:
    folder = tmp_path_factory.mktemp("two")
    async with databases.empty() as url:
        env = {
            "MAESTRO_DATABASE__URL": url,
            "MAESTRO_DATABASE__POOL_SIZE": "5",
            "MAESTRO_REDIS__URL": redis.url,
            "MAESTRO_SECRET_KEY": os.urandom(32).hex(),
        }
        with Loaded() as loaded:
            both = [QuickServer(folder / name, env, loaded=loaded) for name in ("one", "two")]
            with both[0], both[1]:
                yield both


@pytest.fixture(scope="module")
def cast(servers: list[QuickServer]) -> Cast:
    return a_cast(servers[1])  # each start makes a new secret for the first admin


@pytest.fixture
async def pair(servers: list[QuickServer], cast: Cast) -> AsyncIterator[Pair]:
    with cast.client("adminA") as admin:
        tenant: str = ok(admin.get("/tenants/current"))["id"]
    async with Pair(servers, cast, tenant).opened() as pair:
        yield pair
    for server in servers:
        assert "Traceback" not in server.logged.read_text()


@contextmanager
def stopped(redis: ThrowAwayRedis) -> Iterator[None]:
    redis.stop()
    try:
        yield
    finally:
        redis.start()


async def taken_away(pair: Pair, turns: int) -> None:
    for turn in range(turns):
        if turn % _AFRESH == 0:
            for name in ("root", "adminA"):
                pair.cast.sign_in(name)
        kind = list(KINDS)[turn % len(KINDS)]
        after = await take_away(pair, kind, turn // len(KINDS), FOLLOW_UPS)
        assert after == {KINDS[kind]: FOLLOW_UPS}, kind
    record("two processes: things taken away at one of them", turns)
    record("two processes: requests after that, all refused", turns * FOLLOW_UPS)


async def limited(pair: Pair, **limits: int | None) -> None:
    await pair.by("root", 0, "PATCH", f"/tenants/{pair.tenant}", {"limits": limits})


async def filled_up(pair: Pair) -> None:
    """Room for seven, and forty who want it."""
    admin = pair.cast.sign_in("adminA").bearer
    usage = (await pair.by("adminA", 0, "GET", "/tenants/current"))["usage"]["projects"]
    await limited(pair, max_projects=usage + 7)
    bodies = [{"name": secrets.token_hex(12)} for _ in range(AT_ONCE)]
    done = await pair.race("POST", f"{API}/projects", bodies, admin)
    assert done == {201: 7, 409: AT_ONCE - 7}
    await limited(pair, max_projects=1_000_000)


async def found_out(pair: Pair) -> None:
    """A sixth time comes after twelve minutes, so however slow the machine is, it is five."""
    body = {"email": pair.cast["viewerA"].email, "password": a_password(), "name": "N"}
    done = await pair.race("POST", f"{API}/auth/register", [body] * AT_ONCE)
    assert done == {409: 5, 429: AT_ONCE - 5}


@pytest.mark.rows(32, 33, 35, 36, 41, 77)
async def test_what_one_takes_away_the_other_refuses(pair: Pair) -> None:
    await limited(pair, max_projects=1_000_000)
    await taken_away(pair, scale(12, 1000))


@pytest.mark.rows(77)
async def test_a_tenants_requests_are_counted_at_both_together(pair: Pair) -> None:
    """Two a minute: a third one comes after half of one."""
    viewer = pair.cast.sign_in("viewerA").bearer
    await limited(pair, max_requests_per_minute=2)
    try:
        done = await pair.race("GET", f"{API}/projects", [None] * AT_ONCE, viewer)
        assert done == {200: 2, 429: AT_ONCE - 2}
    finally:
        await limited(pair, max_requests_per_minute=None)


@pytest.mark.rows(63)
async def test_a_quota_holds_across_both(pair: Pair) -> None:
    for _ in range(scale(1, 25)):
        await filled_up(pair)


@pytest.mark.rows(49, 50)
async def test_an_address_learns_of_five_accounts_at_both_together(pair: Pair) -> None:
    for _ in range(scale(1, 25)):
        await found_out(pair)


@pytest.mark.rows(77)
async def test_without_redis_the_database_answers_for_both(
    pair: Pair, redis: ThrowAwayRedis
) -> None:
    with stopped(redis):
        await taken_away(pair, scale(6, 120))
        for _ in range(scale(1, 10)):
            await filled_up(pair)
            await found_out(pair)
    await taken_away(pair, scale(6, 120))  # some before they ask Redis again, some after
