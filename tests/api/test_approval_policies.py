"""Policies: versions that are never changed, of tenants and of subjects, and the dry run."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlalchemy.exc import DatabaseError

from maestro_ml.approvals.errors import ApprovalNeeded
from maestro_ml.approvals.models import ApprovalPolicy
from maestro_ml.approvals.routes import router
from maestro_ml.approvals.routes_policies import router as policies
from maestro_ml.approvals.service import guard
from maestro_ml.core.access import Role
from maestro_ml.core.ids import new_id
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.projects.routes import router as projects
from support import ACME, LAB, OTHER, SHOP, USERS, caller
from support.native import Api, native_api
from support.races import AT_ONCE, race
from support.things import KINDS, Things, a_thing, wanted, work_off

P, A = "/approval-policies", "/approvals"
BUILT_IN = {
    "protected": ["production"],
    "gates": [],
    "people": {"votes": 1, "role": "maintainer"},
    "expires_after_hours": 336,
    "override": False,
}


@pytest.fixture
async def api(sessions: Sessions, tmp_path: Path) -> AsyncIterator[Api]:
    async with native_api(sessions, tmp_path, router, policies, projects, subjects=KINDS) as api:
        yield api


@pytest.fixture
async def thing(sessions: Sessions) -> UUID:
    return await a_thing(sessions, USERS[ACME, Role.MEMBER])


async def current(api: Api, who: str = "viewer", **params: Any) -> Any:
    return await api.ok(who, "GET", f"{P}/current", params=params)


def of(thing: UUID) -> dict[str, str]:
    return {"subject_kind": "thing", "subject_id": str(thing)}


async def test_without_one_of_its_own_a_tenant_has_the_built_in_policy(api: Api) -> None:
    found = await current(api)
    assert (found["chain"], found["number"], found["policy"]) == ("built-in", 0, BUILT_IN)
    assert (await api.ok("viewer", "GET", P))["items"] == []


async def test_versions_follow_each_other_and_stay(api: Api, thing: UUID) -> None:
    first = await api.ok("admin", "POST", P, {"policy": {"override": True}, "reason": "On call."})
    assert (first["chain"], first["number"]) == ("tenant", 1)
    assert first["policy"] == BUILT_IN | {"override": True}
    second = await api.ok("admin", "POST", P, {"policy": {"protected": ["live"]}})
    assert await current(api) == second
    assert await current(api, **of(thing)) == second
    own = {"policy": {"people": {"votes": 2}}, "subject": {"kind": "thing", "id": str(thing)}}
    third = await api.ok("admin", "POST", P, own)
    assert (third["chain"], third["number"]) == (str(thing), 1)
    assert await current(api, **of(thing)) == third
    assert await current(api) == second
    back = await api.ok("admin", "POST", P, own | {"policy": None})
    assert (back["number"], back["policy"]) == (2, None)
    assert await current(api, **of(thing)) == second
    await api.ok("admin", "POST", P, {"policy": None})
    assert (await current(api, **of(thing)))["chain"] == "built-in"
    history = await api.ok("viewer", "GET", P, params=of(thing))
    assert [one["number"] for one in history["items"]] == [2, 1]
    history = await api.ok("viewer", "GET", P, params={"limit": 2})
    assert [one["number"] for one in history["items"]] == [3, 2]
    assert history["next_cursor"]
    assert (await api.ok("admin@other", "GET", P))["items"] == []


async def test_only_an_admin_writes_one(api: Api) -> None:
    for who in ("viewer", "member", "maintainer"):
        await api.refused(403, who, "POST", P, {"policy": {}})
    assert (await current(api))["number"] == 0


async def test_no_row_of_it_is_ever_changed(api: Api, sessions: Sessions) -> None:
    await api.ok("admin", "POST", P, {"policy": {}})
    with pytest.raises(DatabaseError):
        async with open_work(sessions, caller()) as work:
            await work.session.execute(update(ApprovalPolicy).values(number=7))
    assert (await current(api))["number"] == 1


@pytest.mark.parametrize(
    ("policy", "at"),
    [
        ({"protected": ["a b"]}, "protected"),
        ({"protected": ["Live", "live"]}, "protected"),
        ({"protected": [f"a{n}" for n in range(51)]}, "protected"),
        ({"people": {"votes": 0}}, "votes"),
        ({"people": {"votes": 21}}, "votes"),
        ({"people": {"votes": True}}, "votes"),
        ({"people": {"votes": 1.5}}, "votes"),
        ({"people": {"role": "member"}}, "role"),
        ({"expires_after_hours": 0}, "expires_after_hours"),
        ({"expires_after_hours": 8761}, "expires_after_hours"),
        ({"override": "yes"}, "override"),
        ({"gates": [{"kind": "sings"}]}, "says"),
        ({"gates": [{"kind": "says", "parameters": {"does": "fly"}}]}, "does"),
        ({"gates": [{"kind": "says", "parameters": {"flies": 1}}]}, "flies"),
        ({"gates": [{"kind": "says", "timeout_seconds": 0}]}, "timeout_seconds"),
        ({"gates": [{"kind": "says"}] * 21}, "gates"),
        ({"four_eyes": False}, "four_eyes"),
    ],
)
async def test_what_a_policy_cannot_say_is_refused_by_its_field(
    api: Api, policy: Any, at: str
) -> None:
    for path in (P, f"{P}/dry-run"):
        problem = await api.refused(422, "admin", "POST", path, {"policy": policy})
        assert at in str(problem["faults"])


async def test_a_subject_is_named_whole_and_seen(api: Api, sessions: Sessions) -> None:
    theirs = await a_thing(sessions, project=SHOP, tenant=OTHER)
    for id in (theirs, new_id()):
        body = {"policy": {}, "subject": {"kind": "thing", "id": str(id)}}
        await api.refused(404, "admin", "POST", P, body)
        await api.refused(404, "admin", "POST", f"{P}/dry-run", body)
        await api.refused(404, "admin", "GET", f"{P}/current", params=of(id))
        await api.refused(404, "admin", "GET", P, params=of(id))
    for half in ("subject_kind", "subject_id"):
        problem = await api.refused(422, "admin", "GET", P, params={half: of(theirs)[half]})
        assert problem["type"] == "/problems/approval-subject-half-named"
    unknown = {"kind": "unicorn", "id": str(theirs)}
    problem = await api.refused(422, "admin", "POST", P, {"policy": {}, "subject": unknown})
    assert problem["known"] == ["thing"]


async def test_a_private_subjects_policy_is_its_teams(api: Api, sessions: Sessions) -> None:
    project = await api.ok("admin", "POST", "/projects", {"name": "S"})
    thing = await a_thing(sessions, project=UUID(project["id"]))
    own = {"policy": {"override": True}, "subject": {"kind": "thing", "id": str(thing)}}
    await api.ok("admin", "POST", P, own)
    await api.ok("admin", "PATCH", f"/projects/{project['id']}", {"visibility": "private"})
    assert (await current(api, "admin", **of(thing)))["chain"] == str(thing)
    await api.refused(404, "maintainer", "GET", f"{P}/current", params=of(thing))
    await api.refused(404, "maintainer", "GET", P, params=of(thing))


async def test_of_forty_who_write_at_once_each_has_a_number(api: Api) -> None:
    body = {"policy": {"people": {"votes": 3}}}
    done = await race(api("admin", "POST", P, body) for _ in range(AT_ONCE))
    assert set(done) <= {201, 409}
    history = await api.ok("viewer", "GET", P, params={"limit": 200})
    numbers = [one["number"] for one in history["items"]]
    assert numbers == list(range(done[201], 0, -1))


async def test_a_dry_run_says_what_would_have_been_stopped(
    api: Api, sessions: Sessions, thing: UUID
) -> None:
    asked = await api.ok("member", "POST", A, wanted(thing))
    await api.ok("maintainer", "POST", f"{A}/{asked['id']}/votes", {"verdict": "approve"})
    for stricter, why in (
        ({"people": {"votes": 2}}, "1 of 2 approvals"),
        ({"people": {"role": "admin"}}, "0 of 1 approvals by an admin"),
        ({"gates": [{"kind": "says"}]}, "The gate says"),
    ):
        found = await api.ok("viewer", "POST", f"{P}/dry-run", {"policy": stricter})
        (stopped,) = found["stopped"]
        assert (found["looked_at"], stopped["approval_id"]) == (1, asked["id"])
        assert why in " ".join(stopped["reasons"])
    looser: Any = {"policy": {"protected": []}}
    found = await api.ok("viewer", "POST", f"{P}/dry-run", looser)
    assert found == {"looked_at": 1, "stopped": [], "unprotected": 1}
    same = await api.ok("viewer", "POST", f"{P}/dry-run", {"policy": {}})
    assert same == {"looked_at": 1, "stopped": [], "unprotected": 0}
    assert (await current(api))["number"] == 0
    other = await api.ok("viewer@other", "POST", f"{P}/dry-run", {"policy": {}})
    assert other["looked_at"] == 0


async def test_every_door_can_ask_what_it_takes(api: Api, sessions: Sessions, thing: UUID) -> None:
    async def refused(target: str | None = "1", alias: str = "Production") -> ApprovalNeeded:
        with pytest.raises(ApprovalNeeded) as caught:
            async with open_work(sessions, caller(Role.MEMBER), read_only=True) as work:
                await guard.check_free(
                    work, LAB, thing, alias, target=target, what="Nothing was moved"
                )
        return caught.value

    async def free(alias: str) -> bool:
        async with open_work(sessions, caller(Role.VIEWER), read_only=True) as work:
            await guard.check_free(work, LAB, thing, "staging", target=None, what="x")
            return not await guard.protected(work, LAB, thing, alias)

    assert await free("staging")
    assert not await free("PRODUCTION")
    told = await refused()
    assert "maestro approvals request" in told.detail
    assert told.facts["ask"] == "/api/v1/approvals"
    policy = {"gates": [{"kind": "says", "parameters": {"does": "fail"}}]}
    await api.ok("admin", "POST", P, {"policy": policy})
    asked = await api.ok("member", "POST", A, wanted(thing))
    assert "The gate says is waiting." in str((await refused()).facts["missing"])
    await work_off(sessions, things=Things())
    told = await refused()
    assert told.facts["approval_id"] == asked["id"]
    assert told.facts["missing"] == [
        "The gate says failed: It is too slow.",
        "It takes an approval by a maintainer who neither asked for it nor made it.",
    ]
    assert "approval_id" not in (await refused(None)).facts
