"""Experiments, their runs, and what runs log: MLflow's meaning of the words."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, MappedAsDataclass, mapped_column

from maestro_ml.db.base import Base, Bytewise, Part, ProjectOwned, Row, same_tenant


class LoggedModelStatus(StrEnum):
    """Spelled as MLflow's filters spell them."""

    PENDING = "PENDING"
    READY = "READY"
    FAILED = "FAILED"


class Direction(StrEnum):
    """Whether a run took a model in or gave it out."""

    IN = "in"
    OUT = "out"


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


def _of_experiment() -> ForeignKeyConstraint:
    """Three columns: a row's project is its experiment's project, the database sees to it."""
    return ForeignKeyConstraint(
        ["tenant_id", "project_id", "experiment_id"],
        ["experiments.tenant_id", "experiments.project_id", "experiments.id"],
        ondelete="CASCADE",
    )


class Run(Deletable, ProjectOwned, Row, kw_only=True):
    """`user_name` is what the client says; `created_by` is who it was."""

    __tablename__ = "runs"
    __table_args__ = (
        _of_experiment(),
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


class ExperimentTag(Part, Base, kw_only=True):
    __tablename__ = "experiment_tags"
    __owner__ = ("experiment_id", "experiments")

    experiment_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Param(Part, Base, kw_only=True):
    """Written once."""

    __tablename__ = "params"
    __owner__ = ("run_id", "runs")

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class RunTag(Part, Base, kw_only=True):
    __tablename__ = "run_tags"
    __owner__ = ("run_id", "runs")

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class MetricChunk(Part, Base, kw_only=True):
    """Points of one metric, in the order of their arrival (`tracking.points`).

    `number` grows: the last chunk takes what comes until it is full, and so many small ones are
    sealed into one. The times, in microseconds since 1970, tell which points cannot be inside.
    """

    __tablename__ = "metric_chunks"
    __owner__ = ("run_id", "runs")
    __wide__ = True

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    points: Mapped[bytes]
    sealed: Mapped[bool]
    first_at: Mapped[int] = mapped_column(BigInteger)
    last_at: Mapped[int] = mapped_column(BigInteger)


class LatestMetric(Part, Base, kw_only=True):
    """The newest point of a run's metric, by step, then time, then value: what search looks at.

    `at` is in microseconds since 1970. A run never changes its experiment, so that search can be
    told it here, and find the best runs of an experiment in an index.
    """

    __tablename__ = "latest_metrics"
    __owner__ = ("run_id", "runs")
    __rules__ = (
        # Without the tenant in front, or SQLite takes it for the way to the metrics of a run.
        Index("ix_latest_metrics_ranked", "experiment_id", "key", "value", "run_id"),
    )

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[int] = mapped_column(BigInteger)
    # SQLite turns NaN into NULL, so NaN is the flag with the value 0. Infinities are kept as such.
    value: Mapped[float]
    is_nan: Mapped[bool]
    n_points: Mapped[int] = mapped_column(BigInteger)
    experiment_id: Mapped[UUID]


class LoggedDataset(ProjectOwned, Row, kw_only=True):
    """What an experiment's runs say of a dataset they used. The first to say it is believed."""

    __tablename__ = "logged_datasets"
    __table_args__ = (
        _of_experiment(),
        UniqueConstraint("tenant_id", "experiment_id", "name", "digest"),
    )

    experiment_id: Mapped[UUID]
    name: Mapped[str]
    digest: Mapped[str]
    source_type: Mapped[str]
    source: Mapped[str]
    schema: Mapped[str | None] = mapped_column(default=None)
    profile: Mapped[str | None] = mapped_column(default=None)


class DatasetInput(Part, Base, kw_only=True):
    """A run used a dataset. `context`, such as `train`, is one of the tags: search looks at it."""

    __tablename__ = "dataset_inputs"
    __owner__ = ("run_id", "runs")
    __others__ = (("dataset_id", "logged_datasets"),)

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    dataset_id: Mapped[UUID] = mapped_column(primary_key=True, index=True)
    tags: Mapped[dict[str, Any]]
    context: Mapped[str | None] = mapped_column(default=None)


class LoggedModel(Deletable, ProjectOwned, Row, kw_only=True):
    """A model of an experiment. `source_run_id` is kept when that run is gone for good."""

    __tablename__ = "logged_models"
    __table_args__ = (
        _of_experiment(),
        Index(
            "ix_logged_models_newest",
            *("tenant_id", "experiment_id", "deleted_at", "created_at", "id"),
        ),
    )

    experiment_id: Mapped[UUID]
    name: Mapped[str]
    status: Mapped[LoggedModelStatus]
    updated_at: Mapped[datetime]
    model_type: Mapped[str | None] = mapped_column(default=None)
    source_run_id: Mapped[UUID | None] = mapped_column(default=None)
    created_by: Mapped[UUID | None] = mapped_column(default=None)

    @property
    def artifact_uri(self) -> str:
        return f"mlflow-artifacts:/{self.experiment_id.hex}/models/m-{self.id.hex}/artifacts"


class LoggedModelTag(Part, Base, kw_only=True):
    __tablename__ = "logged_model_tags"
    __owner__ = ("model_id", "logged_models")

    model_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class LoggedModelParam(Part, Base, kw_only=True):
    """Written once."""

    __tablename__ = "logged_model_params"
    __owner__ = ("model_id", "logged_models")

    model_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class LoggedModelMetric(Part, Base, kw_only=True):
    """A point of a run's metric that is about a model, perhaps on a dataset. `point_id` is made
    from all the rest: a repeat of a point is the same point."""

    __tablename__ = "logged_model_metrics"
    __owner__ = ("model_id", "logged_models")
    __others__ = (("run_id", "runs"),)

    model_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    point_id: Mapped[UUID] = mapped_column(primary_key=True)
    run_id: Mapped[UUID] = mapped_column(index=True)
    step: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime]
    value: Mapped[float]
    is_nan: Mapped[bool]
    dataset_name: Mapped[str | None] = mapped_column(default=None)
    dataset_digest: Mapped[str | None] = mapped_column(default=None)


class RunModel(Part, Base, kw_only=True):
    """A run took a model in, or gave it out at some step."""

    __tablename__ = "run_models"
    __owner__ = ("run_id", "runs")
    __others__ = (("model_id", "logged_models"),)

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    direction: Mapped[Direction] = mapped_column(primary_key=True)
    model_id: Mapped[UUID] = mapped_column(primary_key=True, index=True)
    step: Mapped[int] = mapped_column(BigInteger, default=0)


class _Kept(ProjectOwned, kw_only=True):
    """What has a place among the files of a run or of a logged model."""

    run_id: Mapped[UUID | None]
    model_id: Mapped[UUID | None]
    folder: Mapped[str] = mapped_column(Bytewise)  # without a slash at either end
    name: Mapped[str] = mapped_column(Bytewise)
    created_by: Mapped[UUID | None]

    def __init_subclass__(cls, **options: Any) -> None:
        cls.__table_args__ = (
            *cls.__dict__.get("__table_args__", ()),
            CheckConstraint("(run_id IS NULL) <> (model_id IS NULL)", name="one_owner"),
            same_tenant("run_id", "runs", ondelete="CASCADE"),
            same_tenant("model_id", "logged_models", ondelete="CASCADE"),
        )
        super().__init_subclass__(**options)


class File(_Kept, Row, kw_only=True):
    """A name for a stored blob. Overwritten, it names another one."""

    __tablename__ = "tracked_files"
    __table_args__ = (
        UniqueConstraint("tenant_id", "run_id", "folder", "name"),
        UniqueConstraint("tenant_id", "model_id", "folder", "name"),
        same_tenant("blob_id", "stored_blobs"),
        Index(None, "tenant_id", "blob_id"),
    )

    blob_id: Mapped[UUID]


class Upload(_Kept, Row, kw_only=True):
    """A multipart upload under way; its parts are loose blobs. Whoever has the secret adds some."""

    __tablename__ = "uploads"
    __table_args__ = (Index(None, "expires_at"),)

    secret_hash: Mapped[bytes]
    expires_at: Mapped[datetime]
