"""How often a password, a token or a request may be tried, by the clock and by counting hashes."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.clock import utc_now
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity import attempts, tokens
from maestro_ml.identity.models import User
from maestro_ml.identity.signin import REGISTRATIONS
from maestro_ml.limits.guard import LOOKUPS_PER_ADDRESS, PER_ADDRESS
from maestro_ml.limits.models import RateCounter
from support.databases import REDIS
from support.live import a_password
from support.races import AT_ONCE
from support.signin import SignInServer, a_registration, a_signin_server, an_api_key, signin_app


@pytest.fixture(params=[None, REDIS], ids=["alone", "redis"])
async def server(
    request: pytest.FixtureRequest, sessions: Sessions, tmp_path: Path
) -> AsyncIterator[SignInServer]:
    redis = {"redis": {"url": request.param}} if request.param else {}
    async with a_signin_server(sessions, tmp_path, **redis) as server:
        server.clock.stopped = utc_now()
        yield server


def wrong(email: str) -> dict[str, str]:
    return {"email": email, "password": a_password()}


async def from_elsewhere(server: SignInServer, path: str, body: Any) -> httpx2.Response:
    """The same server, asked from another address each time."""
    identity = server.identity
    ip = ".".join(str(1 + secrets.randbelow(254)) for _ in range(4))
    app = signin_app(identity.settings, identity.sessions, identity)
    transport = httpx2.ASGITransport(app=app, client=(ip, 1))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
        return await http.post(f"/api/v1/auth/{path}", json=body)


async def guessed(server: SignInServer, email: str, times: int) -> None:
    """Wrong passwords, each as soon as one may be tried, from addresses all over."""
    for _ in range(times):
        answer = await from_elsewhere(server, "login", wrong(email))
        if answer.status_code == 429:
            server.clock.move(seconds=int(answer.headers["retry-after"]))
            answer = await from_elsewhere(server, "login", wrong(email))
        assert answer.status_code == 401, answer.text


@pytest.mark.parametrize("known", [True, False])
async def test_from_the_sixth_on_there_is_a_wait_that_doubles(
    server: SignInServer, known: bool
) -> None:
    email = (await server.register())["email"] if known else "nobody@someone.test"
    for _ in range(5):
        assert (await server.post("login", wrong(email))).status_code == 401
    waits = []
    for _ in range(7):
        hashed = server.identity.passwords.hashed
        answer = await server.post("login", wrong(email))
        assert (answer.status_code, answer.json()["title"]) == (429, "Too many attempts")
        assert server.identity.passwords.hashed == hashed
        waits.append(int(answer.headers["retry-after"]))
        server.clock.move(seconds=waits[-1])
        assert (await server.post("login", wrong(email))).status_code == 401
    assert waits == [1, 2, 4, 8, 16, 32, 64]


async def test_in_a_wait_right_and_wrong_read_the_same_and_after_it_all_is_forgotten(
    server: SignInServer,
) -> None:
    person = await server.register()
    for _ in range(5):
        await server.post("login", wrong(person["email"]))
    right = {"email": person["email"].upper(), "password": person["password"]}
    same = {"x_request_id": "same"}
    answers = [await server.post("login", body, **same) for body in (right, wrong(person["email"]))]
    assert {answer.status_code for answer in answers} == {429}
    assert answers[0].content == answers[1].content
    server.clock.move(seconds=1)
    await server.login(person)
    for _ in range(5):
        assert (await server.post("login", wrong(person["email"]))).status_code == 401


async def test_what_is_no_address_counts_too(server: SignInServer) -> None:
    statuses = [(await server.post("login", wrong("not an address"))).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]


async def test_the_hundredth_switches_passwords_off_until_a_reset(
    server: SignInServer, sessions: Sessions
) -> None:
    person, stranger = await server.register(), f"{secrets.token_hex(6)}@someone.test"
    last = []
    for email in (person["email"], stranger):
        await guessed(server, email, 6)
        async with sessions.begin(SYSTEM) as session:  # ninety-three more, on other days
            await session.execute(
                update(RateCounter)
                .where(RateCounter.in_a_row == 6)
                .values(in_a_row=99, recent=99, until=0.0)
            )
        assert (await server.post("login", wrong(email))).status_code == 401
        hashed = server.identity.passwords.hashed
        for days in (0, 1, 100):
            server.clock.move(days=days)
            body = {"email": email, "password": person["password"]}
            last.append(await server.post("login", body, x_request_id="same"))
        assert server.identity.passwords.hashed == hashed
    assert {(answer.status_code, answer.content) for answer in last} == {(429, last[0].content)}
    assert last[0].json()["title"] == "Attempts exhausted"
    async with sessions.begin(SYSTEM) as session:
        off = select(AuditEvent.target_id).where(AuditEvent.action == "user.password_login_off")
        assert list(await session.scalars(off)) == [person["user"]["id"]]
    async with open_system_work(sessions) as work:
        user = await work.session.get_one(User, UUID(person["user"]["id"]))
        await attempts.reopen(work, user)
    await server.login(person)


async def test_a_victim_keeps_their_sessions_and_keys(
    server: SignInServer, sessions: Sessions
) -> None:
    person = await server.register()
    key = await an_api_key(sessions, person["user"]["id"])
    await guessed(server, person["email"], 9)
    assert (await server.post("login", wrong(person["email"]))).status_code == 429
    assert (await server.me(person["access_token"])).status_code == 200
    assert (await server.me(key)).status_code == 200
    renewed = await server.post("refresh", {"refresh_token": person["refresh_token"]})
    assert renewed.status_code == 200


@pytest.mark.parametrize("known", [True, False])
async def test_of_forty_guesses_at_once_five_are_tried(server: SignInServer, known: bool) -> None:
    email = (await server.register())["email"] if known else "nobody@someone.test"
    hashed = server.identity.passwords.hashed
    answers = await asyncio.gather(
        *(from_elsewhere(server, "login", wrong(email)) for _ in range(AT_ONCE))
    )
    assert Counter(answer.status_code for answer in answers) == {401: 5, 429: AT_ONCE - 5}
    assert server.identity.passwords.hashed - hashed == 5


async def test_two_processes_count_together(
    server: SignInServer, sessions: Sessions, tmp_path: Path
) -> None:
    person = await server.register()
    options = {"redis": {"url": REDIS}} if server.identity.settings.redis.url else {}
    async with a_signin_server(sessions, tmp_path, **options) as other:
        other.clock.stopped = server.clock.stopped
        for turn in range(5):
            asked = (server, other)[turn % 2]
            assert (await asked.post("login", wrong(person["email"]))).status_code == 401
        for asked in (server, other):
            assert (await asked.post("login", wrong(person["email"]))).status_code == 429
        server.clock.move(seconds=1)
        other.clock.move(seconds=1)
        answers = await asyncio.gather(
            *(
                from_elsewhere((server, other)[n % 2], "login", wrong(person["email"]))
                for n in range(AT_ONCE)
            )
        )
        assert Counter(answer.status_code for answer in answers) == {401: 1, 429: AT_ONCE - 1}


async def test_many_may_sign_in_as_one_at_once(server: SignInServer) -> None:
    person = await server.register()
    body = {"email": person["email"], "password": person["password"]}
    answers = await asyncio.gather(*(server.post("login", body) for _ in range(15)))
    assert {answer.status_code for answer in answers} == {200}


async def test_one_address_sprays_no_further_than_twenty_accounts(server: SignInServer) -> None:
    hashed = server.identity.passwords.hashed
    answers = [
        await server.post("login", wrong(f"{n}@someone.test"), x_forwarded_for=f"192.0.2.{n}")
        for n in range(PER_ADDRESS.most + 10)
    ]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [401] * PER_ADDRESS.most + [429] * 10
    assert server.identity.passwords.hashed - hashed == PER_ADDRESS.most
    elsewhere = await from_elsewhere(server, "login", wrong("one@someone.test"))
    assert elsewhere.status_code == 401
    server.clock.move(seconds=PER_ADDRESS.step)
    assert (await server.post("login", wrong("two@someone.test"))).status_code == 401
    assert (await server.post("login", wrong("two@someone.test"))).status_code == 429


async def test_sprayed_all_at_once_it_is_the_same(server: SignInServer) -> None:
    answers = await asyncio.gather(
        *(server.post("login", wrong(f"{n}@someone.test")) for n in range(AT_ONCE))
    )
    done = Counter(answer.status_code for answer in answers)
    assert done == {401: PER_ADDRESS.most, 429: AT_ONCE - PER_ADDRESS.most}


async def test_an_address_learns_five_times_an_hour_who_has_an_account(
    server: SignInServer,
) -> None:
    known = [(await server.register())["email"] for _ in range(8)]
    told = [await server.post("register", a_registration(email=email)) for email in known]
    assert [answer.status_code for answer in told] == [409] * 5 + [429] * 3
    # Beyond that nothing is looked up: an unknown address reads the same.
    same = {"x_request_id": "same"}
    unknown = await server.post("register", a_registration(), **same)
    again = await server.post("register", a_registration(email=known[0]), **same)
    assert (unknown.status_code, unknown.content) == (429, again.content)
    server.clock.move(minutes=12)
    assert (await server.post("register", a_registration())).status_code == 201


async def test_one_address_opens_twenty_accounts_an_hour(server: SignInServer) -> None:
    hashed = server.identity.passwords.hashed
    weak = [await server.post("register", a_registration(password="x")) for _ in range(5)]
    assert {answer.status_code for answer in weak} == {422}
    answers = await asyncio.gather(
        *(server.post("register", a_registration()) for _ in range(REGISTRATIONS.most + 5))
    )
    done = Counter(answer.status_code for answer in answers)
    assert done == {201: REGISTRATIONS.most, 429: 5}
    assert server.identity.passwords.hashed - hashed == REGISTRATIONS.most
    elsewhere = await from_elsewhere(server, "register", a_registration())
    assert elsewhere.status_code == 201
    server.clock.move(seconds=REGISTRATIONS.step)
    assert (await server.post("register", a_registration())).status_code == 201
    assert (await server.post("register", a_registration())).status_code == 429


async def test_made_up_refresh_tokens_are_slowed_and_good_ones_are_not(
    server: SignInServer,
) -> None:
    person = await server.register()
    made_up = [{"refresh_token": tokens.mint(tokens.REFRESH)} for _ in range(25)]
    statuses = [(await server.post("refresh", body)).status_code for body in made_up]
    assert statuses == [401] * PER_ADDRESS.most + [429] * 5
    good = await server.post("refresh", {"refresh_token": person["refresh_token"]})
    assert good.status_code == 200


@pytest.mark.parametrize("prefix", [tokens.API_KEY, tokens.COOKIE])
async def test_made_up_keys_and_cookies_are_slowed_and_good_ones_are_not(
    server: SignInServer, sessions: Sessions, prefix: str
) -> None:
    person = await server.register()
    key = await an_api_key(sessions, person["user"]["id"])

    async def status() -> int:
        text = tokens.mint(prefix)
        header = (
            {"authorization": f"Bearer {text}"}
            if prefix == tokens.API_KEY
            else {"cookie": f"__Host-session={text}"}
        )
        return (await server.get("me", **header)).status_code

    most = LOOKUPS_PER_ADDRESS.most
    assert [await status() for _ in range(most + 3)] == [401] * most + [429] * 3
    assert (await server.me(key)).status_code == 200
    assert (await server.me(person["access_token"])).status_code == 200


async def test_a_dead_key_is_no_guess(server: SignInServer, sessions: Sessions) -> None:
    person = await server.register()
    dead = await an_api_key(sessions, person["user"]["id"], revoked_at=utc_now())
    for _ in range(LOOKUPS_PER_ADDRESS.most + 3):
        assert (await server.me(dead)).status_code == 401


async def test_no_address_and_no_password_is_kept(server: SignInServer, sessions: Sessions) -> None:
    typed = a_password()  # people mix up the fields
    for email in ("ada@someone.test", typed):
        await server.post("login", wrong(email))
    async with open_system_work(sessions, read_only=True) as work:
        keys = " ".join(await work.session.scalars(select(RateCounter.key)))
    assert "failures:" in keys
    assert "ada" not in keys
    assert typed not in keys


async def test_when_redis_goes_what_an_account_failed_with_stays(
    server: SignInServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await server.register()
    for _ in range(5):
        await server.post("login", wrong(person["email"]))
    monkeypatch.setattr(server.identity.redis, "_paused_until", utc_now().replace(year=2100))
    assert (await server.post("login", wrong(person["email"]))).status_code == 429
