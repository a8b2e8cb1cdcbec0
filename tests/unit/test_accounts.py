"""The verbs of accounts and sessions that other verbs stand on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Access, Role
from maestro_ml.core.errors import QuotaExceeded, Unauthenticated, Unavailable
from maestro_ml.core.ids import new_id
from maestro_ml.db.engine import make_engines
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, SystemWork, open_account_work, open_system_work
from maestro_ml.identity.errors import (
    AlreadyMember,
    EmailInvalid,
    EmailTaken,
    RegistrationClosed,
    WrongCredentials,
)
from maestro_ml.identity.models import Session, SessionKind, User
from maestro_ml.identity.passwords import SLOTS
from maestro_ml.identity.schemas import Login, Register
from maestro_ml.identity.service import accounts
from maestro_ml.identity.service import sessions as verbs
from maestro_ml.identity.service.places import place_of
from maestro_ml.identity.signin import login, register
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID, Tenant, TenantStatus
from support.races import AT_ONCE, EACH, race, rounds
from support.signin import SignInServer, a_registration, a_signin_server
from support.world import ACME, USERS


@pytest.fixture
async def server(sessions: Sessions, tmp_path: Path) -> AsyncIterator[SignInServer]:
    async with a_signin_server(sessions, tmp_path) as server:
        yield server


async def ada(work: SystemWork, tenant_id: UUID | None = None, email: str = "Ada@x.test") -> User:
    return await accounts.create_user(
        work,
        email=email,
        name="Ada",
        password_hash=None,
        tenant_id=tenant_id,
        role=Role.MEMBER if tenant_id else None,
    )


@pytest.mark.rows(11)
async def test_of_forty_at_once_one_gets_the_address(sessions: Sessions) -> None:
    async def one(turn: int) -> None:
        async def tries() -> str:
            try:
                async with open_system_work(sessions) as work:
                    await ada(work, ACME, f"same{turn}@x.test")
            except EmailTaken as taken:
                return taken.code
            return "made"

        assert await race(tries() for _ in EACH) == {"made": 1, "email-taken": AT_ONCE - 1}
        async with open_system_work(sessions, read_only=True) as work:
            assert (await work.session.get_one(Tenant, ACME)).n_users == len(Role) + turn + 1

    await rounds(one)


async def test_an_account_may_stand_above_tenants(sessions: Sessions) -> None:
    async with open_system_work(sessions) as work:
        user = await ada(work)
        view = await accounts.describe(work, user, None)
        assert (view.tenant, view.role) == (None, None)
        assert await accounts.home(work, user) is None
        found = await accounts.find(work, "aDA@X.test")
        assert found is not None
        assert found.id == user.id
        assert await accounts.find(work, "no address") is None


async def test_a_place_in_a_tenant_is_taken_once_and_counted(sessions: Sessions) -> None:
    async with open_system_work(sessions) as work:
        user = await ada(work, ACME)
        assert (await work.session.get_one(Tenant, ACME)).n_users == len(Role) + 1
        assert await accounts.home(work, user) == ACME
        view = await accounts.describe(work, user, ACME)
        assert view.tenant is not None
        assert (view.tenant.slug, view.role) == ("acme", Role.MEMBER)

    async def again() -> None:
        async with open_system_work(sessions) as work:
            await accounts.join(work, await work.session.get_one(User, user.id), ACME, Role.ADMIN)

    with pytest.raises(AlreadyMember):
        await again()
    async with open_system_work(sessions) as work:
        assert (await work.session.get_one(Tenant, ACME)).n_users == len(Role) + 1


async def test_a_refused_account_leaves_nothing(sessions: Sessions) -> None:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(Tenant).where(Tenant.id == ACME).values(max_users=len(Role)))

    async def refused(error: type[Exception], email: str) -> None:
        with pytest.raises(error):
            async with open_system_work(sessions) as work:
                await ada(work, ACME, email)

    await refused(QuotaExceeded, "ada@x.test")
    await refused(EmailTaken, "VIEWER@acme.test")
    await refused(EmailInvalid, "nobody")
    async with sessions.begin(SYSTEM) as session:
        assert (await session.scalars(select(AuditEvent))).all() == []
        assert await session.scalar(select(User).where(User.email_norm == "ada@x.test")) is None


async def test_the_audit_trail_names_the_caller_if_there_is_one(sessions: Sessions) -> None:
    admin = Access(actor_id=USERS[ACME, Role.ADMIN], tenant_id=ACME, role=Role.ADMIN)
    async with open_account_work(sessions, admin) as work:
        await ada(work, ACME)
    async with sessions.begin(SYSTEM) as session:
        actors = set(await session.scalars(select(AuditEvent.actor_id)))
    assert actors == {admin.actor_id}


async def test_a_caller_who_vanished_is_nobody(sessions: Sessions) -> None:
    gone = Access(actor_id=new_id(), tenant_id=ACME, role=Role.VIEWER)
    async with open_account_work(sessions, gone, read_only=True) as work:
        with pytest.raises(Unauthenticated):
            await accounts.me(work)


async def test_a_session_ends_once(server: SignInServer, sessions: Sessions) -> None:
    async with open_system_work(sessions) as work:
        user = await ada(work, ACME)
        begun = await verbs.start(work, server.identity, await place_of(work, user.id, ACME))
        assert begun.expires_in == 900
        assert await verbs.end(work, server.identity, begun.session_id, "test")
        assert not await verbs.end(work, server.identity, begun.session_id, "test")
        assert not await verbs.end(work, server.identity, new_id(), "test")


async def test_all_sessions_but_one_end(server: SignInServer, sessions: Sessions) -> None:
    async with open_system_work(sessions) as work:
        user = await ada(work, ACME)
        begun = [
            await verbs.start(work, server.identity, await place_of(work, user.id, ACME))
            for _ in range(3)
        ]
        kept = begun[1].session_id
        ended = await verbs.end_all(work, server.identity, user.id, "test", keep=kept)
        assert ended == 2
    async with sessions.begin(SYSTEM) as session:
        alive = select(Session.id).where(Session.revoked_at.is_(None))
        assert list(await session.scalars(alive)) == [kept]
    answer = await server.me(begun[1].access_token)
    assert answer.json()["tenant"]["slug"] == "acme"


async def test_a_browsers_session_is_marked_as_one(
    server: SignInServer, sessions: Sessions
) -> None:
    async with open_system_work(sessions) as work:
        user = await ada(work, ACME)
        answer, cookie = await verbs.sign_in_web(
            work, server.identity, await place_of(work, user.id, ACME)
        )
        session = (await work.session.scalars(select(Session))).one()
    assert session.kind is SessionKind.WEB
    assert answer.csrf_token == server.identity.csrf_token(session.id)
    assert cookie.startswith("mlc_")


async def test_nobody_registers_into_a_suspended_tenant(
    server: SignInServer, sessions: Sessions
) -> None:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(
            update(Tenant)
            .where(Tenant.id == DEFAULT_TENANT_ID)
            .values(status=TenantStatus.SUSPENDED)
        )
    with pytest.raises(RegistrationClosed):
        await register(server.identity, Register(**a_registration()))


@pytest.mark.parametrize("change", [{"active": False}, {"password_hash": "another"}], ids=str)
async def test_what_changes_while_the_password_is_hashed_counts(
    server: SignInServer, sessions: Sessions, change: dict[str, object]
) -> None:
    made = await server.register()
    passwords = server.identity.passwords
    for _ in range(SLOTS):
        await passwords._slots.acquire()
    command = Login(email=made["email"], password=made["password"])
    waiting = asyncio.create_task(login(server.identity, command))
    while not passwords._under_way:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.001)
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(User).where(User.email == made["email"]).values(**change))
    for _ in range(SLOTS):
        passwords._slots.release()
    with pytest.raises(WrongCredentials):
        await waiting


async def test_what_could_not_be_written_down_is_kept_for_the_next_time(
    server: SignInServer, sessions: Sessions
) -> None:
    made = await server.register()
    server.clock.move(minutes=1)
    await server.me(made["access_token"])
    server.identity.sessions = Sessions(make_engines("sqlite+aiosqlite:////gone/maestro.db"))
    with pytest.raises(Unavailable):
        await server.identity.flush()
    await server.identity.stop()  # says so in the log, and stops
    server.identity.sessions = sessions
    await server.identity.flush()
    async with sessions.begin(SYSTEM) as session:
        row = (await session.scalars(select(Session))).one()
    assert row.last_seen_at > row.created_at
