"""What a server answers about approvals."""

from datetime import datetime
from typing import Any
from uuid import UUID

from maestro_ml.client.views import Answer


class Person(Answer):
    """No name: they are in the tenant no more."""

    id: UUID
    name: str | None = None

    def __str__(self) -> str:
        return self.name or str(self.id)


class Evidence(Answer):
    """What one run of an automatic gate found; of each gate the newest counts."""

    id: UUID
    kind: str
    position: int = 0
    attempt: int = 1
    newest: bool = True
    state: str
    summary: str = ""
    parameters: dict[str, Any] = {}
    details: dict[str, Any] = {}
    inputs: dict[str, str] = {}
    job_id: UUID | None = None
    finished_at: datetime | None = None


class Vote(Answer):
    voter: Person
    verdict: str
    comment: str = ""
    role: str
    counts: bool = True
    voted_at: datetime


class Party(Answer):
    """Somebody who does not vote on it."""

    user: Person
    part: str


class Approval(Answer):
    """Somebody asks that an alias may move to a target, or be taken away if there is none."""

    id: UUID
    name: str
    alias: str
    target: str | None = None
    state: str
    requested_by: Person
    reason: str = ""
    subject_kind: str
    subject_id: UUID
    project_id: UUID
    policy_chain: str | None = None
    policy_number: int | None = None
    votes_needed: int = 1
    role_needed: str | None = None
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None
    ended_because: str | None = None

    @property
    def open(self) -> bool:
        return self.state in {"collecting", "in_review"}


class ApprovalDetail(Approval):
    """With all that was found out about it, said, and is still missing."""

    fingerprint: str = ""
    evidence: list[Evidence] = []
    votes: list[Vote] = []
    parties: list[Party] = []
    missing: list[str] = []
    may_vote: bool = False


class ApprovalPolicy(Answer):
    """A version of a policy. No policy: what is above it counts again."""

    chain: str
    number: int
    policy: dict[str, Any] | None = None
    reason: str = ""
    created_by: UUID | None = None
    created_at: datetime | None = None


class Stopped(Answer):
    """A request of the past, and why a policy would have stopped it."""

    approval_id: UUID
    name: str
    alias: str
    target: str | None = None
    state: str
    reasons: list[str]


class PolicyTrial(Answer):
    """What a policy would have done to what was asked for before."""

    looked_at: int
    stopped: list[Stopped]
    unprotected: int = 0
