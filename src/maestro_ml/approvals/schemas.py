"""What is said about a request for approval, and what is seen of it."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from maestro_ml.approvals.models import ApprovalState, EvidenceState, Part, Verdict
from maestro_ml.approvals.schemas_policies import Alias, Said, Word
from maestro_ml.core.access import Role
from maestro_ml.core.schemas import Command, Text, View

TargetName = Annotated[Text, Field(min_length=1, max_length=100)]


class ApprovalCreate(Command):
    """Ask that an alias may move to a target, or be taken away."""

    subject_kind: Word = Field(description="Such as `model-alias`.")
    subject_id: UUID
    alias: Alias
    target: TargetName | None = Field(
        description="A version's number; null: the alias is to be taken away."
    )
    reason: Said = ""


class VoteCast(Command):
    verdict: Verdict
    comment: Said = Field("", description="A rejection says why.")

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if self.verdict is Verdict.REJECT and not self.comment.strip():
            raise ValueError("comment: a rejection needs a reason")
        return self


class OverrideCommand(Command):
    reason: Annotated[
        Text, Field(max_length=2000, pattern=r"\S", description="Why it cannot wait.")
    ]


class ApprovalFilter(BaseModel):
    """Which requests a list is of. What is left out does not matter."""

    model_config = ConfigDict(frozen=True)  # no `forbid`: an address holds the page as well

    state: ApprovalState | None = None
    open: Annotated[bool | None, Field(description="Only undecided ones, or only the others.")] = (
        None
    )
    project_id: UUID | None = None
    subject_id: UUID | None = None
    alias: Annotated[Text | None, Field(max_length=255)] = None
    mine: Annotated[bool, Field(description="Only what you have asked for.")] = False
    awaiting_me: Annotated[bool, Field(description="Only what waits for your vote.")] = False


class PersonView(View):
    """No name: they are in the tenant no more."""

    id: UUID
    name: str | None


class ApprovalView(View):
    id: UUID
    project_id: UUID
    subject_kind: str
    subject_id: UUID
    alias: str
    target: str | None
    name: str = Field(description="What it is about, as people call it.")
    state: ApprovalState
    reason: str
    requested_by: PersonView
    policy_chain: str
    policy_number: int
    votes_needed: int
    role_needed: Role
    expires_at: datetime
    created_at: datetime
    ended_at: datetime | None
    ended_by: UUID | None
    ended_because: str | None


class EvidenceView(View):
    id: UUID
    position: int = Field(description="Of the gate in the policy.")
    attempt: int
    newest: bool = Field(description="It counts; the others are kept.")
    kind: str
    parameters: dict[str, Any]
    state: EvidenceState
    summary: str
    details: dict[str, Any]
    inputs: dict[str, Any] = Field(description="SHA-256 of what the gate looked at, by name.")
    job_id: UUID | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class VoteView(View):
    voter: PersonView
    verdict: Verdict
    comment: str
    role: Role = Field(description="What they were when they voted.")
    counts: bool = Field(description="They may still decide, as what the policy asks for.")
    voted_at: datetime


class PartyView(View):
    user: PersonView
    part: Part


class ApprovalDetail(ApprovalView):
    """With all that was found out about it, said, and is still missing."""

    fingerprint: str
    evidence: list[EvidenceView]
    votes: list[VoteView]
    parties: list[PartyView] = Field(description="Who does not vote on it, and why.")
    missing: list[str] = Field(description="What it takes yet, a sentence each.")
    may_vote: bool = Field(description="Whether your vote would count.")
