"""A project's team: who joins, who may not, and what a role in it allows."""

from maestro_ml.core.access import Role
from maestro_ml.core.ids import new_id
from support import ACME, OTHER, USERS
from support.native import Api
from support.projects import AT, P


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
