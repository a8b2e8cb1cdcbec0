"""API keys: what machines and the MLflow client carry, and how little that is worth to others."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Role
from maestro_ml.core.errors import Forbidden
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_account_work
from maestro_ml.identity.models import ApiKey, Membership, User
from maestro_ml.identity.schemas_keys import ApiKeyCreate
from maestro_ml.identity.service import api_keys
from support.people import People, a_people_server
from support.world import ACME, LAB, OTHER, SHOP, USERS, caller

MEMBER = USERS[ACME, Role.MEMBER]
SHOWN = {
    *("id", "name", "prefix", "last_four", "scopes", "project_ids", "default_project_id"),
    *("created_at", "expires_at", "last_used_at"),
}


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path) as people:
        yield people


@pytest.fixture
async def member(people: People) -> str:
    return await people.token(Role.MEMBER)


async def make(people: People, who: str, **changes: Any) -> Any:
    return await people.made(who, "/api-keys", {"name": "robot"} | changes)


async def keys(sessions: Sessions) -> list[ApiKey]:
    async with sessions.begin(SYSTEM) as session:
        return list(await session.scalars(select(ApiKey).order_by(ApiKey.id)))


def days(key: dict[str, Any]) -> timedelta:
    return datetime.fromisoformat(key["expires_at"]) - datetime.fromisoformat(key["created_at"])


async def test_a_key_is_shown_once_and_acts_as_its_owner(
    people: People, member: str, sessions: Sessions
) -> None:
    key = await make(people, member)
    secret = key["secret"]
    assert secret.startswith("mlp_")
    assert len(secret) == 50
    assert (key["prefix"], key["last_four"]) == (secret[:8], secret[-4:])
    assert (key["scopes"], key["project_ids"]) == (["read", "write"], None)
    assert days(key) == timedelta(days=90)
    assert (key["default_project"], key["default_project_id"]) == ("lab", str(LAB))
    me = await people.ok(secret, "GET", "/auth/me")
    assert (me["id"], me["role"]) == (str(MEMBER), "member")
    listed = (await people.ok(member, "GET", "/api-keys"))["items"]
    assert listed == [{name: key[name] for name in SHOWN}]
    (row,) = await keys(sessions)
    assert secret not in str(vars(row))


async def test_when_a_key_was_used_is_seen(people: People, member: str) -> None:
    key = await make(people, member)
    await people.ok(key["secret"], "GET", "/auth/me")
    await people.identity.flush()
    (listed,) = (await people.ok(member, "GET", "/api-keys"))["items"]
    assert listed["last_used_at"] is not None


async def test_a_revoked_key_is_refused_at_once_and_gone_from_the_list(
    people: People, member: str
) -> None:
    key, kept = await make(people, member), await make(people, member)
    assert await people.ok(member, "DELETE", f"/api-keys/{key['id']}") is None
    await people.refused(401, key["secret"], "GET", "/auth/me")
    await people.ok(kept["secret"], "GET", "/auth/me")
    listed = (await people.ok(member, "GET", "/api-keys"))["items"]
    assert [one["id"] for one in listed] == [kept["id"]]
    path = f"/api-keys/{key['id']}"
    assert await people.code(404, member, "DELETE", path) == "api-key-not-found"


async def test_an_expired_key_is_refused_and_stays_in_the_list(people: People, member: str) -> None:
    key = await make(people, member, expires_in_days=1)
    assert days(key) == timedelta(days=1)
    people.clock.move(days=1, seconds=1)
    await people.refused(401, key["secret"], "GET", "/auth/me")
    member = await people.token(Role.MEMBER)
    assert len((await people.ok(member, "GET", "/api-keys"))["items"]) == 1


async def test_a_key_does_what_its_scopes_say_and_its_owner_may(
    people: People, member: str
) -> None:
    reader = (await make(people, member, scopes=["read"]))["secret"]
    writer = (await make(people, member, scopes=["write", "read", "read"]))["secret"]
    await people.ok(reader, "GET", "/projects")
    await people.refused(403, reader, "POST", "/projects", {"name": "One"})
    await people.made(writer, "/projects", {"name": "One"})
    await people.refused(403, writer, "GET", "/users")
    admin = await people.token()
    await people.ok(admin, "PATCH", f"/users/{MEMBER}", {"role": "viewer"})
    await people.refused(403, writer, "POST", "/projects", {"name": "Two"})
    await people.ok(writer, "GET", "/projects")


async def test_only_an_admin_gives_the_scope_admin(people: People, sessions: Sessions) -> None:
    body = {"name": "x", "scopes": ["read", "admin"]}
    for role in (Role.VIEWER, Role.MEMBER, Role.MAINTAINER):
        await people.refused(403, await people.token(role), "POST", "/api-keys", body)
    assert await keys(sessions) == []
    admin = await people.token()
    key = await people.made(admin, "/api-keys", body)
    assert key["scopes"] == ["read", "admin"]
    await people.ok(key["secret"], "GET", "/users")
    without = (await make(people, admin))["secret"]
    await people.refused(403, without, "GET", "/users")
    async with sessions.begin(ACME) as session:
        await session.execute(
            update(Membership)
            .where(Membership.user_id == USERS[ACME, Role.ADMIN])
            .values(role=Role.MEMBER)
        )
    await people.refused(403, key["secret"], "GET", "/users")


async def test_a_viewer_may_have_a_key(people: People) -> None:
    viewer = await people.token(Role.VIEWER)
    key = (await make(people, viewer))["secret"]
    await people.ok(key, "GET", "/projects")
    await people.refused(403, key, "POST", "/projects", {"name": "One"})


async def test_a_key_makes_sees_and_ends_no_keys(people: People, sessions: Sessions) -> None:
    admin = await people.token()
    key = await make(people, admin, scopes=["read", "write", "admin"])
    secret = key["secret"]
    await people.refused(403, secret, "POST", "/api-keys", {"name": "another"})
    await people.refused(403, secret, "GET", "/api-keys")
    await people.refused(403, secret, "DELETE", f"/api-keys/{key['id']}")
    await people.refused(403, secret, "POST", "/auth/logout-all")
    await people.refused(401, None, "GET", "/api-keys")
    assert len(await keys(sessions)) == 1


async def test_keys_of_others_are_not_there(
    people: People, member: str, sessions: Sessions
) -> None:
    key = await make(people, member)
    async with sessions.begin(OTHER) as session:  # the same person, in another tenant
        session.add(Membership(user_id=MEMBER, role=Role.ADMIN, created_at=people.clock()))
    for other in (
        await people.token(),
        await people.token(Role.ADMIN, OTHER),
        await people.enter(MEMBER, OTHER),
    ):
        assert (await people.ok(other, "GET", "/api-keys"))["items"] == []
        theirs = await people(other, "DELETE", f"/api-keys/{key['id']}")
        nobodys = await people(other, "DELETE", f"/api-keys/{new_id()}")
        assert (theirs.status_code, theirs.content) == (404, nobodys.content)
    await people.ok(key["secret"], "GET", "/auth/me")


async def test_a_key_of_one_tenant_opens_no_other(people: People, sessions: Sessions) -> None:
    async with sessions.begin(OTHER) as session:
        session.add(Membership(user_id=MEMBER, role=Role.ADMIN, created_at=people.clock()))
    there = await people.enter(MEMBER, OTHER)
    key = await make(people, there)
    assert key["default_project"] == "shop"
    me = await people.ok(key["secret"], "GET", "/auth/me")
    assert (me["tenant"]["slug"], me["role"]) == ("other", "admin")
    async with sessions.begin(OTHER) as session:
        await session.delete(
            (await session.scalars(select(Membership).where(Membership.user_id == MEMBER))).one()
        )
    await people.refused(401, key["secret"], "GET", "/auth/me")


async def test_a_key_may_be_limited_to_projects(people: People, member: str) -> None:
    mine = await people.made(member, "/projects", {"name": "Mine"})
    await people.made(member, "/projects", {"name": "Not that"})
    key = await make(people, member, projects=["mine", mine["id"]])
    assert key["project_ids"] == [mine["id"]]
    assert (key["default_project"], key["default_project_id"]) == ("mine", mine["id"])
    seen = (await people.ok(key["secret"], "GET", "/projects"))["items"]
    assert [project["slug"] for project in seen] == ["mine"]
    await people.refused(404, key["secret"], "GET", f"/projects/{LAB}")
    await people.refused(403, key["secret"], "POST", "/projects", {"name": "More"})
    both = await make(people, member, projects=["mine", str(LAB)], default_project="lab")
    assert set(both["project_ids"]) == {mine["id"], str(LAB)}
    assert both["default_project"] == "lab"


async def test_the_default_project_is_among_the_only_ones(people: People, member: str) -> None:
    await people.made(member, "/projects", {"name": "Mine"})
    body = {"name": "x", "projects": ["mine"], "default_project": "lab"}
    problem = await people.refused(422, member, "POST", "/api-keys", body)
    assert problem["type"] == "/problems/default-project-outside"
    assert problem["faults"][0]["at"] == ["body", "default_project"]


async def test_the_default_project_is_the_oldest_own_one(people: People, member: str) -> None:
    assert (await make(people, member))["default_project"] == "lab"
    first = await people.made(member, "/projects", {"name": "First"})
    await people.made(member, "/projects", {"name": "Second"})
    assert (await make(people, member))["default_project"] == "first"
    await people.ok(member, "POST", f"/projects/{first['id']}/archive")
    assert (await make(people, member))["default_project"] == "second"
    assert (await make(people, member, default_project=first["id"]))["default_project"] == "first"


async def test_a_key_for_one_project_changes_nothing_of_the_tenants(people: People) -> None:
    admin = await people.token(Role.ADMIN)
    key = await make(people, admin, scopes=["admin"], projects=["lab"])
    robot = str(key["secret"])
    person, lab = USERS[ACME, Role.VIEWER], f"/projects/{LAB}"
    for method, path, body in (
        ("GET", "/users", None),
        ("GET", f"/users/{person}", None),
        ("PATCH", f"/users/{person}", {"role": "admin"}),
        ("POST", "/users/invitations", {"email": "new@admin.test", "role": "admin"}),
        ("GET", "/users/invitations", None),
    ):
        assert await people.code(403, robot, method, path, body) == "forbidden", path
    assert (await people.ok(robot, "PATCH", lab, {"description": "x"}))["description"] == "x"
    assert (await people.ok(robot, "GET", "/tenants/current"))["slug"] == "acme"
    assert (await people.ok(robot, "GET", "/auth/me"))["role"] == "admin"


async def test_without_any_project_a_key_has_none(people: People, sessions: Sessions) -> None:
    admin = await people.token(Role.ADMIN, OTHER)
    await people.ok(admin, "DELETE", f"/projects/{SHOP}?confirm=shop")
    key = await make(people, admin)
    assert (key["default_project"], key["default_project_id"]) == (None, None)


async def test_a_project_that_is_not_seen_is_not_there(
    people: People, member: str, sessions: Sessions
) -> None:
    admin = await people.token()
    hidden = await people.made(admin, "/projects", {"name": "Hidden", "visibility": "private"})
    told = set()
    for project in (str(SHOP), "shop", hidden["id"], "hidden", str(new_id()), "nothing", "É", "-"):
        for field in ({"projects": ["lab", project]}, {"default_project": project}):
            answer = await people(member, "POST", "/api-keys", {"name": "x"} | field)
            assert answer.status_code == 404, project
            told.add(answer.content)
    assert len(told) == 1
    assert await keys(sessions) == []


BODIES: list[Any] = [
    {},
    {"name": ""},
    {"name": "x" * 101},
    {"name": "a\x00b"},
    {"name": "x", "scopes": []},
    {"name": "x", "scopes": ["root"]},
    {"name": "x", "scopes": "read"},
    {"name": "x", "scopes": None},
    {"name": "x", "expires_in_days": 0},
    {"name": "x", "expires_in_days": 366},
    {"name": "x", "expires_in_days": 10**30},
    {"name": "x", "expires_in_days": None},
    {"name": "x", "expires_in_days": "soon"},
    {"name": "x", "projects": []},
    {"name": "x", "projects": ["lab"] * 101},
    {"name": "x", "projects": [""]},
    {"name": "x", "projects": ["x" * 64]},
    {"name": "x", "projects": ["\x00"]},
    {"name": "x", "projects": "lab"},
    {"name": "x", "default_project": "x" * 64},
    {"name": "x", "default_project": 7},
    *(
        {"name": "x", field: "x"}
        for field in ("id", "user_id", "tenant_id", "hash", "secret", "prefix", "expires_at")
    ),
]


async def test_a_malformed_key_is_refused(people: People, member: str, sessions: Sessions) -> None:
    for body in BODIES:
        assert await people.code(422, member, "POST", "/api-keys", body) == "invalid", body
    await people.refused(422, member, "DELETE", "/api-keys/x")
    await people.refused(422, member, "GET", "/api-keys?cursor=junk")
    assert await keys(sessions) == []


async def test_of_many_who_revoke_a_key_at_once_one_does(
    people: People, member: str, sessions: Sessions
) -> None:
    key = await make(people, member, projects=["lab"])
    path = f"/api-keys/{key['id']}"
    answers = await asyncio.gather(*(people(member, "DELETE", path) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [204] + [404] * 7
    async with sessions.begin(ACME) as session:
        query = select(AuditEvent).where(AuditEvent.target_type == "api_key")
        events = list(await session.scalars(query.order_by(AuditEvent.id)))
    assert [event.action for event in events] == ["api_key.created", "api_key.revoked"]
    assert {event.actor_id for event in events} == {MEMBER}
    assert events[0].facts["scopes"] == ["read", "write"]
    assert events[0].facts["project_ids"] == [str(LAB)]
    assert key["secret"] not in str([vars(event) for event in events])


async def test_whoever_is_in_no_tenant_has_no_keys(people: People, sessions: Sessions) -> None:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(User).where(User.id == MEMBER).values(platform_admin=True))
    above = await people.enter(MEMBER, None)
    await people.refused(403, above, "POST", "/api-keys", {"name": "x"})
    await people.refused(403, above, "GET", "/api-keys")
    await people.refused(403, above, "DELETE", f"/api-keys/{new_id()}")


async def test_the_verb_alone_keeps_a_key_from_making_keys(sessions: Sessions) -> None:
    robot = replace(caller(), api_key_id=UUID(int=7))
    async with open_account_work(sessions, robot) as work:
        with pytest.raises(Forbidden, match="api-key:write"):
            await api_keys.create(work, ApiKeyCreate(name="x"), only=None, default=None)
