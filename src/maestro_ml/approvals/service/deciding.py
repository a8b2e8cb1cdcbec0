"""Votes, and what follows from them; and the way past them, which everybody sees.

A vote is a person's, given in a session. An API key lies in scripts and on machines, where others
than its owner may use it; and a service account has nothing but keys.
"""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import select

from maestro_ml.approvals.errors import EvidenceMissing, OverrideOff, OwnApproval
from maestro_ml.approvals.models import (
    ApprovalRequest,
    ApprovalState,
    ApprovalVote,
    Part,
    Verdict,
)
from maestro_ml.approvals.policy import unpassed
from maestro_ml.approvals.ports import Target
from maestro_ml.approvals.schemas import OverrideCommand, VoteCast
from maestro_ml.approvals.service import policies
from maestro_ml.approvals.service.ending import end, let_happen, moved
from maestro_ml.approvals.service.evidence import outdated
from maestro_ml.approvals.service.guard import missing_of
from maestro_ml.approvals.service.lookup import (
    Kinds,
    evidence_of,
    held,
    seen,
    subjects_of,
    target_of,
    votes_on,
)
from maestro_ml.approvals.service.voters import (
    approvals,
    hold_deciders,
    parties_to,
    parts,
)
from maestro_ml.audit.service import record
from maestro_ml.core.access import ActorKind, Permission, Role
from maestro_ml.core.errors import Forbidden
from maestro_ml.db.work import Work
from maestro_ml.projects.service import hold


async def vote(work: Work, kinds: Kinds, id: UUID, command: VoteCast) -> ApprovalRequest:
    """Say yes or no. One no rejects it. With the last yes that it takes, counted as everybody
    stands now, it is granted and has happened.

    A request whose ground has moved is expired instead, which the caller looks at: this work must
    be committed all the same.

    Raises:
        ApprovalEnded: it is decided by now.
        OwnApproval: the caller has asked for it or made it, be it by a service account.
        Forbidden: the policy asks for more than the caller is.
        EvidenceMissing: a yes, before all automatic gates have passed.
    """
    _in_person(work, Permission.APPROVAL_DECIDE)
    request = await seen(work, id)
    work.require(Permission.APPROVAL_DECIDE, request.project_id)
    subjects_of(kinds, request.subject_kind)
    able = await hold_deciders(work, request)
    request = await held(work, id)
    target = await target_of(work, kinds, request)
    parties = await _parties(work, request, target)
    _check_voter(work.access.actor_id, request, able, parties)
    because = await moved(work, request, target) or await outdated(work, kinds, request)
    if because is not None:
        await end(work, request, ApprovalState.EXPIRED, because)
        return request
    if command.verdict is Verdict.APPROVE and request.state is not ApprovalState.IN_REVIEW:
        raise EvidenceMissing(unpassed(await evidence_of(work, id)))
    await _cast(work, request, command, able[work.access.actor_id])
    if command.verdict is Verdict.REJECT:
        await end(work, request, ApprovalState.REJECTED, command.comment)
        return request
    votes = await votes_on(work, id)
    if approvals(votes, request, able, parties) >= request.votes_needed:
        await let_happen(work, kinds, request, ApprovalState.GRANTED)
    return request


async def override(work: Work, kinds: Kinds, id: UUID, command: OverrideCommand) -> ApprovalRequest:
    """Let it happen without the votes and evidence that it takes, if the policy allows that. It
    stands in the trail under a name of its own, with the reason and what was missing.

    As with a vote, a request whose ground has moved is expired instead.

    Raises:
        ApprovalEnded: it is decided by now.
        OverrideOff: the policy in force allows none.
    """
    work.require(Permission.APPROVAL_OVERRIDE)
    _in_person(work, Permission.APPROVAL_OVERRIDE)
    request = await seen(work, id)
    subjects_of(kinds, request.subject_kind)
    await hold(work, request.project_id)
    request = await held(work, id)
    target = await target_of(work, kinds, request)
    because = await moved(work, request, target)
    if because is not None:
        await end(work, request, ApprovalState.EXPIRED, because)
        return request
    if not (await policies.in_force(work, request.subject_id)).content.override:
        raise OverrideOff
    without = await missing_of(work, request)
    await let_happen(
        work, kinds, request, ApprovalState.OVERRIDDEN, command.reason, missing=without
    )
    return request


def _in_person(work: Work, permission: Permission) -> None:
    """Asked before anything is looked for: a key, whoever's it is, is told the same of every id."""
    if work.access.api_key_id is not None:
        work.require(permission)
    if work.access.kind is not ActorKind.USER:
        raise Forbidden("Only a person decides, in a session of their own.")


async def _parties(
    work: Work, request: ApprovalRequest, target: Target | None
) -> Mapping[UUID, Part]:
    """Who had a part in it when it was asked for, and who has by what is known now."""
    now = await parts(work, request.requested_by, target.authors if target else ())
    return now | await parties_to(work, request.id)


def _check_voter(
    who: UUID, request: ApprovalRequest, able: Mapping[UUID, Role], parties: Mapping[UUID, Part]
) -> None:
    if who in parties:
        raise OwnApproval(parties[who])
    role = able.get(who)
    if role is None or role.rank < request.role_needed.rank:
        raise Forbidden(
            f"The policy asks for a vote by the role {request.role_needed} or above, in the "
            "tenant or in the project."
        )


async def _cast(work: Work, request: ApprovalRequest, command: VoteCast, role: Role) -> None:
    """One each: who says another thing has changed their mind."""
    me = work.access.actor_id
    query = select(ApprovalVote).where(
        ApprovalVote.request_id == request.id, ApprovalVote.voter_id == me
    )
    cast = (await work.session.scalars(query)).one_or_none()
    if cast is None:
        cast = ApprovalVote(
            project_id=request.project_id,
            request_id=request.id,
            voter_id=me,
            verdict=command.verdict,
            comment=command.comment,
            role=role,
            voted_at=work.now,
            created_at=work.now,
        )
        work.session.add(cast)
    else:
        cast.verdict, cast.comment = command.verdict, command.comment
        cast.role, cast.voted_at = role, work.now
    await work.session.flush()
    said = {"verdict": command.verdict, "comment": command.comment, "role": role}
    record(work, "approval.voted", "approval", request.id, **said)
