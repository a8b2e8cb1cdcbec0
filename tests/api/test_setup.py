"""The platform's first admin: one secret, good for one person."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Role
from maestro_ml.core.errors import MaestroError
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity.models import SetupSecret, User
from maestro_ml.identity.service import setup
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID, Tenant
from support.live import a_password
from support.people import People, a_people_server
from support.races import AT_ONCE, EACH, race
from support.signin import a_registration
from support.world import ACME, USERS

SETUP = "/auth/setup"


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path) as people:
        yield people


async def issue(sessions: Sessions) -> str | None:
    async with open_system_work(sessions) as work:
        return await setup.issue_secret(work)


async def a_secret(sessions: Sessions) -> str:
    secret = await issue(sessions)
    assert secret is not None
    return secret


async def platform_admins(sessions: Sessions) -> list[User]:
    async with sessions.begin(SYSTEM) as session:
        return list(await session.scalars(select(User).where(User.platform_admin)))


def a_setup(token: str, **changes: Any) -> dict[str, Any]:
    return a_registration(token=token) | changes


async def test_the_secret_makes_the_platforms_admin(people: People, sessions: Sessions) -> None:
    secret = await a_secret(sessions)
    assert secret.startswith("mls_")
    body = a_setup(secret, email="Root@x.test")
    entered = await people.made(None, SETUP, body)
    assert entered["expires_in"] == 900
    user = entered["user"]
    assert user["platform_admin"]
    assert (user["email"], user["role"]) == ("Root@x.test", "admin")
    assert user["tenant"]["slug"] == "default"
    current = await people.ok(entered["access_token"], "GET", "/tenants/current")
    assert current["usage"]["users"] == 1
    await people.ok(entered["access_token"], "GET", "/tenants")
    login = {"email": "root@x.test", "password": body["password"]}
    assert (await people.ok(None, "POST", "/auth/login", login))["user"]["platform_admin"]
    assert await issue(sessions) is None


async def test_it_is_written_down_and_the_secret_is_not(people: People, sessions: Sessions) -> None:
    secret = await a_secret(sessions)
    body = a_setup(secret)
    entered = await people.made(None, SETUP, body)
    async with sessions.begin(SYSTEM) as session:
        events = list(await session.scalars(select(AuditEvent).order_by(AuditEvent.id)))
        kept = list(await session.scalars(select(SetupSecret)))
    assert [event.action for event in events] == [
        "setup_secret.issued",
        "user.created",
        "member.joined",
        "setup_secret.spent",
        "session.started",
    ]
    assert {str(e.actor_id) for e in events[1:]} == {entered["user"]["id"]}
    written = str([vars(row) for row in (*events, *kept)])
    assert secret not in written
    assert body["password"] not in written


async def test_every_secret_that_is_no_good_reads_the_same(
    people: People, sessions: Sessions
) -> None:
    replaced, secret = await a_secret(sessions), await a_secret(sessions)
    typo = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    told = set()

    async def refused(token: str) -> None:
        before = people.identity.passwords.hashed
        answer = await people(None, "POST", SETUP, a_setup(token))
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert people.identity.passwords.hashed == before
        told.add(answer.content)

    for token in (replaced, typo, "mls_x", "x", "mlr_é"):
        await refused(token)
    await people.made(None, SETUP, a_setup(secret))
    await refused(secret)
    assert len(told) == 1
    assert len(await platform_admins(sessions)) == 1


async def test_no_secret_is_good_once_there_is_a_platform_admin(
    people: People, sessions: Sessions
) -> None:
    secret = await a_secret(sessions)
    async with sessions.begin(SYSTEM) as session:
        root = update(User).where(User.id == USERS[ACME, Role.ADMIN])
        await session.execute(root.values(platform_admin=True))
    assert await people.code(401, None, "POST", SETUP, a_setup(secret)) == "setup-refused"
    with pytest.raises(MaestroError, match="wrong or was used"):
        async with open_system_work(sessions) as work:
            await setup.spend(work, secret=secret, email="a@x.test", name="A", password_hash="x")
    assert len(await platform_admins(sessions)) == 1


async def test_what_is_refused_leaves_the_secret_good(people: People, sessions: Sessions) -> None:
    secret = await a_secret(sessions)
    for changes, code in (
        ({"password": "secure123"}, "password-refused"),
        ({"password": "maestro-ml-admin"}, "password-refused"),
        ({"email": "nobody"}, "invalid"),
        ({"name": ""}, "invalid"),
        ({"role": "admin"}, "invalid"),
        ({"platform_admin": True}, "invalid"),
        ({"tenant_id": str(ACME)}, "invalid"),
        ({"token": None}, "invalid"),
        ({"token": "x" * 201}, "invalid"),
    ):
        assert await people.code(422, None, "POST", SETUP, a_setup(secret) | changes) == code
    taken = a_setup(secret, email="ADMIN@acme.test")
    assert await people.code(409, None, "POST", SETUP, taken) == "email-taken"
    async with sessions.begin(SYSTEM) as session:
        full = update(Tenant).where(Tenant.id == DEFAULT_TENANT_ID)
        await session.execute(full.values(max_users=0))
    assert await people.code(409, None, "POST", SETUP, a_setup(secret)) == "quota-exceeded"
    async with sessions.begin(SYSTEM) as session:
        await session.execute(full.values(max_users=1))
    assert await platform_admins(sessions) == []
    await people.made(None, SETUP, a_setup(secret))


async def test_of_many_who_send_it_at_once_one_enters(people: People, sessions: Sessions) -> None:
    secret = await a_secret(sessions)
    answers = await asyncio.gather(
        *(people(None, "POST", SETUP, a_setup(secret)) for _ in range(16))
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [401] * 15
    assert len(await platform_admins(sessions)) == 1


async def test_of_forty_who_spend_it_at_once_one_does(sessions: Sessions) -> None:
    secret = await a_secret(sessions)

    async def one(number: int) -> str:
        try:
            async with open_system_work(sessions) as work:
                email = f"root{number}@x.test"
                await setup.spend(work, secret=secret, email=email, name="R", password_hash="x")
        except MaestroError as refused:
            return refused.code
        return "entered"

    done = await race(one(number) for number in EACH)
    assert done == {"entered": 1, "setup-refused": AT_ONCE - 1}
    assert len(await platform_admins(sessions)) == 1


async def test_of_starts_at_once_the_last_ones_secret_is_good(
    people: People, sessions: Sessions
) -> None:
    issued = await asyncio.gather(*(a_secret(sessions) for _ in range(8)))
    answers = [await people(None, "POST", SETUP, a_setup(secret)) for secret in issued]
    assert sorted(answer.status_code for answer in answers) == [201] + [401] * 7


async def test_a_browser_gets_a_cookie(people: People, sessions: Sessions) -> None:
    headers = {"X-Client": "web"}
    answer = await people(None, "POST", SETUP, a_setup(await a_secret(sessions)), **headers)
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert set(answer.json()) == {"csrf_token", "user"}


async def test_dev_mode_has_the_specifications_admin(sessions: Sessions, tmp_path: Path) -> None:
    async with a_people_server(sessions, tmp_path, dev=True) as people:
        for _ in range(2):
            async with open_system_work(sessions) as work:
                await setup.create_dev_admin(work, people.identity)
        login = {"email": "admin@maestro.ml", "password": "admin123"}
        user = (await people.ok(None, "POST", "/auth/login", login))["user"]
    assert (user["role"], user["tenant"]["slug"]) == ("admin", "default")
    assert user["platform_admin"]
    assert len(await platform_admins(sessions)) == 1
    assert await issue(sessions) is None


async def test_outside_of_dev_mode_there_is_no_such_account(
    people: People, sessions: Sessions
) -> None:
    with pytest.raises(ValueError, match="dev mode"):
        async with open_system_work(sessions) as work:
            await setup.create_dev_admin(work, people.identity)
    login = {"email": "admin@maestro.ml", "password": "admin123"}
    await people.refused(401, None, "POST", "/auth/login", login)
    assert await platform_admins(sessions) == []


async def test_a_secret_guessed_beside_a_good_password_says_nothing(people: People) -> None:
    body = a_setup("mls_" + "x" * 49, password=a_password())
    assert await people.code(401, None, "POST", SETUP, body) == "setup-refused"
