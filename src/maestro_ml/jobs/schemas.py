"""How a job is shown, and what a list of jobs can be asked for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from maestro_ml.core.schemas import View
from maestro_ml.jobs.models import JobState


class JobView(View):
    id: UUID
    kind: str
    state: JobState
    progress: float = Field(description="From 0 to 1.")
    message: str | None = Field(description="What it is at.")
    error: str | None = Field(description="Why its last attempt failed.")
    result: dict[str, Any] | None
    attempts: int
    max_attempts: int
    project_id: UUID | None
    cancel_requested: bool
    run_at: datetime = Field(description="Not before this; after a failure, the next attempt.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class JobFilter:
    state: JobState | None = None
    kind: str | None = None
    project_id: UUID | None = None
