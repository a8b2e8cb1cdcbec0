"""A request with all that is known of it, as it is shown."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from maestro_ml.approvals.models import (
    OPEN,
    ApprovalEvidence,
    ApprovalRequest,
    ApprovalState,
    EvidenceState,
)
from maestro_ml.approvals.policy import newest, unpassed, unvoted
from maestro_ml.approvals.schemas import (
    ApprovalDetail,
    ApprovalView,
    EvidenceView,
    PartyView,
    PersonView,
    VoteView,
)
from maestro_ml.approvals.service import evidence
from maestro_ml.approvals.service.lookup import evidence_of, names_of, seen, votes_on
from maestro_ml.approvals.service.voters import approvals, counts, deciders, parties_to
from maestro_ml.core.access import ActorKind, Permission
from maestro_ml.db.work import Work


async def get(work: Work, id: UUID) -> ApprovalDetail:
    """Read one. What the caller may not see is reported as missing."""
    request = await seen(work, id)
    work.require(Permission.APPROVAL_READ, request.project_id)
    runs, votes = await evidence_of(work, id), await votes_on(work, id)
    for one in await evidence.lost(work, id):  # shown as it is; written down by who may write
        work.session.expunge(one)
        one.state, one.summary = EvidenceState.BROKEN, evidence.LOST
    parties, able = await parties_to(work, id), await deciders(work, request)
    ids = {request.requested_by, *parties, *(vote.voter_id for vote in votes)}
    names = await names_of(work, ids)
    counted = approvals(votes, request, able, parties)
    is_open, me = request.state in OPEN, work.access.actor_id
    missing = [*unpassed(runs), *unvoted(request, counted)] if is_open else []
    role = able.get(me) if work.access.kind is ActorKind.USER else None
    return ApprovalDetail(
        **_shown(request, names).model_dump(),
        fingerprint=request.fingerprint,
        evidence=[_run(one, runs) for one in runs],
        votes=[
            VoteView(
                voter=_person(vote.voter_id, names),
                verdict=vote.verdict,
                comment=vote.comment,
                role=vote.role,
                counts=counts(vote, request, able, parties),
                voted_at=vote.voted_at,
            )
            for vote in votes
        ],
        parties=[PartyView(user=_person(id, names), part=part) for id, part in parties.items()],
        missing=missing,
        may_vote=is_open
        and role is not None
        and role.rank >= request.role_needed.rank
        and me not in parties
        and request.state is ApprovalState.IN_REVIEW,
    )


async def named(work: Work, requests: Sequence[ApprovalRequest]) -> list[ApprovalView]:
    """Requests as a list shows them."""
    work.require(Permission.APPROVAL_READ)
    names = await names_of(work, {request.requested_by for request in requests})
    return [_shown(request, names) for request in requests]


def _shown(request: ApprovalRequest, names: Mapping[UUID, str]) -> ApprovalView:
    own = {
        name: getattr(request, name) for name in ApprovalView.model_fields if name != "requested_by"
    }
    return ApprovalView(**own, requested_by=_person(request.requested_by, names))


def _run(one: ApprovalEvidence, runs: Sequence[ApprovalEvidence]) -> EvidenceView:
    own = {name: getattr(one, name) for name in EvidenceView.model_fields if name != "newest"}
    return EvidenceView(**own, newest=one in newest(runs))


def _person(id: UUID, names: Mapping[UUID, str]) -> PersonView:
    return PersonView(id=id, name=names.get(id))
