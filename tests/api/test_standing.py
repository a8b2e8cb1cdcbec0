"""Who has access to a tenant: put on hold, taken out, signed out; and an admin always stays."""

from collections.abc import AsyncIterator, Callable
from itertools import islice, product
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Role
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity.models import ApiKey, Membership, User
from maestro_ml.identity.service import accounts
from maestro_ml.projects.models import ProjectMember
from maestro_ml.tenancy.models import Tenant
from support.live import a_password
from support.people import People, a_people_server
from support.races import AT_ONCE, race, rounds
from support.world import ACME, OTHER, USERS

VIEWER, MEMBER, MAINTAINER, ADMIN = (USERS[ACME, role] for role in Role)
ON_HOLD = {"active": False}
WAYS: tuple[Callable[[UUID], tuple[str, str, Any]], ...] = (
    lambda id: ("PATCH", f"/users/{id}", ON_HOLD),
    lambda id: ("PATCH", f"/users/{id}", {"role": "viewer"}),
    lambda id: ("DELETE", f"/users/{id}", None),
)


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path) as people:
        yield people


async def told(sessions: Sessions) -> list[tuple[str, str | None]]:
    """What ACME's trail says of members."""
    async with sessions.begin(ACME) as session:
        query = select(AuditEvent.action, AuditEvent.target_id).order_by(AuditEvent.id)
        return [(a, id) for a, id in await session.execute(query) if a.startswith("member.")]


async def in_other_too(sessions: Sessions, user_id: Any) -> None:
    async with open_system_work(sessions) as work:
        user = await work.session.get_one(User, user_id)
        await accounts.join(work, user, OTHER, Role.VIEWER)


async def test_a_key_makes_nobody_an_admin(people: People) -> None:
    """Whoever has found an admin's key cannot outlive it."""
    admin = await people.token()
    key = (await people.made(admin, "/api-keys", {"name": "k", "scopes": ["admin"]}))["secret"]
    offer = {"email": "new@x.test", "role": "admin"}
    made = await people.made(admin, "/users/invitations", offer)
    bot = await people.made(key, "/service-accounts", {"name": "bot", "role": "member"})
    for method, path, body in (
        ("POST", "/users/invitations", {"email": "other@x.test", "role": "admin"}),
        ("POST", f"/users/invitations/{made['id']}/resend", None),
        ("PATCH", f"/users/{MEMBER}", {"role": "admin"}),
        ("POST", "/service-accounts", {"name": "other", "role": "admin"}),
        ("PATCH", f"/service-accounts/{bot['id']}", {"role": "admin"}),
    ):
        problem = await people.refused(403, key, method, path, body)
        assert "admin:appoint" in problem["detail"], path
        assert (await people(admin, method, path, body)).is_success, path
    await people.made(key, "/users/invitations", {"email": "third@x.test", "role": "maintainer"})
    await people.ok(key, "PATCH", f"/users/{VIEWER}", {"role": "maintainer"})
    await people.ok(key, "PATCH", f"/users/{MEMBER}", ON_HOLD)
    problem = await people.refused(403, key, "PATCH", f"/users/{MEMBER}", {"active": True})
    assert "admin:appoint" in problem["detail"]
    assert not (await people.ok(admin, "GET", f"/users/{MEMBER}"))["active"]
    await people.ok(admin, "PATCH", f"/users/{MEMBER}", {"active": True})


async def test_who_is_on_hold_has_no_access_here_and_all_of_it_elsewhere(
    people: People, sessions: Sessions
) -> None:
    await in_other_too(sessions, MEMBER)
    admin, here = await people.token(), await people.token(Role.MEMBER)
    there = await people.enter(MEMBER, OTHER)
    key = (await people.made(here, "/api-keys", {"name": "x"}))["secret"]
    held = await people.ok(admin, "PATCH", f"/users/{MEMBER}", ON_HOLD)
    assert (held["active"], held["disabled"]) == (False, False)
    for credential in (here, key):
        await people.refused(401, credential, "GET", "/projects")
    await people.ok(there, "GET", "/projects")
    assert (await people.ok(admin, "GET", f"/users/{MEMBER}"))["active"] is False
    current = await people.ok(admin, "GET", "/tenants/current")
    assert current["usage"]["users"] == len(Role)  # the seat is kept
    back = await people.ok(admin, "PATCH", f"/users/{MEMBER}", {"active": True})
    assert back["active"] is True
    await people.ok(key, "GET", "/projects")
    await people.refused(401, here, "GET", "/projects")  # sessions have ended for good
    await people.ok(await people.token(Role.MEMBER), "GET", "/projects")
    assert await told(sessions) == [
        ("member.deactivated", str(MEMBER)),
        ("member.reactivated", str(MEMBER)),
    ]


async def test_who_is_on_hold_does_not_sign_in_here(people: People) -> None:
    admin = await people.token()
    offer = await people.made(
        admin, "/users/invitations", {"email": "new@x.test", "role": "member"}
    )
    body = {"token": offer["token"], "password": a_password(), "name": "New"}
    entered = await people.made(None, "/auth/invitations/accept", body)
    await people.ok(admin, "PATCH", f"/users/{entered['user']['id']}", ON_HOLD)
    login = {"email": "new@x.test", "password": body["password"]}
    for where in ({}, {"tenant": "acme"}):
        problem = await people.refused(401, None, "POST", "/auth/login", login | where)
        assert problem["type"] == "/problems/wrong-credentials"
    refresh = {"refresh_token": entered["refresh_token"]}
    await people.refused(401, None, "POST", "/auth/refresh", refresh)
    again = {"email": "new@x.test", "role": "admin"}
    assert await people.code(409, admin, "POST", "/users/invitations", again) == "already-member"


async def test_who_is_taken_out_leaves_what_they_made(people: People, sessions: Sessions) -> None:
    await in_other_too(sessions, MEMBER)
    admin, here = await people.token(), await people.token(Role.MEMBER)
    there = await people.enter(MEMBER, OTHER)
    key = (await people.made(here, "/api-keys", {"name": "x"}))["secret"]
    key_there = (await people.made(there, "/api-keys", {"name": "x"}))["secret"]
    project = await people.made(here, "/projects", {"name": "Stays"})
    await people.ok(admin, "DELETE", f"/users/{MEMBER}")
    for credential in (here, key):
        await people.refused(401, credential, "GET", "/projects")
    for credential in (there, key_there):
        await people.ok(credential, "GET", "/projects")
    await people.refused(404, admin, "GET", f"/users/{MEMBER}")
    stays = await people.ok(admin, "GET", f"/projects/{project['id']}")
    assert stays["created_by"] == str(MEMBER)
    current = await people.ok(admin, "GET", "/tenants/current")
    assert current["usage"]["users"] == len(Role) - 1
    # Back again, they begin anew: an old key is no way in.
    offer = await people.made(
        admin, "/users/invitations", {"email": "member@acme.test", "role": "viewer"}
    )
    assert offer["role"] == "viewer"
    async with open_system_work(sessions) as work:
        await accounts.join(work, await work.session.get_one(User, MEMBER), ACME, Role.VIEWER)
    for credential in (here, key):
        await people.refused(401, credential, "GET", "/projects")
    assert ("member.removed", str(MEMBER)) in await told(sessions)


async def test_an_older_offer_is_no_way_back(people: People, sessions: Sessions) -> None:
    """Somebody was offered a place, got one in another way, and is taken out."""
    admin, email = await people.token(), "new@x.test"
    offer = await people.made(admin, "/users/invitations", {"email": email, "role": "admin"})
    password = a_password()
    register = {"email": email, "password": password, "name": "New"}
    user = (await people.made(None, "/auth/register", register))["user"]
    async with open_system_work(sessions) as work:
        known = await work.session.get_one(User, UUID(user["id"]))
        await accounts.join(work, known, ACME, Role.VIEWER)
    await people.ok(admin, "DELETE", f"/users/{user['id']}")
    answer = {"token": offer["token"], "password": password, "name": "New"}
    code = await people.code(422, None, "POST", "/auth/invitations/accept", answer)
    assert code == "invitation-invalid"


async def test_a_private_project_is_not_lost_with_its_only_maintainer(
    people: People, sessions: Sessions
) -> None:
    admin, member = await people.token(), await people.token(Role.MEMBER)
    hidden = {"name": "Hidden", "visibility": "private"}
    alone = await people.made(member, "/projects", hidden)
    shared = await people.made(member, "/projects", hidden | {"name": "Shared"})
    team = f"/projects/{shared['id']}/members"
    await people.made(member, team, {"email": "viewer@acme.test", "role": "maintainer"})
    await people.refused(404, admin, "GET", f"/projects/{alone['id']}")
    await people.ok(admin, "DELETE", f"/users/{MEMBER}")
    admin = await people.token()
    await people.ok(admin, "PATCH", f"/projects/{alone['id']}", {"description": "taken over"})
    await people.refused(404, admin, "GET", f"/projects/{shared['id']}")
    async with sessions.begin(SYSTEM) as session:
        query = select(ProjectMember.user_id, ProjectMember.role)
        of_alone = await session.execute(query.where(ProjectMember.project_id == UUID(alone["id"])))
        assert [tuple(row) for row in of_alone] == [(ADMIN, Role.MAINTAINER)]


async def test_signed_out_everywhere_means_here(people: People, sessions: Sessions) -> None:
    await in_other_too(sessions, MEMBER)
    admin = await people.token()
    mine = [await people.token(Role.MEMBER) for _ in range(3)]
    key = (await people.made(mine[0], "/api-keys", {"name": "x"}))["secret"]
    there = await people.enter(MEMBER, OTHER)
    await people.ok(admin, "POST", f"/users/{MEMBER}/sign-out")
    for token in mine:
        await people.refused(401, token, "GET", "/auth/me")
    for credential in (key, there, await people.token(Role.MEMBER), admin):
        await people.ok(credential, "GET", "/auth/me")
    assert await told(sessions) == [("member.signed_out", str(MEMBER))]


CALLS: list[tuple[str, str, Any]] = [
    ("PATCH", "", ON_HOLD),
    ("DELETE", "", None),
    ("POST", "/sign-out", None),
]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER, Role.MAINTAINER])
async def test_only_admins_put_on_hold_take_out_and_sign_out(people: People, role: Role) -> None:
    token = await people.token(role)
    for method, path, body in CALLS:
        for id in (VIEWER, USERS[ACME, role], USERS[OTHER, Role.VIEWER], new_id()):
            await people.refused(403, token, method, f"/users/{id}{path}", body)
        await people.refused(401, None, method, f"/users/{VIEWER}{path}", body)


async def test_people_of_another_tenant_are_not_touched(people: People) -> None:
    admin, theirs = await people.token(), await people.token(Role.VIEWER, OTHER)
    for method, path, body in CALLS:
        foreign = await people(admin, method, f"/users/{USERS[OTHER, Role.VIEWER]}{path}", body)
        nobody = await people(admin, method, f"/users/{new_id()}{path}", body)
        assert (foreign.status_code, foreign.content) == (404, nobody.content)
        await people.refused(422, admin, method, f"/users/x{path}", body)
    await people.ok(theirs, "GET", "/auth/me")


async def test_the_last_admin_is_neither_held_nor_taken_out(
    people: People, sessions: Sessions
) -> None:
    admin = await people.token()
    for method, body in (("PATCH", ON_HOLD), ("PATCH", {"role": "viewer"}), ("DELETE", None)):
        assert await people.code(409, admin, method, f"/users/{ADMIN}", body) == "last-admin"
    await people.ok(admin, "PATCH", f"/users/{MEMBER}", {"role": "admin"})
    await people.ok(admin, "PATCH", f"/users/{MEMBER}", ON_HOLD)  # an admin, but no help
    for method, body in (("PATCH", ON_HOLD), ("PATCH", {"role": "viewer"}), ("DELETE", None)):
        assert await people.code(409, admin, method, f"/users/{ADMIN}", body) == "last-admin"
    bot = await people.made(admin, "/service-accounts", {"name": "bot", "role": "admin"})
    assert await people.code(409, admin, "DELETE", f"/users/{ADMIN}") == "last-admin"
    await people.ok(admin, "DELETE", f"/users/{bot['id']}")
    await people.ok(admin, "PATCH", f"/users/{MEMBER}", {"active": True})
    await people.ok(admin, "DELETE", f"/users/{ADMIN}")
    await people.refused(401, admin, "GET", "/users")
    assert await told(sessions)


async def test_admins_who_end_each_other_at_once_leave_one(
    people: People, sessions: Sessions
) -> None:
    """Forty calls of four admins: each is put on hold, demoted and taken out by everybody."""
    everybody = {role: USERS[ACME, role] for role in Role}

    async def one(_: int) -> None:
        async with sessions.begin(SYSTEM) as session:
            here = update(Membership).where(Membership.tenant_id == ACME)
            await session.execute(here.values(role=Role.ADMIN, active=True))
            places = await session.scalars(
                select(Membership.user_id).where(Membership.tenant_id == ACME)
            )
            gone = set(everybody.values()) - set(places)
        async with open_system_work(sessions) as work:
            for id in gone:
                await accounts.join(work, await work.session.get_one(User, id), ACME, Role.ADMIN)
        tokens = [await people.token(role) for role in everybody]
        calls = product(tokens, product(everybody.values(), WAYS))
        done = await race(people(token, *way(id)) for token, (id, way) in islice(calls, AT_ONCE))
        assert set(done) <= {200, 204, 401, 403, 404, 409}
        async with sessions.begin(SYSTEM) as session:
            left = select(Membership).where(
                Membership.tenant_id == ACME, Membership.role == Role.ADMIN, Membership.active
            )
            assert (await session.scalars(left)).all()
            seats = (await session.get_one(Tenant, ACME)).n_users
            all_places = select(Membership).where(Membership.tenant_id == ACME)
            assert len((await session.scalars(all_places)).all()) == seats

    await rounds(one)


async def test_who_waits_behind_their_demotion_does_not_undo_it(people: People) -> None:
    """Of calls that are sent all the time some are read while the caller still is an admin."""
    admin, theirs, one = await people.token(), await people.token(Role.MEMBER), f"/users/{MEMBER}"

    async def demoted(_: int) -> None:
        await people.ok(admin, "PATCH", one, {"role": "admin"})
        again = [people(theirs, "PATCH", one, {"role": "admin"}) for _ in range(AT_ONCE)]
        again.insert(AT_ONCE // 2, people(admin, "PATCH", one, {"role": "viewer"}))
        assert set(await race(again)) <= {200, 403}
        assert (await people.ok(theirs, "GET", "/auth/me"))["role"] == "viewer"

    await rounds(demoted)


async def test_people_are_found_by_role_access_and_kind(people: People) -> None:
    admin = await people.token()
    await people.made(admin, "/service-accounts", {"name": "bot", "role": "viewer"})
    await people.ok(admin, "PATCH", f"/users/{MEMBER}", ON_HOLD)
    for asked, found in (
        ("role=viewer", ["bot", "viewer"]),
        ("active=false", ["member"]),
        ("active=true&kind=person", ["admin", "maintainer", "viewer"]),
        ("kind=service", ["bot"]),
        ("q=m&active=true&role=admin", ["admin"]),
        ("role=viewer&active=false", []),
    ):
        page = await people.ok(admin, "GET", f"/users?{asked}")
        assert sorted(user["name"] for user in page["items"]) == found, asked
    for wrong in ("role=owner", "active=maybe", "kind=robot", "sort=password_hash", "sort=role"):
        await people.refused(422, admin, "GET", f"/users?{wrong}")


@pytest.mark.parametrize("sort", ["name", "email", "joined_at"])
async def test_people_are_sorted_both_ways_page_by_page(people: People, sort: str) -> None:
    admin = await people.token()
    listed: dict[str, list[str]] = {}
    for order in (sort, f"-{sort}"):
        names, cursor = [], ""
        while cursor is not None:
            path = f"/users?limit=3&sort={order}{cursor and f'&cursor={cursor}'}"
            page = await people.ok(admin, "GET", path)
            names += [user["name"] for user in page["items"]]
            cursor = page["next_cursor"]
        listed[order] = names
    assert listed[sort] == listed[f"-{sort}"][::-1]
    assert len(set(listed[sort])) == len(Role)
    if sort != "joined_at":
        assert listed[sort] == ["admin", "maintainer", "member", "viewer"]


async def test_a_removed_persons_key_stays_revoked_in_the_database(
    people: People, sessions: Sessions
) -> None:
    admin, member = await people.token(), await people.token(Role.MEMBER)
    await people.made(member, "/api-keys", {"name": "x"})
    await people.ok(admin, "DELETE", f"/users/{MEMBER}")
    async with sessions.begin(SYSTEM) as session:
        keys = await session.scalars(select(ApiKey).where(ApiKey.user_id == MEMBER))
        assert all(key.revoked_at for key in keys.all())
