"""Projects over HTTP: done, refused, not yours."""

import pytest
from sqlalchemy import update

from maestro_ml.core.access import Role
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.tenancy.models import Tenant
from support import ACME, USERS
from support.native import Api
from support.projects import AT, EVERYTHING, P, names


async def test_a_member_creates_reads_and_changes_a_project(api: Api) -> None:
    made = await api.ok("member", "POST", P, EVERYTHING)
    assert {name: made[name] for name in EVERYTHING} == EVERYTHING
    assert made["created_by"] == str(USERS[ACME, Role.MEMBER])
    assert await api.ok("viewer", "GET", f"{P}/{made['id']}") == made
    change = {"status": "active", "goal_target": None, "budget": 12.5}
    changed = await api.ok("member", "PATCH", f"{P}/{made['id']}", change)
    assert changed["updated_at"] > made["updated_at"]
    assert changed == made | {
        "status": "active",
        "goal_target": None,
        "budget": "12.50",
        "updated_at": changed["updated_at"],
    }
    assert await api.ok("viewer", "GET", f"{P}/{made['id']}") == changed


async def test_created_answers_201_and_nothing_but_a_name_is_needed(api: Api) -> None:
    answer = await api("member", "POST", P, {"name": "  Fraud  "})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["name"], made["slug"], made["visibility"]) == ("Fraud", "fraud", "internal")


async def test_nobody_in_particular_reads_nothing(api: Api) -> None:
    for method, path in (("GET", P), ("POST", P), ("GET", AT), ("DELETE", AT)):
        problem = await api.refused(401, "nobody", method, path)
        assert problem["detail"] == "Not authenticated"


@pytest.mark.parametrize(
    ("least", "method", "path", "body"),
    [
        ("member", "POST", P, {"name": "New"}),
        ("member", "PATCH", "{AT}", {"description": "new"}),
        ("maintainer", "PATCH", "{AT}", {"visibility": "private"}),
        ("maintainer", "POST", "{AT}/archive", None),
        ("maintainer", "POST", "{AT}/restore", None),
        ("maintainer", "DELETE", "{AT}?confirm=lab", None),
        ("maintainer", "POST", "{AT}/members", {"email": "viewer@acme.test", "role": "member"}),
        ("maintainer", "PATCH", "{AT}/members/{nobody}", {"role": "member"}),
        ("maintainer", "DELETE", "{AT}/members/{nobody}", None),
    ],
)
async def test_a_lower_role_is_refused(
    api: Api, least: str, method: str, path: str, body: object
) -> None:
    path = path.format(AT=AT, nobody=new_id())
    for role in Role:
        if role.rank < Role(least).rank:
            problem = await api.refused(403, role, method, path, body)
            assert problem["permission"].startswith("project:")
    assert (await api(least, method, path, body)).status_code in {200, 201, 204, 404}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"name": "stolen"}),
        ("POST", "/archive", None),
        ("POST", "/restore", None),
        ("DELETE", "?confirm=lab", None),
        ("GET", "/members", None),
        ("POST", "/members", {"email": "viewer@other.test", "role": "member"}),
        ("PATCH", "/members/{viewer}", {"role": "member"}),
        ("DELETE", "/members/{viewer}", None),
    ],
)
async def test_another_tenant_finds_nothing(api: Api, method: str, path: str, body: object) -> None:
    path = path.format(viewer=USERS[ACME, Role.VIEWER])
    before = await api.ok("admin", "GET", AT)
    theirs = await api("admin@other", method, AT + path, body)
    nobodys = await api("admin@other", method, f"{P}/{new_id()}{path}", body)
    assert (theirs.status_code, theirs.content) == (404, nobodys.content)
    assert await api.ok("admin", "GET", AT) == before


async def test_taken_names_and_slugs_are_409(api: Api) -> None:
    taken = await api.refused(409, "member", "POST", P, {"name": "lab"})
    assert (taken["type"], taken["name"]) == ("/problems/project-name-taken", "lab")
    taken = await api.refused(409, "member", "POST", P, {"name": "Lab 2", "slug": "lab"})
    assert taken["type"] == "/problems/project-slug-taken"
    await api.ok("member@other", "POST", P, {"name": "lab"})


async def test_a_delete_is_confirmed_by_the_slug(api: Api) -> None:
    for path in (AT, f"{AT}?confirm=", f"{AT}?confirm=LAB", f"{AT}?confirm=shop"):
        problem = await api.refused(422, "maintainer", "DELETE", path)
        assert problem["detail"].endswith("repeat the request with ?confirm=lab")
    answer = await api("maintainer", "DELETE", f"{AT}?confirm=lab")
    assert (answer.status_code, answer.content) == (204, b"")
    await api.refused(404, "maintainer", "GET", AT)
    await api.ok("member", "POST", P, {"name": "lab"})


async def test_one_project_too_many_says_what_the_limit_is(api: Api, sessions: Sessions) -> None:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(Tenant).where(Tenant.id == ACME).values(max_projects=1))
    problem = await api.refused(409, "member", "POST", P, {"name": "Second"})
    assert problem["type"] == "/problems/quota-exceeded"
    assert (problem["limit"], problem["allowed"], problem["used"]) == ("max_projects", 1, 1)
    await api.ok("maintainer", "DELETE", f"{AT}?confirm=lab")
    await api.ok("member", "POST", P, {"name": "Second"})


async def test_an_archived_project_is_kept_and_comes_back(api: Api) -> None:
    archived = await api.ok("maintainer", "POST", f"{AT}/archive")
    assert archived["archived_at"] == archived["updated_at"]
    assert await api.ok("maintainer", "POST", f"{AT}/archive") == archived
    assert await names(api, archived=True) == await names(api) == ["lab"]
    assert await names(api, archived=False) == []
    assert (await api.ok("maintainer", "POST", f"{AT}/restore"))["archived_at"] is None
    assert await names(api, archived=False) == ["lab"]


async def test_a_malformed_id_is_no_project(api: Api) -> None:
    for id in ("lab", "%00", "1", "..%2f..%2fetc"):
        assert (await api("admin", "GET", f"{P}/{id}")).status_code in {404, 422}
