"""Automatic gates: what they find is kept, and what they say counts only if it can be trusted."""

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
from maestro_ml.jobs.models import JobState
from maestro_ml.jobs.routes import router as jobs
from support import ACME, USERS, caller
from support import jobs as queue
from support.native import Api, native_api
from support.things import Things, a_thing, alias, change, swept, wanted, work_off

A = "/approvals"
YES = {"verdict": "approve"}


@pytest.fixture
def things() -> Things:
    return Things()


@pytest.fixture
async def api(sessions: Sessions, tmp_path: Path, things: Things) -> AsyncIterator[Api]:
    kinds = {"thing": things}
    async with native_api(sessions, tmp_path, router, policies, jobs, subjects=kinds) as api:
        yield api


@pytest.fixture
async def thing(sessions: Sessions) -> UUID:
    return await a_thing(sessions, USERS[ACME, Role.MEMBER])


async def ask(api: Api, thing: UUID, *does: str, votes: int = 1, seconds: int = 60) -> Any:
    """With gates that do this."""
    gates = [
        {"kind": "says", "parameters": {"does": one}, "timeout_seconds": seconds} for one in does
    ]
    policy = {"gates": gates, "people": {"votes": votes}}
    await api.ok("admin", "POST", "/approval-policies", {"policy": policy})
    return await api.ok("member", "POST", A, wanted(thing))


async def read(api: Api, asked: Any) -> Any:
    return await api.ok("viewer", "GET", f"{A}/{asked['id']}")


async def test_people_are_asked_when_every_gate_has_passed(
    api: Api, sessions: Sessions, things: Things, thing: UUID
) -> None:
    asked = await ask(api, thing, "pass", "pass")
    assert asked["state"] == "collecting"
    assert [one["state"] for one in asked["evidence"]] == ["waiting", "waiting"]
    votes = f"{A}/{asked['id']}/votes"
    problem = await api.refused(409, "maintainer", "POST", votes, YES)
    assert problem["type"] == "/problems/evidence-missing"
    assert problem["missing"] == ["The gate says is waiting."] * 2
    job = await api.ok("viewer", "GET", f"/jobs/{asked['evidence'][0]['job_id']}")
    assert job["kind"] == "approvals.gate"
    await work_off(sessions, things=things)
    after = await read(api, asked)
    assert after["state"] == "in_review"
    first = after["evidence"][0]
    assert (first["state"], first["summary"], first["newest"]) == ("passed", "All is well.", True)
    assert first["inputs"] == {"model.bin": "0" * 64}
    assert first["details"] == {"seen": [1, 2.5]}
    assert first["parameters"] == {"does": "pass", "at_most": 1}
    assert things.asked[0].fingerprint == asked["fingerprint"]
    await api.ok("maintainer", "POST", votes, YES)
    assert await alias(sessions, thing) == "1"


async def test_a_gate_that_fails_keeps_it_back_and_is_run_again(
    api: Api, sessions: Sessions, things: Things, thing: UUID
) -> None:
    asked = await ask(api, thing, "fail", "pass")
    await work_off(sessions, things=things)
    after = await read(api, asked)
    assert after["state"] == "collecting"
    assert after["missing"][0] == "The gate says failed: It is too slow."
    failed, passed = after["evidence"]
    again = f"{A}/{asked['id']}/evidence/{{}}/retry"
    problem = await api.refused(409, "member", "POST", again.format(passed["id"]))
    assert problem["type"] == "/problems/evidence-settled"
    problem = await api.refused(404, "member", "POST", again.format(new_id()))
    assert problem["type"] == "/problems/evidence-not-found"
    await api.refused(403, "viewer", "POST", again.format(failed["id"]))
    things.does = "pass"
    repeated = await api.ok("member", "POST", again.format(failed["id"]))
    assert [one["newest"] for one in repeated["evidence"]] == [False, True, True]
    await api.refused(409, "member", "POST", again.format(failed["id"]))  # it runs already
    await work_off(sessions, things=things)
    after = await read(api, asked)
    assert after["state"] == "in_review"
    assert [one["state"] for one in after["evidence"]] == ["failed", "passed", "passed"]
    assert [one["attempt"] for one in after["evidence"]] == [1, 2, 1]


@pytest.mark.parametrize(
    "lie",
    [
        ("hang", "It gave no answer within 1 seconds."),
        ("die", "It died; the log says of what, under the job's id."),
        ("lie", "Its answer is not one that a gate gives."),
        ("half", "Its answer is not one that a gate gives."),
        ("elsewhere", "It looked at something else than what is asked about."),
    ],
)
async def test_a_gate_that_cannot_be_trusted_is_broken(
    api: Api, sessions: Sessions, things: Things, thing: UUID, lie: tuple[str, str]
) -> None:
    does, why = lie
    asked = await ask(api, thing, does, seconds=1)
    await work_off(sessions, things=things)
    after = await read(api, asked)
    (one,) = after["evidence"]
    assert (after["state"], one["state"], one["summary"]) == ("collecting", "broken", why)
    assert "secret" not in str(after)
    assert (await api.ok("viewer", "GET", f"/jobs/{one['job_id']}"))["state"] == "done"
    await api.refused(409, "maintainer", "POST", f"{A}/{asked['id']}/votes", YES)
    things.does = "pass"
    await api.ok("member", "POST", f"{A}/{asked['id']}/evidence/{one['id']}/retry")
    await work_off(sessions, things=things)
    assert (await read(api, asked))["state"] == "in_review"


@pytest.mark.parametrize("end", [JobState.FAILED, JobState.CANCELLED])
async def test_a_gate_whose_job_died_has_broken(
    api: Api,
    sessions: Sessions,
    things: Things,
    thing: UUID,
    end: JobState,
) -> None:
    asked = await ask(api, thing, "pass")
    (one,) = asked["evidence"]
    await queue.change(sessions, UUID(one["job_id"]), state=end, finished_at=None)
    for _ in range(2):  # whether anybody has looked after it or not
        (shown,) = (await read(api, asked))["evidence"]
        assert shown["state"] == "broken"
        await swept(sessions)
    await api.ok("member", "POST", f"{A}/{asked['id']}/evidence/{one['id']}/retry")
    await work_off(sessions, things=things)
    assert (await read(api, asked))["state"] == "in_review"


async def test_gates_alone_decide_where_no_vote_is_wanted(
    api: Api, sessions: Sessions, things: Things, thing: UUID
) -> None:
    asked = await ask(api, thing, "pass", votes=0)
    await work_off(sessions, things=things)
    assert (await read(api, asked))["state"] == "granted"
    assert await alias(sessions, thing) == "1"


async def test_what_has_moved_meanwhile_is_not_granted_by_a_gate(
    api: Api, sessions: Sessions, things: Things, thing: UUID
) -> None:
    asked = await ask(api, thing, "pass", votes=0)
    await change(sessions, thing, **{"files:1": "sha-other"})
    await work_off(sessions, things=things)
    assert (await read(api, asked))["state"] == "expired"
    assert await alias(sessions, thing) is None


async def test_a_rejection_does_not_wait_for_gates(
    api: Api, sessions: Sessions, things: Things, thing: UUID
) -> None:
    asked = await ask(api, thing, "pass")
    no = {"verdict": "reject", "comment": "Never."}
    await api.ok("maintainer", "POST", f"{A}/{asked['id']}/votes", no)
    await work_off(sessions, things=things)
    after = await read(api, asked)
    assert (after["state"], things.asked) == ("rejected", [])
    assert after["evidence"][0]["state"] == "broken"
    problem = await api.refused(
        409, "member", "POST", f"{A}/{asked['id']}/evidence/{after['evidence'][0]['id']}/retry"
    )
    assert problem["type"] == "/problems/approval-ended"


async def test_an_override_goes_past_gates_and_votes_and_stands_out(
    api: Api, sessions: Sessions, thing: UUID
) -> None:
    asked = await ask(api, thing, "fail")
    at = f"{A}/{asked['id']}/override"
    why = {"reason": "The old one answers nonsense."}
    problem = await api.refused(409, "admin", "POST", at, why)
    assert problem["type"] == "/problems/approval-override-off"
    policy = {"gates": [{"kind": "says", "parameters": {"does": "fail"}}], "override": True}
    await api.ok("admin", "POST", "/approval-policies", {"policy": policy})
    problem = await api.refused(409, "admin", "POST", at, why)
    assert problem["type"] == "/problems/approval-expired"
    asked = await api.ok("member", "POST", A, wanted(thing))
    at = f"{A}/{asked['id']}/override"
    await api.refused(403, "maintainer", "POST", at, why)
    await api.refused(422, "admin", "POST", at, {"reason": " "})
    done = await api.ok("admin", "POST", at, why)
    assert (done["state"], done["ended_because"]) == ("overridden", why["reason"])
    async with open_work(sessions, caller(), read_only=True) as work:
        query = select(AuditEvent).where(AuditEvent.action == "approval.overridden")
        event = (await work.session.scalars(query)).one()
    assert (event.target_id, event.facts["because"]) == (done["id"], why["reason"])
    assert event.facts["missing"] == [*asked["missing"]]
    assert await alias(sessions, thing) == "1"
