"""What automatic gates find out: each run is a job, and a row that stays."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from maestro_ml.approvals.errors import EvidenceNotFound, EvidenceSettled
from maestro_ml.approvals.models import (
    OPEN,
    SETTLED,
    ApprovalEvidence,
    ApprovalRequest,
    ApprovalState,
    EvidenceState,
)
from maestro_ml.approvals.policy import newest, unpassed
from maestro_ml.approvals.ports import Gate, GateResult
from maestro_ml.approvals.schemas_policies import GateWanted
from maestro_ml.approvals.service.ending import end, let_happen, moved, note
from maestro_ml.approvals.service.lookup import (
    Kinds,
    asked,
    evidence_of,
    held,
    seen,
    subjects_of,
    target_of,
)
from maestro_ml.approvals.service.notices import tell_deciders
from maestro_ml.audit.service import record
from maestro_ml.core.access import Permission
from maestro_ml.db.work import Work
from maestro_ml.jobs.models import ENDED, Job
from maestro_ml.jobs.service import enqueue
from maestro_ml.projects.service import hold, stay

GATE = "approvals.gate"
_ATTEMPTS = 3  # of a worker that dies; a gate that breaks is run again by people
LOST = "Its job ended without an answer, or was cancelled."
_ELSEWHERE = "It looked at something else than what is asked about."


async def start(
    work: Work, request: ApprovalRequest, gate: GateWanted, position: int, attempt: int = 1
) -> ApprovalEvidence:
    """Have a gate run."""
    work.require(Permission.APPROVAL_REQUEST, request.project_id)
    one = ApprovalEvidence(
        project_id=request.project_id,
        request_id=request.id,
        position=position,
        attempt=attempt,
        kind=gate.kind,
        parameters=dict(gate.parameters),
        timeout_seconds=gate.timeout_seconds,
        created_at=work.now,
    )
    payload = {"evidence_id": str(one.id), "approval_id": str(request.id), "gate": gate.kind}
    job = await enqueue(work, GATE, payload, project_id=request.project_id, max_attempts=_ATTEMPTS)
    one.job_id = job.id
    work.session.add(one)
    await work.session.flush()
    return one


async def retry(work: Work, id: UUID, evidence_id: UUID) -> ApprovalEvidence:
    """Run a gate again that has failed or broken. What it found the first time is kept.

    Raises:
        ApprovalEnded: the request is decided by now.
        EvidenceNotFound: it has no such evidence.
        EvidenceSettled: there is no reason to, or it runs again already.
    """
    request = await seen(work, id)
    work.require(Permission.APPROVAL_REQUEST, request.project_id)
    await hold(work, request.project_id)
    request = await held(work, id)
    await give_up_lost(work, request)
    every = await evidence_of(work, id)
    one = next((row for row in every if row.id == evidence_id), None)
    if one is None:
        raise EvidenceNotFound
    if one not in newest(every) or one.state not in {EvidenceState.FAILED, EvidenceState.BROKEN}:
        raise EvidenceSettled(one.state)
    gate = GateWanted(kind=one.kind, parameters=one.parameters, timeout_seconds=one.timeout_seconds)
    again = await start(work, request, gate, one.position, one.attempt + 1)
    record(work, "approval.gate_repeated", "approval", id, gate=one.kind, attempt=again.attempt)
    return again


async def begin(work: Work, evidence_id: UUID) -> tuple[ApprovalRequest, Gate, int] | None:
    """What a gate's job is to look at, and for how many seconds at most. None: nobody asks any
    more, or there is an answer."""
    one = await work.session.get(ApprovalEvidence, evidence_id, with_for_update=True)
    if one is None or one.state in SETTLED:
        return None
    work.require(Permission.APPROVAL_REQUEST, one.project_id)
    request = await work.session.get_one(ApprovalRequest, one.request_id)
    if request.state not in OPEN:
        _settle(one, EvidenceState.BROKEN, "The request ended before this gate ran.", work.now)
        return None
    one.state, one.started_at = EvidenceState.RUNNING, work.now
    return request, Gate(one.kind, one.parameters), one.timeout_seconds


async def settle(
    work: Work, kinds: Kinds, evidence_id: UUID, answer: GateResult | str
) -> EvidenceState:
    """Write down a gate's answer, or why there is none to trust. With the last gate passed, people
    are asked; or, where none are wanted, it is granted."""
    one = await work.session.get(ApprovalEvidence, evidence_id)
    if one is None:  # gone with its project
        return EvidenceState.BROKEN
    work.require(Permission.APPROVAL_REQUEST, one.project_id)
    await stay(work, one.project_id)
    request = await work.session.get_one(
        ApprovalRequest, one.request_id, with_for_update=True, populate_existing=True
    )
    await work.session.refresh(one)
    if one.state in SETTLED:
        return one.state
    if isinstance(answer, str):
        _settle(one, EvidenceState.BROKEN, answer, work.now)
    elif answer.fingerprint != request.fingerprint:
        _settle(one, EvidenceState.BROKEN, _ELSEWHERE, work.now)
    else:
        state = EvidenceState.PASSED if answer.passed else EvidenceState.FAILED
        _settle(one, state, answer.summary, work.now)
        one.details, one.inputs = dict(answer.details), dict(answer.inputs)
    await work.session.flush()
    record(
        work,
        f"approval.gate_{one.state}",
        "approval",
        request.id,
        gate=one.kind,
        summary=one.summary,
        inputs=one.inputs,
    )
    if request.state is ApprovalState.COLLECTING:
        await _go_on(work, kinds, request)
    return one.state


async def outdated(work: Work, kinds: Kinds, request: ApprovalRequest) -> str | None:
    """Why what the gates of a held request have found counts no more, in a sentence."""
    work.require(Permission.APPROVAL_READ, request.project_id)
    for one in newest(await evidence_of(work, request.id)):
        if one.state is EvidenceState.PASSED:
            gate = Gate(one.kind, one.parameters)
            subjects = subjects_of(kinds, request.subject_kind)
            if dict(await subjects.inputs(work, asked(request), gate)) != one.inputs:
                return f"What the gate {one.kind} looked at has changed since it passed."
    return None


async def give_up_lost(work: Work, request: ApprovalRequest) -> None:
    """Of a held request: a gate whose job has ended, or was forgotten, does not run any more."""
    work.require(Permission.APPROVAL_READ, request.project_id)
    for one in await lost(work, request.id):
        _settle(one, EvidenceState.BROKEN, LOST, work.now)
        record(work, "approval.gate_broken", "approval", request.id, gate=one.kind, summary=LOST)
    await work.session.flush()


async def lost(work: Work, request_id: UUID) -> list[ApprovalEvidence]:
    """Evidence that is waited for, and of which none will come."""
    work.require(Permission.APPROVAL_READ)
    open_ones = [one for one in await evidence_of(work, request_id) if one.state not in SETTLED]
    ids = [one.job_id for one in open_ones]
    alive = set(
        await work.session.scalars(select(Job.id).where(Job.id.in_(ids), Job.state.not_in(ENDED)))
    )
    return [one for one in open_ones if one.job_id not in alive]


def _settle(one: ApprovalEvidence, state: EvidenceState, summary: str, now: datetime) -> None:
    one.state, one.summary, one.finished_at = state, summary, now


async def _go_on(work: Work, kinds: Kinds, request: ApprovalRequest) -> None:
    if unpassed(await evidence_of(work, request.id)):
        return
    if request.votes_needed:
        request.state = ApprovalState.IN_REVIEW
        await work.session.flush()
        await note(work, "approval.in_review", request)
        await tell_deciders(work, request)
        return
    because = await moved(work, request, await target_of(work, kinds, request))
    because = because or await outdated(work, kinds, request)
    if because is None:
        await let_happen(work, kinds, request, ApprovalState.GRANTED)
    else:
        await end(work, request, ApprovalState.EXPIRED, because)
