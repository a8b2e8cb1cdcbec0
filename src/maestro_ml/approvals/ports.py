"""What approvals need of whoever keeps the things that are put up for approval.

`api/main.py` passes an implementation for each kind of subject. Approvals know nothing of what a
subject is: it has an id, lies in a project, and has aliases that point at targets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from maestro_ml.core.schemas import Text
from maestro_ml.db.work import Work
from maestro_ml.jobs.context import JobContext
from maestro_ml.projects.schemas import Metadata

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class Subject:
    """What has aliases."""

    id: UUID
    project_id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class Target:
    """What an alias is to point at, or is to be taken from."""

    name: str  # with the subject's, as people call it
    fingerprint: str  # changes when anything does that a decision rests on
    authors: frozenset[UUID]  # users, service accounts among them, who made it


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for: the alias moves to the target, or away if there is none."""

    id: UUID
    project_id: UUID
    subject_id: UUID
    alias: str
    target: str | None
    fingerprint: str
    requested_by: UUID


@dataclass(frozen=True, slots=True)
class Gate:
    """An automatic gate of a policy, with parameters that fit its kind."""

    kind: str
    parameters: Mapping[str, Any]


class GateResult(BaseModel):
    """A gate's answer. One that does not hold to this counts for nothing."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, revalidate_instances="always"
    )

    passed: bool
    summary: Annotated[Text, Field(max_length=500)]  # one sentence to whoever decides
    fingerprint: Annotated[Text, Field(max_length=200)]  # of what it really looked at
    inputs: Annotated[dict[Text, Sha256], Field(max_length=100)] = {}
    details: Metadata = {}


class Subjects(Protocol):
    """The subjects of one kind."""

    @property
    def gates(self) -> Mapping[str, type[BaseModel]]:
        """The automatic gates that it can run, each with what its parameters are."""

    async def subject(self, work: Work, id: UUID) -> Subject | None:
        """None: there is none, or the caller may not see it."""

    async def target(
        self, work: Work, subject_id: UUID, alias: str, target: str | None
    ) -> Target | None:
        """As it is now, and stays until the unit of work ends. Without a `target`, what the alias
        points at, which it is to be taken from. None: it is not there (any more)."""

    async def on_granted(self, work: Work, asked: Asked) -> None:
        """Let it happen, in the transaction that grants it. The request is held by now, so nobody
        who holds what this changes waits for a request meanwhile."""

    async def inputs(self, work: Work, asked: Asked, gate: Gate) -> Mapping[str, str]:
        """What the gate's answer would say now that it has looked at. If that is another thing
        than it did look at, its answer does not count any more."""

    async def run(self, job: JobContext, asked: Asked, gate: Gate) -> GateResult:
        """Look, in a job and outside of any transaction. It may take as long as the policy says."""
