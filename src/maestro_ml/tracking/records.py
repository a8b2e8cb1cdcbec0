"""What tracking answers with: rows together with what hangs on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from maestro_ml.tracking.models import Experiment, LifecycleStage, LoggedModel, RunStatus
from maestro_ml.tracking.points import Record, Series


@dataclass(frozen=True, slots=True)
class Point:
    """One measured value, as it was logged."""

    key: str
    value: float
    at: datetime
    step: int


@dataclass(frozen=True, slots=True)
class SeriesPage:
    """Points in order, in the parts in which they are kept."""

    parts: Sequence[Series]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What a run is told at once, looked at and by key."""

    metrics: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HeldRun:
    """What is known of a run that something is done to."""

    id: UUID
    project_id: UUID
    experiment_id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class ExperimentRecord:
    experiment: Experiment
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """What is said of a dataset; `schema` and `profile` are left out of a very large answer."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None
    profile: str | None


@dataclass(frozen=True, slots=True)
class UsedDataset:
    dataset: DatasetRecord
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MadeModel:
    model_id: UUID
    step: int


@dataclass(frozen=True, slots=True)
class Links:
    """What a run took in and gave out."""

    datasets: Sequence[UsedDataset] = ()
    models_in: Sequence[UUID] = ()
    models_out: Sequence[MadeModel] = ()


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """A dataset that runs of an experiment used, once for each context."""

    experiment_id: UUID
    name: str
    digest: str
    context: str | None


@dataclass(frozen=True, slots=True)
class ModelPoint(Point):
    """A point about a model: of which run, and on which dataset."""

    run_id: UUID
    dataset_name: str | None
    dataset_digest: str | None


@dataclass(frozen=True, slots=True)
class LoggedModelRecord:
    """A logged model with its params and tags by key, and its newest points, the oldest first."""

    model: LoggedModel
    points: Sequence[ModelPoint]
    params: Mapping[str, str]
    tags: Mapping[str, str]


class RunRow(NamedTuple):
    """A run as its row says; `user_name` is what the client said."""

    id: UUID
    project_id: UUID
    experiment_id: UUID
    name: str
    status: RunStatus
    start_time: datetime
    end_time: datetime | None
    user_name: str
    deleted_at: datetime | None

    @property
    def lifecycle_stage(self) -> LifecycleStage:
        return LifecycleStage.ACTIVE if self.deleted_at is None else LifecycleStage.DELETED

    @property
    def artifact_uri(self) -> str:
        return f"mlflow-artifacts:/{self.experiment_id.hex}/{self.id.hex}/artifacts"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run with its params, its tags and the newest point of each metric, all by key."""

    run: RunRow
    metrics: Sequence[Point]
    params: Mapping[str, str]
    tags: Mapping[str, str]
    links: Links = Links()
