"""What every door asks that could move an alias: whether it is protected, and what it takes then.

A grant does not come through here: it moves the alias by itself (`ports.Subjects.on_granted`).
"""

from uuid import UUID

from sqlalchemy import select

from maestro_ml.approvals.errors import ApprovalNeeded, PolicyKept
from maestro_ml.approvals.models import OPEN, ApprovalRequest
from maestro_ml.approvals.policy import unpassed, unvoted, votes_wanted
from maestro_ml.approvals.schemas_policies import plain
from maestro_ml.approvals.service import policies
from maestro_ml.approvals.service.lookup import evidence_of, votes_on
from maestro_ml.approvals.service.voters import approvals, deciders, parties_to
from maestro_ml.core.access import Permission, Role
from maestro_ml.db.work import Work


async def protected(work: Work, project_id: UUID, subject_id: UUID, alias: str) -> bool:
    """Whether a subject's alias moves by approval only. Its case does not matter."""
    work.require(Permission.APPROVAL_READ, project_id)
    return (await policies.in_force(work, subject_id)).content.protects(alias)


async def check_kept(work: Work, project_id: UUID, subject_id: UUID, *, what: str) -> None:
    """Before a subject's name comes free: whoever takes it next would have no such policy.

    Raises:
        PolicyKept: the subject has a policy of its own, and the caller writes none.
    """
    work.require(Permission.APPROVAL_READ, project_id)
    if work.allows(Permission.POLICY_WRITE):
        return
    if (await policies.in_force(work, subject_id)).chain == str(subject_id):
        raise PolicyKept(what)


async def check_free(
    work: Work,
    project_id: UUID,
    subject_id: UUID,
    alias: str,
    *,
    target: str | None,
    what: str,
) -> None:
    """Let a door go on that moves an alias to a target, or takes it away. `what` begins the
    refusal: a few words for what was tried.

    Raises:
        ApprovalNeeded: the alias is protected. It says what is missing, and where to ask.
    """
    work.require(Permission.APPROVAL_READ, project_id)
    policy = (await policies.in_force(work, subject_id)).content
    if not policy.protects(alias):
        return
    query = select(ApprovalRequest).where(
        ApprovalRequest.subject_id == subject_id,
        ApprovalRequest.state.in_(OPEN),
        ApprovalRequest.target.is_(None) if target is None else ApprovalRequest.target == target,
    )
    asked = [one for one in await work.session.scalars(query) if plain(one.alias) == plain(alias)]
    if asked:
        request = asked[0]
        missing = await missing_of(work, request)
        raise ApprovalNeeded(what, alias, missing, approval_id=request.id)
    gates = [f"The gate {gate.kind} has to pass." for gate in policy.gates]
    people = policy.people
    votes = [votes_wanted(people.votes, Role(people.role))] if people.votes else []
    raise ApprovalNeeded(what, alias, [*gates, *votes], approval_id=None)


async def missing_of(work: Work, request: ApprovalRequest) -> list[str]:
    """What an open request still takes, a sentence each."""
    work.require(Permission.APPROVAL_READ, request.project_id)
    able, parties = await deciders(work, request), await parties_to(work, request.id)
    counted = approvals(await votes_on(work, request.id), request, able, parties)
    return [*unpassed(await evidence_of(work, request.id)), *unvoted(request, counted)]
