"""Find a request, and hold it."""

from collections.abc import Collection, Mapping
from uuid import UUID

from sqlalchemy import select

from maestro_ml.approvals.errors import ApprovalEnded, ApprovalNotFound, KindUnknown
from maestro_ml.approvals.models import OPEN, ApprovalEvidence, ApprovalRequest, ApprovalVote
from maestro_ml.approvals.ports import Asked, Subjects, Target
from maestro_ml.core.access import Permission
from maestro_ml.db.work import Work
from maestro_ml.identity.models import User

Kinds = Mapping[str, Subjects]


async def seen(work: Work, id: UUID) -> ApprovalRequest:
    """One that nobody holds. What the caller may not see is reported as missing."""
    request = await work.session.get(ApprovalRequest, id)
    if request is None or not work.allows(Permission.APPROVAL_READ, request.project_id):
        raise ApprovalNotFound
    return request


async def held(work: Work, id: UUID) -> ApprovalRequest:
    """One that nobody else changes until this work ends. Its project is held, or stays, by now
    (decision 0008).

    Raises:
        ApprovalEnded: nothing about it changes any more.
    """
    request = await work.session.get(
        ApprovalRequest, id, with_for_update=True, populate_existing=True
    )
    if request is None or not work.allows(Permission.APPROVAL_READ, request.project_id):
        raise ApprovalNotFound
    if request.state not in OPEN:
        raise ApprovalEnded(request.state)
    return request


def subjects_of(kinds: Kinds, kind: str) -> Subjects:
    """Raises:
    KindUnknown: this server puts nothing of that kind up for approval.
    """
    if kind not in kinds:
        raise KindUnknown(kind, kinds)
    return kinds[kind]


async def target_of(work: Work, kinds: Kinds, request: ApprovalRequest) -> Target | None:
    """What it is about, as it stands now. None: it is not there, or this server knows nothing of
    its kind."""
    work.require(Permission.APPROVAL_READ, request.project_id)
    subjects = kinds.get(request.subject_kind)
    if subjects is None:
        return None
    return await subjects.target(work, request.subject_id, request.alias, request.target)


def asked(request: ApprovalRequest) -> Asked:
    return Asked(
        id=request.id,
        project_id=request.project_id,
        subject_id=request.subject_id,
        alias=request.alias,
        target=request.target,
        fingerprint=request.fingerprint,
        requested_by=request.requested_by,
    )


async def evidence_of(work: Work, request_id: UUID) -> list[ApprovalEvidence]:
    """Every run of its gates, in the policy's order, the first one first."""
    work.require(Permission.APPROVAL_READ)
    query = select(ApprovalEvidence).where(ApprovalEvidence.request_id == request_id)
    query = query.order_by(ApprovalEvidence.position, ApprovalEvidence.attempt)
    return list(await work.session.scalars(query))


async def votes_on(work: Work, request_id: UUID) -> list[ApprovalVote]:
    query = select(ApprovalVote).where(ApprovalVote.request_id == request_id)
    work.require(Permission.APPROVAL_READ)
    return list(await work.session.scalars(query.order_by(ApprovalVote.voted_at)))


async def names_of(work: Work, ids: Collection[UUID]) -> dict[UUID, str]:
    """What people, and service accounts, of the tenant are called."""
    work.require(Permission.APPROVAL_READ)
    query = select(User.id, User.name).where(User.id.in_(set(ids)))
    return dict(list(await work.session.execute(query)))
