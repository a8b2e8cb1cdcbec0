"""The people of a tenant: who sees them, and who changes what they may do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Role
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import Membership, User, UserKind
from support.people import People, a_people_server
from support.world import ACME, OTHER, USERS

VIEWER, MEMBER, MAINTAINER, ADMIN = (USERS[ACME, role] for role in Role)


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path) as people:
        yield people


async def admins(sessions: Sessions) -> int:
    async with sessions.begin(ACME) as session:
        query = select(Membership).where(Membership.role == Role.ADMIN)
        return len((await session.scalars(query)).all())


async def changes(sessions: Sessions) -> list[AuditEvent]:
    async with sessions.begin(ACME) as session:
        query = select(AuditEvent).where(AuditEvent.action == "member.changed")
        return list(await session.scalars(query.order_by(AuditEvent.id)))


async def test_an_admin_sees_the_tenants_people_and_no_others(people: People) -> None:
    admin = await people.token()
    page = await people.ok(admin, "GET", "/users")
    assert {user["id"] for user in page["items"]} == {str(USERS[ACME, role]) for role in Role}
    assert page["next_cursor"] is None
    member = await people.ok(admin, "GET", f"/users/{MEMBER}")
    assert member in page["items"]
    assert (member["email"], member["role"], member["active"]) == (
        "member@acme.test",
        "member",
        True,
    )
    assert set(member) == {
        *("id", "kind", "email", "name", "role", "active", "disabled", "verified"),
        *("joined_at", "created_at", "last_login_at"),
    }


async def test_people_are_found_by_name_or_address(people: People) -> None:
    admin = await people.token()
    for q, found in (
        ("MEMBER@", {"member"}),
        ("m", {"admin", "maintainer", "member", "viewer"}),
        ("maint", {"maintainer"}),
        ("other", set()),
        ("%", set()),
        ("_", set()),
    ):
        page = await people.ok(admin, "GET", f"/users?q={q.replace('%', '%25')}")
        assert {user["name"] for user in page["items"]} == found, q


async def test_the_list_is_read_page_by_page(people: People) -> None:
    admin = await people.token()
    seen, cursor = [], ""
    while cursor is not None:
        page = await people.ok(admin, "GET", f"/users?limit=3{cursor and f'&cursor={cursor}'}")
        seen += [user["name"] for user in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ["admin", "maintainer", "member", "viewer"]
    assert await people.code(422, admin, "GET", "/users?cursor=junk") == "invalid"


async def test_a_new_role_counts_on_the_next_request(people: People, sessions: Sessions) -> None:
    admin, member = await people.token(), await people.token(Role.MEMBER)
    await people.refused(403, member, "GET", "/users")
    changed = await people.ok(admin, "PATCH", f"/users/{MEMBER}", {"role": "admin"})
    assert changed["role"] == "admin"
    await people.ok(member, "GET", "/users")
    await people.ok(member, "PATCH", f"/users/{ADMIN}", {"role": "viewer"})
    await people.refused(403, admin, "GET", "/users")
    told = [(e.actor_id, e.target_id, e.facts) for e in await changes(sessions)]
    assert told == [
        (ADMIN, str(MEMBER), {"before": "member", "role": "admin"}),
        (MEMBER, str(ADMIN), {"before": "admin", "role": "viewer"}),
    ]


async def test_the_same_role_again_changes_nothing(people: People, sessions: Sessions) -> None:
    admin = await people.token()
    await people.ok(admin, "PATCH", f"/users/{ADMIN}", {"role": "admin"})
    assert await changes(sessions) == []


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER, Role.MAINTAINER])
async def test_only_admins_see_and_change_people(people: People, role: Role) -> None:
    token = await people.token(role)
    for id in (USERS[ACME, role], VIEWER, USERS[OTHER, Role.VIEWER], new_id()):
        await people.refused(403, token, "PATCH", f"/users/{id}", {"role": "admin"})
        await people.refused(403, token, "GET", f"/users/{id}")
    await people.refused(403, token, "GET", "/users")
    assert (await people.ok(token, "GET", "/auth/me"))["role"] == role


async def test_people_of_another_tenant_are_not_there(people: People, sessions: Sessions) -> None:
    admin = await people.token()
    for method, body in (("GET", None), ("PATCH", {"role": "admin"})):
        theirs = await people(admin, method, f"/users/{USERS[OTHER, Role.VIEWER]}", body)
        nobodys = await people(admin, method, f"/users/{new_id()}", body)
        assert (theirs.status_code, theirs.content) == (404, nobodys.content)
    async with sessions.begin(OTHER) as session:
        query = select(Membership.role).where(Membership.user_id == USERS[OTHER, Role.VIEWER])
        assert await session.scalar(query) is Role.VIEWER


BODIES: list[Any] = [
    {},
    {"role": None},
    {"active": None},
    {"active": "no"},
    {"active": 0},
    {"password": "lamp tunnel ocean 17"},
    {"active": False, "password": "lamp tunnel ocean 17"},
    {"role": "ADMIN"},
    {"role": "owner"},
    {"role": ["admin"]},
    {"role": {"$ne": ""}},
    {"role": "viewer\x00admin"},
    {"role": "admin", "password": "x"},
    *(
        {"role": "admin", field: "x"}
        for field in (
            *("tenant_id", "id", "is_admin", "is_superuser", "is_active", "disabled", "verified"),
            *("password_hash", "created_at", "meta", "permissions", "platform_admin", "email"),
            *("name", "kind", "__proto__"),
        )
    ),
    [],
    "admin",
]


async def test_a_change_of_anything_else_is_refused(people: People, sessions: Sessions) -> None:
    admin = await people.token()
    for body in BODIES:
        assert await people.code(422, admin, "PATCH", f"/users/{VIEWER}", body) == "invalid"
    await people.refused(422, admin, "PATCH", "/users/me", {"role": "admin"})
    await people.refused(422, admin, "GET", "/users?q=%00")
    await people.refused(422, admin, "GET", f"/users?q={'x' * 201}")
    await people.refused(401, None, "GET", "/users")
    assert await changes(sessions) == []


async def test_the_last_admin_stays_one(people: People, sessions: Sessions) -> None:
    admin = await people.token()
    path, down = f"/users/{ADMIN}", {"role": "viewer"}
    assert await people.code(409, admin, "PATCH", path, down) == "last-admin"
    await people.ok(admin, "PATCH", f"/users/{MEMBER}", {"role": "admin"})
    for useless in ({"active": False}, {"active": True, "kind": UserKind.SERVICE}):
        async with sessions.begin(SYSTEM) as session:
            await session.execute(update(User).where(User.id == MEMBER).values(**useless))
        assert await people.code(409, admin, "PATCH", path, down) == "last-admin"
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(User).where(User.id == MEMBER).values(kind=UserKind.PERSON))
    await people.ok(admin, "PATCH", path, down)
    assert await admins(sessions) == 1


async def test_of_admins_who_demote_each_other_at_once_one_stays(
    people: People, sessions: Sessions
) -> None:
    async with sessions.begin(ACME) as session:
        await session.execute(update(Membership).values(role=Role.ADMIN))
    everybody = [USERS[ACME, role] for role in Role]
    tokens = [await people.token(role) for role in Role]
    for _ in range(3):
        answers = await asyncio.gather(
            *(
                people(token, "PATCH", f"/users/{id}", {"role": "viewer"})
                for token in tokens
                for id in everybody
            )
        )
        assert {answer.status_code for answer in answers} <= {200, 403, 409}
        assert await admins(sessions) >= 1
        async with sessions.begin(ACME) as session:
            await session.execute(update(Membership).values(role=Role.ADMIN))
