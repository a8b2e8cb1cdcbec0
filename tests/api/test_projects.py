"""Projects over HTTP: done, refused, not yours, malformed."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from maestro_ml.core.access import Role
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.projects.routes import router
from maestro_ml.tenancy.models import Tenant
from support import ACME, LAB, OTHER, USERS
from support.native import Api, native_api

P = "/projects"
AT = f"{P}/{LAB}"
EVERYTHING: dict[str, Any] = {
    "name": "Churn",
    "slug": "churn-2027",
    "description": "Who leaves, and why",
    "problem_class": "classification",
    "complexity_score": 40,
    "goal_metric": "auc",
    "goal_target": 1.7976931348623157e308,
    "planned_start": "2027-01-01",
    "planned_end": "2027-06-30",
    "actual_start": "2027-01-04",
    "actual_end": "2027-07-01",
    "budget": "9999999999999.99",
    "budget_currency": "EUR",
    "visibility": "internal",
    "status": "planned",
    "metadata": {"cost centre": 7, "ünï": [1.5, None, {"deep": True}]},
}


@pytest.fixture
async def api(sessions: Sessions, tmp_path: Path) -> AsyncIterator[Api]:
    async with native_api(sessions, tmp_path, router) as api:
        yield api


async def names(api: Api, who: str = "viewer", **params: Any) -> list[str]:
    page = await api.ok(who, "GET", P, params=params)
    return [project["name"] for project in page["items"]]


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


BAD_FIELDS: list[tuple[str, object]] = [
    ("name", ""),
    ("name", "   "),
    ("name", "x" * 101),
    ("name", "a\x00b"),
    ("name", 7),
    ("name", ["x"]),
    ("slug", "Not a slug"),
    ("slug", "workspaces"),
    ("slug", "x" * 64),
    ("description", "x" * 10_001),
    ("description", "\x00"),
    ("problem_class", "magic"),
    ("complexity_score", 0),
    ("complexity_score", 101),
    ("complexity_score", True),
    ("complexity_score", 2**63),
    ("goal_metric", ""),
    ("goal_target", True),
    ("goal_target", "much"),
    ("planned_start", "soon"),
    ("planned_start", "0000-01-01"),
    ("planned_end", "10000-01-01"),
    ("budget", -1),
    ("budget", "0.001"),
    ("budget", 10**14),
    ("budget", True),
    ("budget_currency", "eur"),
    ("budget_currency", "XYZ"),
    ("visibility", "public"),
    ("status", "PLANNED"),
    ("metadata", []),
    ("metadata", "x"),
    ("metadata", {"k": "\x00"}),
    ("metadata", {"\x00": 1}),
    ("metadata", {"k": 2**63}),
    ("metadata", {"k": "x" * 16_384}),
    ("metadata", {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": [[]]}}}}}}}}),
    ("id", str(new_id())),
    ("tenant_id", str(OTHER)),
    ("created_by", str(new_id())),
    ("archived_at", None),
]


async def test_a_bad_field_is_named(api: Api) -> None:
    for field, value in BAD_FIELDS:
        for method, path, body in (("POST", P, {"name": "Bad"}), ("PATCH", AT, {})):
            problem = await api.refused(422, "admin", method, path, body | {field: value})
            assert any(field in fault["at"] for fault in problem["faults"]), (field, value)
    assert await names(api) == ["lab"]


BAD_JSON = [
    b'{"name": "x", "goal_target": NaN}',
    b'{"name": "x", "goal_target": 1e400}',
    b'{"name": "x", "budget": Infinity, "budget_currency": "EUR"}',
    b'{"name": "x", "metadata": {"k": -Infinity}}',
    b'{"name": "x", "metadata": {"k": "\\ud800"}}',
    b'{"name": "x", "metadata": {"\\ud800": [1]}}',
    b'{"name": "\\ud800"}',
    b'{"name": "x", "\\ud800": 1}',
    b'{"name": "x", "complexity_score": 1' + b"0" * 400 + b"}",
    b'{"name": "x", "metadata": {"k": 1' + b"0" * 400 + b"}}",
    b'{"name": "x", "metadata": {"k": ' + b"[" * 500 + b"]" * 500 + b"}}",
    b"[]",
    b'"x"',
    b"{",
    b"",
]


async def test_json_that_no_database_could_hold_is_refused(api: Api) -> None:
    sent = {"Authorization": "Bearer admin", "Content-Type": "application/json"}
    for body in BAD_JSON:
        for method, path in (("POST", P), ("PATCH", AT)):
            answer = await api.http.request(method, path, content=body, headers=sent)
            assert answer.status_code == 422, (body, answer.text)
    assert await names(api) == ["lab"]


async def test_what_may_not_be_empty_cannot_be_emptied(api: Api) -> None:
    for field in ("name", "description", "visibility", "status", "metadata", "slug"):
        problem = await api.refused(422, "admin", "PATCH", AT, {field: None})
        assert problem["faults"][0]["at"] == ["body", field]


async def test_fields_that_do_not_fit_together_are_named(api: Api) -> None:
    dates = {"name": "x", "planned_start": "2027-02-01", "planned_end": "2027-01-01"}
    problem = await api.refused(422, "member", "POST", P, dates)
    assert problem["faults"][0]["at"] == ["body", "planned_end"]
    assert problem["detail"] == "planned_end lies before planned_start, 2027-02-01."
    problem = await api.refused(422, "member", "POST", P, {"name": "x", "budget": 1})
    assert problem["faults"][0]["at"] == ["body", "budget_currency"]
    made = await api.ok("member", "POST", P, EVERYTHING)
    for late in ({"planned_start": "2028-01-01"}, {"actual_end": "2026-01-01"}):
        await api.refused(422, "member", "PATCH", f"{P}/{made['id']}", late)
    alone = {"budget_currency": None}
    await api.refused(422, "member", "PATCH", f"{P}/{made['id']}", alone)
    await api.ok("member", "PATCH", f"{P}/{made['id']}", alone | {"budget": None})


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


async def test_a_list_is_filtered_and_searched(api: Api) -> None:
    await api.ok("member", "POST", P, EVERYTHING)
    await api.ok("member", "POST", P, {"name": "100% Fraud_x", "problem_class": "nlp"})
    await api.ok("member", "POST", P, {"name": "Quiet", "visibility": "private"})
    for params, found in (
        ({"status": "planned"}, ["100% Fraud_x", "Churn", "lab"]),
        ({"status": "abandoned"}, []),
        ({"problem_class": "nlp"}, ["100% Fraud_x"]),
        ({"visibility": "private"}, []),
        ({"slug": "churn-2027"}, ["Churn"]),
        ({"slug": "shop"}, []),
        ({"q": "WHO LEAVES"}, ["Churn"]),
        ({"q": "2027"}, ["Churn"]),
        ({"q": "0%"}, ["100% Fraud_x"]),
        ({"q": "%"}, ["100% Fraud_x"]),
        ({"q": "_"}, ["100% Fraud_x"]),
        ({"q": "quiet"}, []),
        ({"q": "' OR '1'='1"}, []),
        ({"q": "\\"}, []),
        ({"member": str(USERS[ACME, Role.MEMBER])}, ["100% Fraud_x", "Churn"]),
        ({"member": str(USERS[OTHER, Role.MEMBER])}, []),
    ):
        assert await names(api, **params) == found, params
    assert await names(api, "member", visibility="private") == ["Quiet"]


async def test_a_list_is_sorted_and_paged(api: Api) -> None:
    for name in ("b", "d", "a", "c"):
        await api.ok("member", "POST", P, {"name": f"{name}{name}"})
    await api.ok("member", "PATCH", AT, {"description": "now"})
    orders = {
        "name": ["aa", "bb", "cc", "dd", "lab"],
        "created_at": ["lab", "bb", "dd", "aa", "cc"],
        "updated_at": ["bb", "dd", "aa", "cc", "lab"],
    }
    for order, rising in orders.items():
        for sort, expected in ((order, rising), (f"-{order}", rising[::-1])):
            assert await names(api, sort=sort) == expected
            found: list[str] = []
            cursor = None
            while True:
                params = {"sort": sort, "limit": 2} | ({"cursor": cursor} if cursor else {})
                page = await api.ok("viewer", "GET", P, params=params)
                found += [project["name"] for project in page["items"]]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
            assert found == expected
    first = await api.ok("viewer", "GET", P, params={"sort": "name", "limit": 1})
    other = {"sort": "-name", "cursor": first["next_cursor"]}
    await api.refused(422, "viewer", "GET", P, params=other)


BAD_QUERIES: list[dict[str, Any]] = [
    {"sort": "password_hash"},
    {"sort": "name; DROP TABLE users"},
    {"sort": "tenant_id"},
    {"status": "x"},
    {"archived": "perhaps"},
    {"member": "me' OR 1=1"},
    {"limit": 0},
    {"limit": 201},
    {"limit": 2**63},
    {"cursor": "bm90IG91cnM"},
    {"cursor": "\x00"},
    {"q": "x" * 201},
    {"q": "\x00"},
    {"slug": "\x00"},
]


async def test_a_bad_query_is_422(api: Api) -> None:
    for params in BAD_QUERIES:
        await api.refused(422, "viewer", "GET", P, params=params)


async def test_a_malformed_id_is_no_project(api: Api) -> None:
    for id in ("lab", "%00", "1", "..%2f..%2fetc"):
        assert (await api("admin", "GET", f"{P}/{id}")).status_code in {404, 422}


async def test_a_team_is_listed_joined_changed_and_left(api: Api) -> None:
    team = f"{AT}/members"
    by_id = {"user_id": str(USERS[ACME, Role.VIEWER]), "role": "member"}
    added = await api.ok("maintainer", "POST", team, by_id)
    assert (added["email"], added["name"], added["role"]) == (
        "viewer@acme.test",
        "viewer",
        "member",
    )
    by_email = {"email": " Member@ACME.test ".strip(), "role": "viewer"}
    await api.ok("maintainer", "POST", team, by_email)
    again = await api.refused(409, "maintainer", "POST", team, by_email)
    assert again["type"] == "/problems/project-member-exists"
    page = await api.ok("viewer", "GET", team, params={"limit": 1})
    assert page["items"] == [added]
    rest = await api.ok("viewer", "GET", team, params={"cursor": page["next_cursor"]})
    assert [m["name"] for m in rest["items"]] == ["member"]
    one = f"{team}/{added['user_id']}"
    changed = await api.ok("maintainer", "PATCH", one, {"role": "maintainer"})
    assert changed == added | {"role": "maintainer"}
    assert (await api("maintainer", "DELETE", one)).status_code == 204
    await api.refused(404, "maintainer", "DELETE", one)
    await api.refused(404, "maintainer", "PATCH", one, {"role": "viewer"})


BAD_MEMBERS = [
    {},
    {"role": "member"},
    {"email": "viewer@acme.test"},
    {"email": "viewer@acme.test", "role": "admin"},
    {"email": "viewer@acme.test", "role": "owner"},
    {"email": "viewer@acme.test", "user_id": str(new_id()), "role": "member"},
    {"email": "no address", "role": "member"},
    {"email": "\x00@acme.test", "role": "member"},
    {"email": "x" * 400, "role": "member"},
    {"user_id": "x", "role": "member"},
    {"email": "viewer@acme.test", "role": "member", "tenant_id": str(OTHER)},
]


async def test_a_malformed_member_joins_no_team(api: Api) -> None:
    for body in BAD_MEMBERS:
        await api.refused(422, "admin", "POST", f"{AT}/members", body)
    assert (await api.ok("admin", "GET", f"{AT}/members"))["items"] == []


async def test_a_stranger_joins_no_team(api: Api) -> None:
    theirs = {"user_id": str(USERS[OTHER, Role.VIEWER]), "role": "member"}
    nobody = {"user_id": str(new_id()), "role": "member"}
    by_email = {"email": "viewer@other.test", "role": "member"}
    answers = [await api("admin", "POST", f"{AT}/members", b) for b in (theirs, nobody, by_email)]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1


async def test_a_viewer_of_the_tenant_may_maintain_a_project(api: Api) -> None:
    await api.refused(403, "viewer", "PATCH", AT, {"description": "mine"})
    body = {"email": "viewer@acme.test", "role": "maintainer"}
    await api.ok("admin", "POST", f"{AT}/members", body)
    await api.ok("viewer", "PATCH", AT, {"description": "mine"})
    await api.ok("viewer", "POST", f"{AT}/archive")
    await api.refused(403, "viewer", "POST", P, {"name": "another"})
    one = f"{AT}/members/{USERS[ACME, Role.VIEWER]}"
    await api.ok("admin", "PATCH", one, {"role": "member"})
    await api.ok("viewer", "PATCH", AT, {"description": "ours"})
    await api.refused(403, "viewer", "POST", f"{AT}/restore")
