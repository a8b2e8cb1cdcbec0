"""The queue is a table, so enqueueing commits or rolls back with everything else."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from maestro_ml.core.access import Permission
from maestro_ml.db.base import Row, TenantOwned, same_tenant


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})


# What keeps the platform itself in order: no tenant sees these, and no tenant's limit holds them.
PLATFORM = frozenset(
    {
        *("approvals.sweep", "audit.seal", "tenants.delete"),
        *("identity.prune", "identity.prune_sign_ins", "identity.send_reset"),
        *("jobs.prune", "limits.prune", "mail.deliver", "mail.prune", "storage.sweep"),
        "webhooks.prune",
    }
)
# What waits for servers of others. It has places of its own among what a worker runs, and of these
# one tenant has some only: whoever is slow keeps neither its own work waiting nor another tenant's.
# Its own log says how it went.
ERRANDS = frozenset({"webhooks.deliver"})
HIDDEN = PLATFORM | ERRANDS
# What these find is for fewer than jobs are: beside what is asked of every job, this is.
ASKS = {"audit.verify": Permission.AUDIT_READ}


class Job(TenantOwned, Row, kw_only=True):
    """One piece of background work. `failed` is the dead-letter state: no attempt is left."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("tenant_id", "kind", "dedup_key"),
        Index(None, "state", "run_at"),
        Index(None, "state", "finished_at"),
        same_tenant("project_id", "projects", ondelete="CASCADE"),
    )

    kind: Mapped[str]
    payload: Mapped[dict[str, Any]]
    run_at: Mapped[datetime]
    project_id: Mapped[UUID | None] = mapped_column(default=None)
    created_by: Mapped[UUID | None] = mapped_column(default=None)
    dedup_key: Mapped[str | None] = mapped_column(default=None)  # cleared when the job ends
    state: Mapped[JobState] = mapped_column(default=JobState.QUEUED)
    attempts: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int] = mapped_column(default=5)
    progress: Mapped[float] = mapped_column(default=0.0)
    message: Mapped[str | None] = mapped_column(default=None)
    error: Mapped[str | None] = mapped_column(default=None)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    lease_id: Mapped[UUID | None] = mapped_column(default=None)
    lease_expires_at: Mapped[datetime | None] = mapped_column(default=None)
    started_at: Mapped[datetime | None] = mapped_column(default=None)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)


class Schedule(Row, kw_only=True):
    """A job that comes again and again. `kind` is unique: a schedule is declared in code."""

    __tablename__ = "schedules"

    kind: Mapped[str] = mapped_column(unique=True)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"))
    every_seconds: Mapped[int]
    next_run_at: Mapped[datetime]
