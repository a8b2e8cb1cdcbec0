"""Policies, and what was asked under them, found out about it and voted."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from maestro_ml.core.access import Role
from maestro_ml.db.base import ProjectOwned, Row, TenantOwned, same_tenant


class ApprovalState(StrEnum):
    COLLECTING = "collecting"  # automatic gates have not all passed
    IN_REVIEW = "in_review"  # people are asked
    GRANTED = "granted"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    OVERRIDDEN = "overridden"


OPEN = frozenset({ApprovalState.COLLECTING, ApprovalState.IN_REVIEW})
DONE = frozenset({ApprovalState.GRANTED, ApprovalState.OVERRIDDEN})  # what was asked for happened


class EvidenceState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    BROKEN = "broken"  # no answer to trust


SETTLED = frozenset({EvidenceState.PASSED, EvidenceState.FAILED, EvidenceState.BROKEN})


class Verdict(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"


class Part(StrEnum):
    """Why somebody does not vote on a request."""

    REQUESTER = "requester"
    AUTHOR = "author"
    BEHIND = "behind"  # made the service account that asked or made it, or a key for it


class ApprovalPolicy(TenantOwned, Row, kw_only=True):
    """A version of a policy; the newest of its chain is in force, and none is ever changed.

    A chain is the tenant's, or one subject's. No content: from here on what is above counts again,
    the tenant's policy above a subject's, and the built-in one above the tenant's.
    """

    __tablename__ = "approval_policies"
    __table_args__ = (
        UniqueConstraint("tenant_id", "chain", "number"),
        same_tenant("project_id", "projects", ondelete="CASCADE"),
    )

    chain: Mapped[str]
    number: Mapped[int]
    content: Mapped[dict[str, Any] | None]
    reason: Mapped[str] = mapped_column(default="")
    project_id: Mapped[UUID | None] = mapped_column(default=None)
    subject_kind: Mapped[str | None] = mapped_column(default=None)
    subject_id: Mapped[UUID | None] = mapped_column(default=None)
    created_by: Mapped[UUID | None] = mapped_column(default=None)


class ApprovalRequest(ProjectOwned, Row, kw_only=True):
    """Somebody asks that an alias of a subject may move to a target, or be taken away."""

    __tablename__ = "approval_requests"
    __table_args__ = (
        UniqueConstraint("tenant_id", "slot"),
        Index(None, "tenant_id", "state"),
        Index(None, "tenant_id", "subject_id"),
        Index(None, "tenant_id", "requested_by"),
    )

    subject_kind: Mapped[str]
    subject_id: Mapped[UUID]
    alias: Mapped[str]
    target: Mapped[str | None]  # none: the alias is to be taken away
    name: Mapped[str]  # of subject and target, as people call them
    fingerprint: Mapped[str]  # of all that the decision rests on, when it was asked for
    policy_chain: Mapped[str]
    policy_number: Mapped[int]
    votes_needed: Mapped[int]
    role_needed: Mapped[Role]
    requested_by: Mapped[UUID]
    reason: Mapped[str]
    state: Mapped[ApprovalState]
    expires_at: Mapped[datetime]
    slot: Mapped[str | None]  # of open ones there is one for each; cleared when it ends
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
    ended_by: Mapped[UUID | None] = mapped_column(default=None)
    ended_because: Mapped[str | None] = mapped_column(default=None)


def _of_request(*more: Any) -> tuple[Any, ...]:
    return (*more, same_tenant("request_id", "approval_requests", ondelete="CASCADE"))


class ApprovalParty(ProjectOwned, Row, kw_only=True):
    """Somebody who had a part in what is asked for, and so does not vote on it."""

    __tablename__ = "approval_parties"
    __table_args__ = _of_request(UniqueConstraint("tenant_id", "request_id", "user_id"))

    request_id: Mapped[UUID]
    user_id: Mapped[UUID]
    part: Mapped[Part]


class ApprovalEvidence(ProjectOwned, Row, kw_only=True):
    """What one run of an automatic gate found. Run again, it is another row; the newest counts."""

    __tablename__ = "approval_evidence"
    __table_args__ = _of_request(
        UniqueConstraint("tenant_id", "request_id", "position", "attempt"),
    )

    request_id: Mapped[UUID]
    position: Mapped[int]  # of the gate in the policy
    attempt: Mapped[int]
    kind: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    timeout_seconds: Mapped[int]
    state: Mapped[EvidenceState] = mapped_column(default=EvidenceState.WAITING)
    summary: Mapped[str] = mapped_column(default="")
    details: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)
    inputs: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)  # name: SHA-256
    job_id: Mapped[UUID | None] = mapped_column(default=None)
    started_at: Mapped[datetime | None] = mapped_column(default=None)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)


class ApprovalVote(ProjectOwned, Row, kw_only=True):
    """What somebody says, and as what; they may say another thing until it is decided."""

    __tablename__ = "approval_votes"
    __table_args__ = _of_request(UniqueConstraint("tenant_id", "request_id", "voter_id"))

    request_id: Mapped[UUID]
    voter_id: Mapped[UUID]
    verdict: Mapped[Verdict]
    comment: Mapped[str]
    role: Mapped[Role]
    voted_at: Mapped[datetime]
