"""What a policy says, what is said about one, and what is seen of it."""

from datetime import datetime
from typing import Annotated, Literal, Self
from unicodedata import normalize
from uuid import UUID

from pydantic import BeforeValidator, Field, StringConstraints, field_validator, model_validator

from maestro_ml.approvals.models import ApprovalState
from maestro_ml.core.access import Role
from maestro_ml.core.schemas import Command, Text, View
from maestro_ml.projects.schemas import Metadata

BUILT_IN, TENANT = "built-in", "tenant"  # chains; any other is a subject's own


def plain(alias: str) -> str:
    """The same for aliases that people read as the same: in any case, and in letters that only look
    wider or smaller."""
    return normalize("NFKC", normalize("NFKC", alias).casefold())


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic takes no TypeError
    return value


Alias = Annotated[Text, StringConstraints(pattern=r"^[\w-]+$", max_length=255)]
Word = Annotated[Text, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", max_length=63)]
Few = Annotated[int, BeforeValidator(_no_truth)]
Said = Annotated[Text, Field(max_length=2000)]


class GateWanted(Command):
    """An automatic gate: a job that looks at what is asked for, and says whether it passes."""

    kind: Word
    parameters: Metadata = {}
    timeout_seconds: Few = Field(
        600, ge=1, le=3600, description="A gate that takes longer has broken."
    )


class People(Command):
    """The human gate. Who asked for something or made it never counts."""

    votes: Few = Field(1, ge=0, le=20, description="Approvals needed; 0: the gates alone decide.")
    role: Literal[Role.MAINTAINER, Role.ADMIN] = Field(
        Role.MAINTAINER, description="The least role, in the tenant or the project, of who votes."
    )


class PolicyContent(Command):
    """What it takes to move a protected alias. As it stands here, it is the built-in policy."""

    protected: list[Alias] = Field(
        default=["production"], max_length=50, description="Aliases; their case does not matter."
    )
    gates: list[GateWanted] = Field(default=[], max_length=20)
    people: People = People()
    expires_after_hours: Few = Field(336, ge=1, le=8760)
    override: bool = Field(
        default=False, strict=True, description="Whether an admin may override in an emergency."
    )

    @field_validator("protected")
    @classmethod
    def _each_once(cls, protected: list[str]) -> list[str]:
        if len({plain(alias) for alias in protected}) < len(protected):
            raise ValueError("must name each alias once")
        return protected

    @model_validator(mode="after")
    def _somebody_looks(self) -> Self:
        if self.people.votes == 0 and not self.gates:
            raise ValueError("people.votes must be at least 1 where there is no automatic gate")
        return self

    def protects(self, alias: str) -> bool:
        return plain(alias) in {plain(one) for one in self.protected}


class SubjectNamed(Command):
    """A subject that has, or is to have, a policy of its own."""

    kind: Word
    id: UUID


class PolicyWrite(Command):
    """A new version, of the tenant's policy or of one subject's. No policy: from here on what is
    above counts again, the tenant's above a subject's, and the built-in one above the tenant's."""

    policy: PolicyContent | None
    subject: SubjectNamed | None = None
    reason: Said = Field("", description="Why, for those who ask later.")


class PolicyTry(Command):
    """A policy to hold against what was asked for before."""

    policy: PolicyContent
    subject: SubjectNamed | None = None


class ApprovalPolicyView(View):
    """A version of a policy; the built-in one has the number 0."""

    chain: str = Field(description="`built-in`, `tenant`, or the id of the subject it is of.")
    number: int
    policy: PolicyContent | None = Field(validation_alias="content")
    reason: str
    created_by: UUID | None
    created_at: datetime | None


class Stopped(View):
    """A request of the past, and why the policy would have stopped it."""

    approval_id: UUID
    name: str
    alias: str
    target: str | None
    state: ApprovalState
    ended_at: datetime | None
    reasons: list[str]


class TrialView(View):
    """What a policy would have done to what was asked for before."""

    looked_at: int = Field(description="Requests that were granted or overridden, the newest 500.")
    stopped: list[Stopped]
    unprotected: int = Field(description="Of these, how many would not have had to ask.")
