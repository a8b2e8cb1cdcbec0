"""A private project is its team's: to everybody else, admins included, it is not there."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from maestro_ml.core.access import Role
from maestro_ml.core.ids import new_id
from maestro_ml.db.work import Sessions
from maestro_ml.projects.routes import router
from support import ACME, LAB, USERS
from support.native import Api, native_api
from support.races import AT_ONCE, race, rounds

P = "/projects"
OUTSIDE = ["viewer", "maintainer", "admin", "admin@other"]


@pytest.fixture
async def api(sessions: Sessions, tmp_path: Path) -> AsyncIterator[Api]:
    async with native_api(sessions, tmp_path, router) as api:
        yield api


@pytest.fixture
async def secret(api: Api) -> Any:
    """Made by the tenant's member, who maintains it."""
    return await api.ok("member", "POST", P, {"name": "Secret", "visibility": "private"})


async def test_its_maker_has_it_from_the_answer_on(api: Api, secret: Any) -> None:
    assert secret["visibility"] == "private"
    assert await api.ok("member", "GET", f"{P}/{secret['id']}") == secret
    team = await api.ok("member", "GET", f"{P}/{secret['id']}/members")
    assert [(m["name"], m["role"]) for m in team["items"]] == [("member", "maintainer")]


@pytest.mark.parametrize("who", OUTSIDE)
async def test_outside_its_team_it_is_not_there(api: Api, secret: Any, who: str) -> None:
    someone = f"/members/{USERS[ACME, Role.MEMBER]}"
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"visibility": "internal"}),
        ("POST", "/archive", None),
        ("POST", "/restore", None),
        ("DELETE", "?confirm=secret", None),
        ("GET", "/members", None),
        ("POST", "/members", {"email": "admin@acme.test", "role": "maintainer"}),
        ("PATCH", someone, {"role": "viewer"}),
        ("DELETE", someone, None),
    ):
        hidden = await api(who, method, f"{P}/{secret['id']}{path}", body)
        missing = await api(who, method, f"{P}/{new_id()}{path}", body)
        assert (hidden.status_code, hidden.content) == (404, missing.content), path
    for params in ({}, {"q": "secret"}, {"slug": "secret"}, {"visibility": "private"}):
        assert "ecret" not in (await api(who, "GET", P, params=params)).text
    mine = {"member": str(USERS[ACME, Role.MEMBER])}
    assert (await api.ok(who, "GET", P, params=mine))["items"] == []
    assert await api.ok("member", "GET", f"{P}/{secret['id']}") == secret


async def test_who_joins_sees_it_and_who_leaves_does_not(api: Api, secret: Any) -> None:
    at = f"{P}/{secret['id']}"
    body = {"email": "admin@acme.test", "role": "viewer"}
    joined = await api.ok("member", "POST", f"{at}/members", body)
    assert await api.ok("admin", "GET", at) == secret
    await api.ok("admin", "GET", P, params={"q": "secret"})
    assert (await api("member", "DELETE", f"{at}/members/{joined['user_id']}")).status_code == 204
    await api.refused(404, "admin", "GET", at)


async def test_who_waits_behind_their_removal_does_not_undo_it(api: Api, secret: Any) -> None:
    """Of calls that are sent all the time some are read while the caller still is in the team."""
    team, viewer = f"{P}/{secret['id']}/members", str(USERS[ACME, Role.VIEWER])
    place = {"user_id": viewer, "role": "maintainer"}

    async def removed(_: int) -> None:
        await api.ok("member", "POST", team, place)
        again = [api("viewer", "POST", team, place) for _ in range(AT_ONCE)]
        again.insert(AT_ONCE // 2, api("member", "DELETE", f"{team}/{viewer}"))
        assert set(await race(again)) <= {204, 404, 409}
        await api.refused(404, "viewer", "GET", f"{P}/{secret['id']}")

    await rounds(removed)


async def test_its_last_maintainer_stays(api: Api, secret: Any) -> None:
    one = f"{P}/{secret['id']}/members/{USERS[ACME, Role.MEMBER]}"
    for method, body in (("DELETE", None), ("PATCH", {"role": "member"})):
        problem = await api.refused(409, "member", method, one, body)
        assert problem["type"] == "/problems/last-maintainer"
    await api.ok("member", "PATCH", f"{P}/{secret['id']}", {"visibility": "internal"})
    assert (await api("member", "DELETE", one)).status_code == 204


async def test_who_closes_a_project_stays_inside(api: Api) -> None:
    closed = await api.ok("maintainer", "PATCH", f"{P}/{LAB}", {"visibility": "private"})
    assert await api.ok("maintainer", "GET", f"{P}/{LAB}") == closed
    await api.refused(404, "admin", "GET", f"{P}/{LAB}")
    team = await api.ok("maintainer", "GET", f"{P}/{LAB}/members")
    assert [(m["name"], m["role"]) for m in team["items"]] == [("maintainer", "maintainer")]


async def test_a_role_in_the_team_is_no_role_elsewhere(api: Api, secret: Any) -> None:
    body = {"email": "viewer@acme.test", "role": "maintainer"}
    await api.ok("member", "POST", f"{P}/{secret['id']}/members", body)
    await api.ok("viewer", "PATCH", f"{P}/{secret['id']}", {"description": "seen"})
    await api.refused(403, "viewer", "PATCH", f"{P}/{LAB}", {"description": "seen"})


async def test_its_name_stays_taken(api: Api, secret: Any) -> None:
    await api.refused(409, "admin", "POST", P, {"name": "Secret"})
    made = await api.ok("admin", "POST", P, {"name": "secret?"})
    assert made["slug"] == "secret-2"
