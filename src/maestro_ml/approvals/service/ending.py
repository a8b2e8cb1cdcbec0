"""How a request ends, whichever way; and whether what it rests on is still as it was."""

from maestro_ml.approvals.models import ApprovalRequest, ApprovalState
from maestro_ml.approvals.ports import Target
from maestro_ml.approvals.service import policies
from maestro_ml.approvals.service.lookup import Kinds, asked, subjects_of
from maestro_ml.approvals.service.notices import tell_requester
from maestro_ml.audit.service import record
from maestro_ml.core.access import ActorKind, Permission
from maestro_ml.db.work import Work
from maestro_ml.jobs.service import publish


async def end(
    work: Work,
    request: ApprovalRequest,
    state: ApprovalState,
    because: str | None = None,
    **more: object,
) -> None:
    """Close a request that this work holds: for good, with an event and a line in the trail."""
    work.require(Permission.APPROVAL_READ, request.project_id)
    request.state, request.slot = state, None
    request.ended_at, request.ended_because = work.now, because
    if work.access.kind is not ActorKind.SYSTEM and state is not ApprovalState.EXPIRED:
        request.ended_by = work.access.actor_id
    await work.session.flush()
    await note(work, f"approval.{state}", request, because=because, **more)
    await tell_requester(work, request)


async def let_happen(
    work: Work,
    kinds: Kinds,
    request: ApprovalRequest,
    state: ApprovalState,
    because: str | None = None,
    **more: object,
) -> None:
    """Close it as granted or overridden, and have what was asked for happen in the same breath."""
    work.require(Permission.APPROVAL_READ, request.project_id)
    await end(work, request, state, because, **more)
    await subjects_of(kinds, request.subject_kind).on_granted(work, asked(request))


async def moved(work: Work, request: ApprovalRequest, target: Target | None) -> str | None:
    """Why a held request cannot be decided any more, in a sentence; None: it can."""
    work.require(Permission.APPROVAL_READ, request.project_id)
    if request.expires_at <= work.now:
        return "Its time has run out."
    policy = await policies.in_force(work, request.subject_id)
    if (policy.chain, policy.number) != (request.policy_chain, request.policy_number):
        return "The policy has changed since this was asked for."
    if target is None:
        return "What was asked for is not there any more."
    if target.fingerprint != request.fingerprint:
        return "Its files, or what else is decided about, have changed since this was asked for."
    return None


async def note(work: Work, event: str, request: ApprovalRequest, **more: object) -> None:
    """Write down and announce what happened to a request."""
    work.require(Permission.APPROVAL_READ, request.project_id)
    facts = {
        "project_id": str(request.project_id),
        "subject_kind": request.subject_kind,
        "subject_id": str(request.subject_id),
        "alias": request.alias,
        "name": request.name,
        "requested_by": str(request.requested_by),
        **{name: value for name, value in more.items() if value is not None},
    }
    record(work, event, "approval", request.id, to=request.target, **facts)
    await publish(work, event, approval_id=str(request.id), target=request.target, **facts)
