"""Asking for approval, deciding about it, and what everybody is told."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from maestro_ml.approvals.routes import router
from maestro_ml.approvals.routes_policies import router as policies
from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Role
from maestro_ml.core.ids import new_id
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.projects.routes import router as projects
from support import ACME, LAB, USERS, caller
from support.native import Api, native_api
from support.signin import MovingClock
from support.things import KINDS, a_thing, alias, change, forget, swept, wanted

A = "/approvals"
YES = {"verdict": "approve"}
NO = {"verdict": "reject", "comment": "Its recall is too low."}


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def api(sessions: Sessions, tmp_path: Path, clock: MovingClock) -> AsyncIterator[Api]:
    async with native_api(
        sessions, tmp_path, router, policies, projects, clock=clock, subjects=KINDS
    ) as api:
        yield api


@pytest.fixture
async def thing(sessions: Sessions) -> UUID:
    """Made by the tenant's member."""
    return await a_thing(sessions, USERS[ACME, Role.MEMBER])


async def ask(api: Api, thing: UUID, who: str = "member", **more: Any) -> Any:
    return await api.ok(who, "POST", A, wanted(thing, **more))


async def actions(sessions: Sessions, id: str) -> list[str]:
    async with open_work(sessions, caller(), read_only=True) as work:
        query = select(AuditEvent.action).where(AuditEvent.target_id == id)
        return list(await work.session.scalars(query.order_by(AuditEvent.id)))


async def test_a_vote_moves_the_alias_before_its_answer(
    api: Api, sessions: Sessions, thing: UUID
) -> None:
    asked = await ask(api, thing, reason="Better by two points.")
    assert asked["state"] == "in_review"
    assert (asked["votes_needed"], asked["role_needed"]) == (1, "maintainer")
    assert asked["requested_by"] == {"id": str(USERS[ACME, Role.MEMBER]), "name": "member"}
    assert asked["missing"] == [
        "It takes an approval by a maintainer who neither asked for it nor made it."
    ]
    assert await alias(sessions, thing) is None
    granted = await api.ok("maintainer", "POST", f"{A}/{asked['id']}/votes", YES)
    assert (granted["state"], granted["missing"]) == ("granted", [])
    assert granted["ended_by"] == str(USERS[ACME, Role.MAINTAINER])
    assert granted["votes"][0]["voter"]["name"] == "maintainer"
    assert await alias(sessions, thing) == "1"
    assert await api.ok("viewer", "GET", f"{A}/{asked['id']}") == granted
    assert await actions(sessions, asked["id"]) == [
        *("approval.requested", "approval.voted", "approval.granted")
    ]


async def test_an_alias_is_taken_away_by_approval_too(
    api: Api, sessions: Sessions, thing: UUID
) -> None:
    await change(sessions, thing, **{"alias:production": "2"})
    asked = await ask(api, thing, target=None)
    await api.ok("admin", "POST", f"{A}/{asked['id']}/votes", YES)
    assert await alias(sessions, thing) is None


async def test_a_rejection_needs_a_reason_and_is_final(
    api: Api, sessions: Sessions, thing: UUID
) -> None:
    votes = f"{A}/{(await ask(api, thing))['id']}/votes"
    for said in ({}, {"comment": " "}):
        problem = await api.refused(422, "maintainer", "POST", votes, {"verdict": "reject"} | said)
        assert "comment" in str(problem)
    rejected = await api.ok("maintainer", "POST", votes, NO)
    assert (rejected["state"], rejected["ended_because"]) == ("rejected", NO["comment"])
    problem = await api.refused(409, "admin", "POST", votes, YES)
    assert problem["type"] == "/problems/approval-ended"
    assert await alias(sessions, thing) is None
    assert (await ask(api, thing))["state"] == "in_review"  # and is asked for anew


async def test_the_same_is_asked_for_once(api: Api, thing: UUID) -> None:
    asked = await ask(api, thing)
    problem = await api.refused(409, "admin", "POST", A, wanted(thing, alias="Production"))
    assert problem["type"] == "/problems/approval-open"
    assert problem["approval_id"] == asked["id"]
    await ask(api, thing, target="2")
    await api.ok("member", "POST", f"{A}/{asked['id']}/withdrawal")
    await ask(api, thing)


async def test_what_can_be_decided_no_more_makes_room(
    api: Api, sessions: Sessions, thing: UUID
) -> None:
    asked = await ask(api, thing)
    await change(sessions, thing, **{"files:1": "sha-other"})
    again = await ask(api, thing)
    assert again["fingerprint"] == "sha-other"
    assert (await api.ok("member", "GET", f"{A}/{asked['id']}"))["state"] == "expired"


async def test_they_go_with_their_project(api: Api, sessions: Sessions) -> None:
    project = await api.ok("member", "POST", "/projects", {"name": "Gone"})
    thing = await a_thing(sessions, project=UUID(project["id"]))
    own = {"policy": {"people": {"votes": 2}}, "subject": {"kind": "thing", "id": str(thing)}}
    await api.ok("admin", "POST", "/approval-policies", own)
    asked = await ask(api, thing)
    await api.ok("maintainer", "POST", f"{A}/{asked['id']}/votes", YES)
    await api.ok("member", "DELETE", f"/projects/{project['id']}?confirm=gone")
    await api.refused(404, "member", "GET", f"{A}/{asked['id']}")
    await swept(sessions)


async def test_who_has_asked_or_maintains_the_project_takes_it_back(
    api: Api, sessions: Sessions, thing: UUID
) -> None:
    by_admin = await ask(api, thing, "admin")
    await api.refused(403, "member", "POST", f"{A}/{by_admin['id']}/withdrawal")
    done = await api.ok("maintainer", "POST", f"{A}/{by_admin['id']}/withdrawal")
    assert done["state"] == "withdrawn"
    await api.refused(409, "maintainer", "POST", f"{A}/{by_admin['id']}/withdrawal")
    mine = await ask(api, thing)
    done = await api.ok("member", "POST", f"{A}/{mine['id']}/withdrawal")
    assert done["state"] == "withdrawn"
    assert "approval.withdrawn" in await actions(sessions, mine["id"])


@pytest.mark.parametrize("who", ["viewer", "member"])
async def test_viewers_and_members_decide_nothing(api: Api, thing: UUID, who: str) -> None:
    at = f"{A}/{(await ask(api, thing, 'maintainer'))['id']}"
    await api.refused(403, who, "POST", f"{at}/votes", YES)
    await api.refused(403, who, "POST", f"{at}/override", {"reason": "now"})
    if who == "viewer":
        await api.refused(403, who, "POST", A, wanted(thing, "2"))
        await api.refused(403, who, "POST", f"{at}/withdrawal")


async def test_another_tenant_finds_nothing(api: Api, sessions: Sessions, thing: UUID) -> None:
    asked = await ask(api, thing)
    for method, path, body in (
        ("GET", "", None),
        ("POST", "/votes", YES),
        ("POST", "/withdrawal", None),
        ("POST", "/override", {"reason": "now"}),
        ("POST", f"/evidence/{new_id()}/retry", None),
    ):
        theirs = await api("admin@other", method, f"{A}/{asked['id']}{path}", body)
        nobodys = await api("admin@other", method, f"{A}/{new_id()}{path}", body)
        assert (theirs.status_code, theirs.content) == (404, nobodys.content), path
    assert (await api.ok("admin@other", "GET", A))["items"] == []
    theirs = await api("admin@other", "POST", A, wanted(thing))
    nobodys = await api("admin@other", "POST", A, wanted(new_id()))
    assert (theirs.status_code, theirs.content) == (404, nobodys.content)
    assert await alias(sessions, thing) is None


async def test_what_is_unknown_is_named(api: Api, thing: UUID) -> None:
    problem = await api.refused(422, "member", "POST", A, wanted(thing, subject_kind="unicorn"))
    assert problem["type"] == "/problems/approval-kind-unknown"
    assert problem["known"] == ["thing"]
    problem = await api.refused(404, "member", "POST", A, wanted(thing, target="99"))
    assert problem["type"] == "/problems/approval-subject-not-found"
    problem = await api.refused(409, "member", "POST", A, wanted(thing, alias="challenger"))
    assert problem["type"] == "/problems/approval-unneeded"
    for wrong in (
        {"alias": "a b"},
        {"alias": "production\n"},
        {"alias": ""},
        {"target": ""},
        {"target": "x" * 101},
        {"target": 1},
        {"subject_id": "1"},
        {"subject_kind": "A Thing"},
        {"reason": "x" * 2001},
        {"reason": "\x00"},
        {"state": "granted"},
    ):
        problem = await api.refused(422, "member", "POST", A, wanted(thing) | wrong)
        assert next(iter(wrong)) in str(problem["faults"]), wrong


async def test_the_inbox_holds_what_waits_for_the_caller(
    api: Api, sessions: Sessions, thing: UUID
) -> None:
    by_member, by_admin = await ask(api, thing), await ask(api, thing, "admin", target="2")

    async def listed(who: str, **params: Any) -> list[str]:
        page = await api.ok(who, "GET", A, params=params)
        return [item["id"] for item in page["items"]]

    both = [by_admin["id"], by_member["id"]]
    for who in ("viewer", "member", "maintainer"):
        assert await listed(who) == both
    assert await listed("maintainer", awaiting_me=True) == both
    assert await listed("admin", awaiting_me=True) == [by_member["id"]]
    assert await listed("member", awaiting_me=True) == []
    assert await listed("viewer", awaiting_me=True) == []
    assert await listed("member", mine=True) == [by_member["id"]]
    await api.ok("maintainer", "POST", f"{A}/{by_member['id']}/votes", YES)
    assert await listed("maintainer", awaiting_me=True) == [by_admin["id"]]
    assert await listed("viewer", state="granted") == [by_member["id"]]
    assert await listed("viewer", open=True) == [by_admin["id"]]
    assert await listed("viewer", open=False, alias="production") == [by_member["id"]]
    assert await listed("viewer", subject_id=str(thing), limit=1) == [by_admin["id"]]
    assert await listed("viewer", subject_id=str(new_id())) == []
    assert await listed("viewer", project_id=str(LAB), alias="staging") == []
    problem = await api.refused(422, "viewer", "GET", A, params={"state": "lost"})
    assert "state" in str(problem["faults"])


async def test_a_private_projects_requests_are_its_teams(api: Api, sessions: Sessions) -> None:
    secret = await api.ok("member", "POST", "/projects", {"name": "S", "visibility": "internal"})
    thing = await a_thing(sessions, project=UUID(secret["id"]))
    at = f"/projects/{secret['id']}"
    await api.ok("member", "PATCH", at, {"visibility": "private"})
    asked = await ask(api, thing)
    for who in ("viewer", "maintainer", "admin"):
        for method, path, body in (
            ("GET", "", None),
            ("POST", "/votes", YES),
            ("POST", "/override", {"reason": "now"}),
        ):
            hidden = await api(who, method, f"{A}/{asked['id']}{path}", body)
            missing = await api(who, method, f"{A}/{new_id()}{path}", body)
            assert hidden.status_code in {403, 404}
            assert (hidden.status_code, hidden.content) == (missing.status_code, missing.content)
        assert (await api.ok(who, "GET", A))["items"] == []
        assert (await api(who, "POST", A, wanted(thing, "2"))).status_code == 404
    place = {"email": "viewer@acme.test", "role": "maintainer"}
    await api.ok("member", "POST", f"{at}/members", place)
    assert len((await api.ok("viewer", "GET", A, params={"awaiting_me": True}))["items"]) == 1
    granted = await api.ok("viewer", "POST", f"{A}/{asked['id']}/votes", YES)
    assert granted["state"] == "granted"


@pytest.mark.parametrize("what", ["files", "policy", "target"])
async def test_what_has_moved_expires_instead(
    api: Api, sessions: Sessions, thing: UUID, what: str
) -> None:
    """And is so for good, though the vote was refused."""
    asked = await ask(api, thing)
    if what == "files":
        await change(sessions, thing, **{"files:1": "sha-other"})
    elif what == "policy":
        await api.ok("admin", "POST", "/approval-policies", {"policy": {"protected": ["staging"]}})
    else:
        await forget(sessions, thing, "files:1")
    votes = f"{A}/{asked['id']}/votes"
    problem = await api.refused(409, "maintainer", "POST", votes, YES)
    assert problem["type"] == "/problems/approval-expired"
    after = await api.ok("member", "GET", f"{A}/{asked['id']}")
    assert after["state"] == "expired"
    assert after["ended_because"] in problem["detail"]
    assert after["votes"] == []
    assert await alias(sessions, thing) is None
    problem = await api.refused(409, "maintainer", "POST", votes, YES)
    assert problem["type"] == "/problems/approval-ended"
    assert (await actions(sessions, asked["id"]))[-1] == "approval.expired"


async def test_a_worker_lets_it_expire_as_well(
    api: Api, sessions: Sessions, thing: UUID, clock: MovingClock
) -> None:
    stale, fresh = await ask(api, thing), await ask(api, thing, target="2")
    await change(sessions, thing, **{"files:1": "sha-other"})
    await swept(sessions, clock)
    states = {one["id"]: one["state"] for one in (await api.ok("viewer", "GET", A))["items"]}
    assert states == {stale["id"]: "expired", fresh["id"]: "in_review"}
    clock.move(hours=14 * 24)
    await api.refused(409, "maintainer", "POST", f"{A}/{fresh['id']}/votes", YES)
    again = await ask(api, thing, target="2")
    clock.move(hours=14 * 24)
    await swept(sessions, clock)
    for one in (fresh, again):
        ended = await api.ok("viewer", "GET", f"{A}/{one['id']}")
        assert ended["ended_because"] == "Its time has run out."
