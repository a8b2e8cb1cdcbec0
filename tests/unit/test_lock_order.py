"""Whoever changes accounts takes their locks in one order (decision 0008), so nobody is turned away
because two wait for each other: forty at once, some rounds over."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, update

from maestro_ml.core.access import Access, Role
from maestro_ml.core.errors import MaestroError, Unavailable
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_account_work, open_system_work, open_work
from maestro_ml.identity.errors_admin import ServiceAccountNotFound
from maestro_ml.identity.models import DeviceState, Invitation, Membership, User
from maestro_ml.identity.schemas_keys import ApiKeyCreate
from maestro_ml.identity.schemas_services import ServiceAccountCreate
from maestro_ml.identity.service import (
    accounts,
    blocking,
    deletions,
    device_logins,
    invitations,
    service_accounts,
    service_keys,
    standing,
)
from maestro_ml.identity.service import sessions as sign_ins
from maestro_ml.identity.service.accounts import Found
from maestro_ml.identity.service.device_logins import Approved
from maestro_ml.identity.service.invitations import Offer
from maestro_ml.identity.service.places import place_of
from maestro_ml.projects import service as projects
from maestro_ml.projects.models import Visibility
from maestro_ml.projects.schemas import ProjectCreate
from maestro_ml.projects.service import projects as project_verbs
from maestro_ml.tenancy.models import Tenant
from support.people import People, a_people_server
from support.world import ACME, OTHER, USERS, caller

PAIRS, ROUNDS = 20, 3
ADMIN = caller()
KEY = b"k" * 32


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(Tenant).values(max_users=10_000, max_projects=10_000))
    async with a_people_server(sessions, tmp_path) as people:
        yield people


async def race(deeds: Iterable[Awaitable[object]]) -> list[object]:
    """What each gave, or how it was refused. None was turned away by the database."""
    done = await asyncio.gather(*deeds, return_exceptions=True)
    assert not [one for one in done if isinstance(one, Unavailable)]
    for one in done:
        if isinstance(one, BaseException) and not isinstance(one, MaestroError):
            raise one
    return done


async def some_people(people: People, tenant: UUID, role: Role = Role.MEMBER) -> list[User]:
    made = []
    async with open_system_work(people.sessions) as work:
        for _ in range(PAIRS):
            user = await accounts.create_user(
                work,
                email=f"{new_id().hex}@x.test",
                name="N",
                password_hash=None,
                tenant_id=tenant,
                role=role,
            )
            made.append(user)
    return made


async def remove(people: People, id: UUID) -> None:
    async with open_account_work(people.sessions, ADMIN) as work:
        await standing.remove(work, people.identity, projects, id)


async def test_an_offer_is_taken_up_while_its_owner_is_removed(people: People) -> None:
    async def offer_to(user: User) -> Offer:
        row = Invitation(
            email=user.email,
            email_norm=user.email_norm,
            role=Role.VIEWER,
            token_hash=new_id().bytes,
            created_at=people.clock(),
            expires_at=people.clock() + invitations.LIFETIME,
        )
        row.tenant_id = ACME
        async with people.sessions.begin(SYSTEM) as session:
            session.add(row)
        return Offer(row.id, user.email, row.role, row.expires_at, ACME, "acme", "acme")

    async def accept(user: User, offer: Offer) -> None:
        async with open_system_work(people.sessions, clock=people.clock) as work:
            await invitations.accept_as(work, offer, Found(user.id, None, True))

    for _ in range(ROUNDS):
        users = await some_people(people, ACME)
        offers = [await offer_to(user) for user in users]
        await race(
            deed
            for user, offer in zip(users, offers, strict=True)
            for deed in (accept(user, offer), remove(people, user.id))
        )


async def test_the_name_of_a_machine_is_given_again_while_it_is_removed(people: People) -> None:
    async def create(name: str) -> UUID:
        async with open_account_work(people.sessions, ADMIN) as work:
            return (await service_accounts.create(work, ServiceAccountCreate(name=name))).id

    for turn in range(ROUNDS):
        names = [f"bot-{turn}-{number}" for number in range(PAIRS)]
        ids = [await create(name) for name in names]
        await race(
            deed
            for id, name in zip(ids, names, strict=True)
            for deed in (remove(people, id), create(name))
        )


async def test_a_machine_gets_a_key_while_it_is_removed(people: People) -> None:
    async def give(id: UUID) -> None:
        async with open_account_work(people.sessions, ADMIN) as work:
            wanted = ApiKeyCreate(name="k")
            await service_keys.create(work, id, wanted, only=None, default=None)

    for turn in range(ROUNDS):
        async with open_account_work(people.sessions, ADMIN) as work:
            names = [f"keyed-{turn}-{number}" for number in range(PAIRS)]
            bots = [
                await service_accounts.create(work, ServiceAccountCreate(name=name))
                for name in names
            ]
        done = await race(deed for bot in bots for deed in (give(bot.id), remove(people, bot.id)))
        for given, removed in zip(done[::2], done[1::2], strict=True):
            assert removed is None
            assert given is None or isinstance(given, ServiceAccountNotFound)


async def test_a_private_project_is_deleted_while_its_maintainer_is_removed(
    people: People,
) -> None:
    def acting(user: User) -> Access:
        return Access(actor_id=user.id, tenant_id=ACME, role=Role.MEMBER)

    async def begin(user: User) -> tuple[UUID, str]:
        wanted = ProjectCreate(name=user.email, visibility=Visibility.PRIVATE)
        async with open_work(people.sessions, acting(user)) as work:
            project = await project_verbs.create(work, wanted)
        return project.id, project.slug

    async def delete(user: User, id: UUID, slug: str) -> None:
        access = acting(user)
        mine = Access(
            actor_id=user.id,
            tenant_id=ACME,
            role=access.role,
            project_roles={id: Role.MAINTAINER},
        )
        async with open_work(people.sessions, mine) as work:
            await project_verbs.delete(work, id, confirm=slug)

    for _ in range(ROUNDS):
        users = await some_people(people, ACME)
        begun = [await begin(user) for user in users]
        await race(
            deed
            for user, (id, slug) in zip(users, begun, strict=True)
            for deed in (delete(user, id, slug), remove(people, user.id))
        )


async def test_a_terminal_asks_while_its_owner_is_signed_out(people: People) -> None:
    async def approved(user: User) -> str:
        async with open_system_work(people.sessions, clock=people.clock) as work:
            place = await place_of(work, user.id, ACME)
            begun = await sign_ins.start(work, people.identity, place)
            started = await device_logins.start(work, KEY, None)
        me = Access(actor_id=user.id, tenant_id=ACME, role=Role.MEMBER, session_id=begun.session_id)
        async with open_account_work(people.sessions, me, clock=people.clock) as account:
            await device_logins.decide(account, KEY, started.user_code, DeviceState.APPROVED)
        return started.device_code

    async def ask(code: str) -> object:
        async with open_system_work(people.sessions, clock=people.clock) as work:
            return await device_logins.poll(work, code)

    async def sign_out(user: User) -> None:
        async with open_account_work(people.sessions, ADMIN, clock=people.clock) as work:
            await standing.sign_out(work, people.identity, user.id)

    for _ in range(ROUNDS):
        users = await some_people(people, ACME)
        codes = [await approved(user) for user in users]
        done = await race(
            deed
            for user, code in zip(users, codes, strict=True)
            for deed in (ask(code), sign_out(user))
        )
        for answer in done[::2]:
            assert isinstance(answer, Approved) or answer is device_logins.Wait.DENIED


async def test_admins_of_a_tenant_are_disabled_while_it_is_deleted(people: People) -> None:
    root = USERS[ACME, Role.VIEWER]
    async with people.sessions.begin(SYSTEM) as session:
        await session.execute(update(User).where(User.id == root).values(platform_admin=True))
    above = Access(actor_id=root, tenant_id=None, role=None, platform_admin=True)

    async def disable(user: User) -> None:
        async with open_account_work(people.sessions, above) as work:
            await blocking.disable(work, people.identity, user.email)

    async def empty() -> None:
        async with open_system_work(people.sessions) as work:
            await deletions.delete_people(work, OTHER)

    for _ in range(ROUNDS):
        users = await some_people(people, OTHER, Role.ADMIN)
        await race([*(disable(user) for user in users), *(empty() for _ in range(PAIRS))])
        async with people.sessions.begin(SYSTEM) as session:
            assert (
                await session.scalars(
                    select(Membership.user_id).where(Membership.tenant_id == OTHER)
                )
            ).all() == []


async def test_a_tenant_goes_only_when_nobody_has_joined_it_since(people: People) -> None:
    async with open_system_work(people.sessions) as work:
        for table in deletions.tables():
            await deletions.delete_rows(work, table, OTHER)
        late = await work.session.get_one(User, USERS[ACME, Role.MEMBER])
        await accounts.join(work, late, OTHER, Role.VIEWER)
    async with open_system_work(people.sessions) as work:
        assert not await deletions.drop(work, OTHER)
    async with open_system_work(people.sessions) as work:
        assert await deletions.delete_people(work, OTHER) == (1, 0)
        assert await deletions.drop(work, OTHER)
    async with people.sessions.begin(SYSTEM) as session:
        assert await session.get(Tenant, OTHER) is None
        assert await session.get(User, USERS[ACME, Role.MEMBER]) is not None
