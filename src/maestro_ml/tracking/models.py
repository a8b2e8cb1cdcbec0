"""Experiments, their runs, and what runs log: MLflow's meaning of the words."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, MappedAsDataclass, mapped_column

from maestro_ml.db.base import Base, ProjectOwned, Row, TenantOwned, same_tenant


class LifecycleStage(StrEnum):
    ACTIVE = "active"
    DELETED = "deleted"


class RunStatus(StrEnum):
    """Spelled as MLflow spells them: filters and clients compare the words."""

    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


class Deletable(MappedAsDataclass, kw_only=True):
    """Deleting marks a row and restoring unmarks it."""

    deleted_at: Mapped[datetime | None] = mapped_column(default=None)

    @property
    def lifecycle_stage(self) -> LifecycleStage:
        return LifecycleStage.DELETED if self.deleted_at else LifecycleStage.ACTIVE


class Experiment(Deletable, ProjectOwned, Row, kw_only=True):
    __tablename__ = "experiments"
    __table_args__ = (
        UniqueConstraint("tenant_id", "project_id", "name"),
        UniqueConstraint("tenant_id", "project_id", "id"),
    )

    name: Mapped[str]
    updated_at: Mapped[datetime]
    created_by: Mapped[UUID | None] = mapped_column(default=None)

    @property
    def artifact_location(self) -> str:
        return f"mlflow-artifacts:/{self.id.hex}"


class Run(Deletable, ProjectOwned, Row, kw_only=True):
    """`user_name` is what the client says; `created_by` is who it was."""

    __tablename__ = "runs"
    __table_args__ = (
        # Three columns: a run's project is its experiment's project, the database sees to it.
        ForeignKeyConstraint(
            ["tenant_id", "project_id", "experiment_id"],
            ["experiments.tenant_id", "experiments.project_id", "experiments.id"],
            ondelete="CASCADE",
        ),
        Index("ix_runs_newest", "tenant_id", "experiment_id", "deleted_at", "start_time", "id"),
        Index("ix_runs_in_project", "tenant_id", "project_id", "experiment_id"),
    )

    experiment_id: Mapped[UUID]
    name: Mapped[str]
    status: Mapped[RunStatus]
    start_time: Mapped[datetime]
    end_time: Mapped[datetime | None] = mapped_column(default=None)
    user_name: Mapped[str] = mapped_column(default="")
    created_by: Mapped[UUID | None] = mapped_column(default=None)

    @property
    def artifact_uri(self) -> str:
        return f"mlflow-artifacts:/{self.experiment_id.hex}/{self.id.hex}/artifacts"


class _Part(TenantOwned, kw_only=True):
    """A row that is known by its owner and a key: it has no id and no life of its own."""

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True, init=False)

    def __init_subclass__(cls, **options: Any) -> None:
        owner, table = cls.__dict__["__owner__"]
        cls.__table_args__ = (
            same_tenant(owner, table, ondelete="CASCADE"),
            {"sqlite_with_rowid": False},
        )
        # TenantOwned's own keys are over `id`, and the owner's row already holds the tenant.
        super(TenantOwned, cls).__init_subclass__(**options)


class ExperimentTag(_Part, Base, kw_only=True):
    __tablename__ = "experiment_tags"
    __owner__ = ("experiment_id", "experiments")

    experiment_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Param(_Part, Base, kw_only=True):
    """Written once."""

    __tablename__ = "params"
    __owner__ = ("run_id", "runs")

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class RunTag(_Part, Base, kw_only=True):
    __tablename__ = "run_tags"
    __owner__ = ("run_id", "runs")

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class MetricPoint(_Part, Base, kw_only=True):
    """One measured value. The whole row is its key: a repeat of a point is the same point."""

    __tablename__ = "metric_points"
    __owner__ = ("run_id", "runs")

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    # SQLite turns NaN into NULL, so NaN is the flag with the value 0. Infinities are kept as such.
    value: Mapped[float] = mapped_column(primary_key=True)
    is_nan: Mapped[bool] = mapped_column(primary_key=True)


class LatestMetric(_Part, Base, kw_only=True):
    """The newest point of a run's metric, by step, then time, then value: what search looks at."""

    __tablename__ = "latest_metrics"
    __owner__ = ("run_id", "runs")

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime]
    value: Mapped[float]
    is_nan: Mapped[bool]
