"""Machines of a tenant: accounts without a password, and keys that outlive whoever made them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from maestro_ml.core.access import Role
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import ApiKey, ServiceAccount, User
from maestro_ml.tenancy.models import Tenant
from support.live import a_password
from support.people import People, a_people_server
from support.world import ACME, LAB, OTHER, USERS

BOTS = "/service-accounts"


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path) as people:
        yield people


@pytest.fixture
async def admin(people: People) -> str:
    return await people.token()


@pytest.fixture
async def bot(people: People, admin: str) -> Any:
    return await people.made(admin, BOTS, {"name": "nightly", "description": "Trains at night."})


async def a_key(people: People, admin: str, bot: Any, **more: Any) -> Any:
    return await people.made(admin, f"{BOTS}/{bot['id']}/keys", {"name": "k"} | more)


async def test_a_machine_works_with_its_key(people: People, admin: str, bot: Any) -> None:
    assert (bot["name"], bot["role"], bot["active"]) == ("nightly", "member", True)
    assert bot["created_by"] == str(USERS[ACME, Role.ADMIN])
    assert (await people.ok(admin, "GET", BOTS))["items"] == [bot]
    assert await people.ok(admin, "GET", f"{BOTS}/{bot['id']}") == bot
    key = await a_key(people, admin, bot, expires_in_days=365)
    assert key["secret"].startswith("mlp_")
    me = await people.ok(key["secret"], "GET", "/auth/me")
    assert (me["name"], me["role"], me["tenant"]["slug"]) == ("nightly", "member", "acme")
    made = await people.made(key["secret"], "/projects", {"name": "By a machine"})
    assert made["created_by"] == bot["id"]
    (listed,) = (await people.ok(admin, "GET", f"{BOTS}/{bot['id']}/keys"))["items"]
    assert listed == {n: v for n, v in key.items() if n not in {"secret", "default_project"}}
    await people.ok(admin, "DELETE", f"{BOTS}/{bot['id']}/keys/{key['id']}")
    await people.refused(401, key["secret"], "GET", "/auth/me")
    gone = f"{BOTS}/{bot['id']}/keys/{key['id']}"
    assert await people.code(404, admin, "DELETE", gone) == "api-key-not-found"


async def test_a_machine_outlives_who_made_it(
    people: People, admin: str, bot: Any, sessions: Sessions
) -> None:
    key = (await a_key(people, admin, bot))["secret"]
    await people.ok(admin, "PATCH", f"/users/{USERS[ACME, Role.MEMBER]}", {"role": "admin"})
    second = await people.token(Role.MEMBER)
    await people.ok(second, "DELETE", f"/users/{USERS[ACME, Role.ADMIN]}")
    async with sessions.begin(SYSTEM) as session:
        creator = update(User).where(User.id == USERS[ACME, Role.ADMIN])
        await session.execute(creator.values(active=False))
    await people.ok(key, "GET", "/projects")


async def test_a_machine_never_signs_in(people: People, admin: str, bot: Any) -> None:
    (seen,) = (await people.ok(admin, "GET", "/users?kind=service"))["items"]
    assert (seen["id"], seen["name"]) == (bot["id"], "nightly")
    login = {"email": seen["email"], "password": a_password()}
    await people.refused(401, None, "POST", "/auth/login", login)
    await people.refused(422, admin, "POST", "/users/invitations", login | {"role": "viewer"})
    invite = {"email": seen["email"], "role": "viewer"}
    assert await people.code(422, admin, "POST", "/users/invitations", invite) == "invalid"
    register = login | {"name": "N"}
    assert await people.code(422, None, "POST", "/auth/register", register) == "invalid"


async def test_a_machine_makes_and_sees_no_keys(people: People, admin: str) -> None:
    boss = await people.made(admin, BOTS, {"name": "boss", "role": "admin"})
    key = (await a_key(people, admin, boss, scopes=["read", "write", "admin"]))["secret"]
    await people.ok(key, "GET", "/users")
    for method, path, body in (
        ("POST", "/api-keys", {"name": "x"}),
        ("GET", "/api-keys", None),
        ("POST", f"{BOTS}/{boss['id']}/keys", {"name": "x"}),
        ("GET", f"{BOTS}/{boss['id']}/keys", None),
        ("DELETE", f"{BOTS}/{boss['id']}/keys/{new_id()}", None),
        ("POST", "/auth/logout-all", None),
    ):
        await people.refused(403, key, method, path, body)


async def test_what_a_machine_may_changes_on_the_next_request(
    people: People, admin: str, bot: Any
) -> None:
    key = (await a_key(people, admin, bot))["secret"]
    at = f"{BOTS}/{bot['id']}"
    lower = await people.ok(admin, "PATCH", at, {"role": "viewer", "description": "Reads."})
    assert (lower["role"], lower["description"], lower["name"]) == ("viewer", "Reads.", "nightly")
    await people.refused(403, key, "POST", "/projects", {"name": "x"})
    await people.ok(key, "GET", "/projects")
    assert (await people.ok(admin, "PATCH", at, {"active": False}))["active"] is False
    await people.refused(401, key, "GET", "/projects")
    await people.ok(admin, "PATCH", at, {"active": True, "name": "daily"})
    assert (await people.ok(key, "GET", "/auth/me"))["name"] == "daily"
    await people.ok(admin, "DELETE", at)
    await people.refused(401, key, "GET", "/projects")
    await people.refused(404, admin, "GET", at)


async def test_a_machines_scope_goes_no_further_than_its_role(
    people: People, admin: str, bot: Any
) -> None:
    for scopes in (["admin"], ["read", "admin"]):
        body = {"name": "k", "scopes": scopes}
        await people.refused(403, admin, "POST", f"{BOTS}/{bot['id']}/keys", body)
    reader = (await a_key(people, admin, bot, scopes=["read"]))["secret"]
    await people.ok(reader, "GET", "/projects")
    await people.refused(403, reader, "POST", "/projects", {"name": "x"})


async def test_a_key_can_be_kept_to_some_projects(people: People, admin: str, bot: Any) -> None:
    other = await people.made(admin, "/projects", {"name": "Elsewhere"})
    key = await a_key(people, admin, bot, projects=["lab"], default_project="lab")
    assert (key["project_ids"], key["default_project"]) == ([str(LAB)], "lab")
    await people.ok(key["secret"], "GET", f"/projects/{LAB}")
    await people.refused(404, key["secret"], "GET", f"/projects/{other['id']}")
    at = f"{BOTS}/{bot['id']}/keys"
    outside = {"name": "k", "projects": ["lab"], "default_project": "elsewhere"}
    assert await people.code(422, admin, "POST", at, outside) == "default-project-outside"
    foreign = {"name": "k", "projects": ["shop"]}
    assert await people.code(404, admin, "POST", at, foreign) == "project-not-found"


async def test_a_machine_takes_a_seat(people: People, admin: str, sessions: Sessions) -> None:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(Tenant).where(Tenant.id == ACME).values(max_users=5))
    first = await people.made(admin, BOTS, {"name": "first"})
    problem = await people.refused(409, admin, "POST", BOTS, {"name": "second"})
    assert (problem["limit"], problem["used"], problem["allowed"]) == ("max_users", 5, 5)
    await people.ok(admin, "DELETE", f"{BOTS}/{first['id']}")
    await people.made(admin, BOTS, {"name": "second"})
    async with sessions.begin(SYSTEM) as session:
        assert await session.get(User, UUID(first["id"])) is None
        assert len((await session.scalars(select(ServiceAccount))).all()) == 1


async def test_a_name_is_taken_once_in_a_tenant(people: People, admin: str, bot: Any) -> None:
    code = await people.code(409, admin, "POST", BOTS, {"name": "nightly"})
    assert code == "service-account-name-taken"
    other = await people.made(admin, BOTS, {"name": "other"})
    at = f"{BOTS}/{other['id']}"
    assert await people.code(409, admin, "PATCH", at, {"name": "nightly"}) == code
    await people.made(await people.token(tenant=OTHER), BOTS, {"name": "nightly"})


async def test_another_tenant_finds_no_machine(people: People, admin: str, bot: Any) -> None:
    key = await a_key(people, admin, bot)
    thief = await people.token(tenant=OTHER)
    assert (await people.ok(thief, "GET", BOTS))["items"] == []
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"active": False}),
        ("PATCH", "", {"name": "stolen"}),
        ("DELETE", "", None),
        ("GET", "/keys", None),
        ("POST", "/keys", {"name": "x"}),
        ("DELETE", f"/keys/{key['id']}", None),
    ):
        theirs = await people(thief, method, f"{BOTS}/{bot['id']}{path}", body)
        nobodys = await people(thief, method, f"{BOTS}/{new_id()}{path}", body)
        assert (theirs.status_code, theirs.content) == (404, nobodys.content), path
    mine = await people.made(thief, BOTS, {"name": "mine"})
    await people.refused(404, thief, "DELETE", f"{BOTS}/{mine['id']}/keys/{key['id']}")
    assert await people.ok(admin, "GET", f"{BOTS}/{bot['id']}") == bot
    await people.ok(key["secret"], "GET", "/auth/me")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER, Role.MAINTAINER])
async def test_only_admins_run_machines(people: People, bot: Any, role: Role) -> None:
    token = await people.token(role)
    for method, path, body in (
        ("POST", "", {"name": "x"}),
        ("GET", "", None),
        ("GET", f"/{bot['id']}", None),
        ("PATCH", f"/{bot['id']}", {"role": "admin"}),
        ("DELETE", f"/{bot['id']}", None),
        ("POST", f"/{bot['id']}/keys", {"name": "x"}),
        ("GET", f"/{bot['id']}/keys", None),
    ):
        await people.refused(403, token, method, f"{BOTS}{path}", body)


async def test_what_does_not_fit_makes_no_machine(
    people: People, admin: str, bot: Any, sessions: Sessions
) -> None:
    wrong: list[Any] = [
        *({"name": name} for name in ("", " ", "x" * 101, "a\x00b", None, 7)),
        *(
            {"name": "x", field: "y"}
            for field in ("email", "password", "id", "tenant_id", "kind", "platform_admin", "role")
        ),
        {"name": "x", "description": "x" * 1001},
        {},
    ]
    for body in wrong:
        await people.refused(422, admin, "POST", BOTS, body)
    for body in ({}, {"role": None}, {"active": "no"}, {"password": "x"}, {"kind": "person"}):
        await people.refused(422, admin, "PATCH", f"{BOTS}/{bot['id']}", body)
    for body in ({}, {"name": "k", "expires_in_days": 366}, {"name": "k", "scopes": []}):
        await people.refused(422, admin, "POST", f"{BOTS}/{bot['id']}/keys", body)
    person = USERS[ACME, Role.MEMBER]
    await people.refused(404, admin, "POST", f"{BOTS}/{person}/keys", {"name": "not a machine"})
    await people.refused(404, admin, "DELETE", f"{BOTS}/{person}")
    async with sessions.begin(SYSTEM) as session:
        assert not (await session.scalars(select(ApiKey))).all()
        assert len((await session.scalars(select(ServiceAccount))).all()) == 1
