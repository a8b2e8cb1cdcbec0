"""Redis as a cache of what has ended: it may refuse, never let in, and may be gone."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisGone
from sqlalchemy import update

from maestro_ml.db.engine import make_engines
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity.lookup import Lookup
from maestro_ml.identity.models import Session
from maestro_ml.identity.service import sessions as verbs
from support.absent import absent
from support.databases import REDIS
from support.forgery import unpack
from support.servers import a_redis
from support.signin import SignInServer, a_signin_server


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    redis = Redis.from_url(REDIS)
    try:
        await redis.ping()
    except RedisGone:
        await redis.aclose()
        absent(f"no Redis answers at {REDIS}")
    yield redis
    await redis.aclose()


@pytest.fixture
async def server(redis: Redis, sessions: Sessions, tmp_path: Path) -> AsyncIterator[SignInServer]:
    async with a_signin_server(sessions, tmp_path, redis={"url": REDIS}) as server:
        yield server


def session_of(token: str) -> str:
    sid: str = unpack(token)[1]["sid"]
    return sid


async def test_an_ended_session_is_told_for_as_long_as_its_tokens_could_live(
    server: SignInServer, redis: Redis
) -> None:
    made = await server.register()
    await server.post("logout", authorization=f"Bearer {made['access_token']}")
    await server.identity.revocations.settled()
    key = f"revoked:sid:{session_of(made['access_token'])}"
    assert 890 < await redis.ttl(key) <= 905


async def test_a_told_token_is_refused_without_the_database(
    server: SignInServer, redis: Redis
) -> None:
    made = await server.register()
    assert (await server.me(made["access_token"])).status_code == 200
    await redis.set(f"revoked:sid:{session_of(made['access_token'])}", "1", ex=60)
    gone = "sqlite+aiosqlite:////gone/maestro.db"
    await server.identity.lookup.close()
    server.identity.lookup = Lookup(make_engines(gone))
    assert (await server.me(made["access_token"])).status_code == 401


async def test_logout_all_is_told_for_the_user_and_a_new_login_counts(
    server: SignInServer, redis: Redis
) -> None:
    made = await server.register()
    await server.post("logout-all", authorization=f"Bearer {made['access_token']}")
    await server.identity.revocations.settled()
    assert 890 < await redis.ttl(f"epoch:user:{made['user']['id']}") <= 905
    again = await server.login(made)
    assert (await server.me(again["access_token"])).status_code == 200
    assert (await server.me(made["access_token"])).status_code == 401


async def test_tokens_from_before_a_users_epoch_are_refused(
    server: SignInServer, redis: Redis
) -> None:
    made = await server.register()
    soon = int(server.clock().timestamp()) + 60
    await redis.set(f"epoch:user:{made['user']['id']}", str(soon), ex=60)
    assert (await server.me(made["access_token"])).status_code == 401


async def test_two_servers_with_one_redis_agree(
    server: SignInServer, sessions: Sessions, tmp_path: Path
) -> None:
    made = await server.register()
    async with a_signin_server(sessions, tmp_path, redis={"url": REDIS}) as other:
        assert (await other.me(made["access_token"])).status_code == 200
        await server.post("logout", authorization=f"Bearer {made['access_token']}")
        assert (await other.me(made["access_token"])).status_code == 401


async def test_what_redis_does_not_know_the_database_does(
    server: SignInServer, sessions: Sessions
) -> None:
    made = await server.register()
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(Session).values(revoked_at=server.clock()))
    assert (await server.me(made["access_token"])).status_code == 401


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///nowhere/redis.sock"])
async def test_without_redis_nothing_is_let_in_and_nobody_locked_out(
    sessions: Sessions, tmp_path: Path, url: str
) -> None:
    async with a_signin_server(sessions, tmp_path, redis={"url": url}) as server:
        live, ended = await server.register(), await server.register()
        answer = await server.post("logout", authorization=f"Bearer {ended['access_token']}")
        assert answer.status_code == 204
        for _ in range(3):
            assert (await server.me(live["access_token"])).status_code == 200
            assert (await server.me(ended["access_token"])).status_code == 401
            server.clock.move(seconds=6)


async def test_redis_that_goes_and_comes_changes_nothing(
    sessions: Sessions, tmp_path: Path
) -> None:
    with a_redis(tmp_path) as redis:
        async with a_signin_server(sessions, tmp_path, redis={"url": redis.url}) as server:
            live, ended, last = [await server.register() for _ in range(3)]
            await server.me(live["access_token"])
            redis.stop()
            assert (await server.me(live["access_token"])).status_code == 200
            await server.post("logout", authorization=f"Bearer {ended['access_token']}")
            assert (await server.me(ended["access_token"])).status_code == 401
            redis.start()
            server.clock.move(seconds=6)
            assert (await server.me(ended["access_token"])).status_code == 401
            await server.post("logout", authorization=f"Bearer {last['access_token']}")
            assert (await server.me(last["access_token"])).status_code == 401
            assert (await server.me(live["access_token"])).status_code == 200


async def test_an_end_that_is_rolled_back_is_told_to_nobody(
    server: SignInServer, redis: Redis
) -> None:
    made = await server.register()
    session = UUID(session_of(made["access_token"]))

    async def fails() -> None:
        async with open_system_work(server.identity.sessions) as work:
            await verbs.end(work, server.identity, session, "test")
            raise LookupError

    with pytest.raises(LookupError):
        await fails()
    await server.identity.revocations.settled()
    assert await redis.get(f"revoked:sid:{session}") is None
    assert (await server.me(made["access_token"])).status_code == 200
