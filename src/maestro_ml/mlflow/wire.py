"""The messages, field for field as in MLflow's proto. Unknown fields are ignored.

64-bit integers arrive as numbers or strings and leave as numbers. Numbers that JSON does not know
arrive as `"NaN"` or `NaN` and leave as `"NaN"`, `"Infinity"` and `"-Infinity"`: what protobuf's
JSON, and with it the client, reads and writes.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from maestro_ml.core.clock import to_millis
from maestro_ml.core.errors import Invalid
from maestro_ml.core.schemas import Text, spelled
from maestro_ml.mlflow.millis import from_millis
from maestro_ml.tracking import schemas
from maestro_ml.tracking.errors import RunNotFound
from maestro_ml.tracking.models import RunStatus
from maestro_ml.tracking.records import (
    DatasetRecord,
    ExperimentRecord,
    Links,
    Point,
    RunRecord,
    RunRow,
)
from maestro_ml.tracking.search.tree import View

LENIENT = ConfigDict(extra="ignore", frozen=True)
_HEX = re.compile("[0-9a-f]{32}")
MAX_PAGE = 50_000
MAX_EXPERIMENTS = 10_000  # that one search looks through
MAX_RUNS, MAX_SAMPLED = 100, 2_500  # of the histories of many runs; points of each
MAX_MILLIS = 253_402_300_799_999  # the end of the year 9999


def _moment(value: object) -> datetime:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a whole number of milliseconds")  # noqa: TRY004 - for pydantic
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("must be a whole number of milliseconds")
    millis = int(value)
    if not 0 <= millis <= MAX_MILLIS:
        raise ValueError("must be milliseconds since 1970, up to the year 9999")
    return from_millis(millis)


Millis = Annotated[datetime, BeforeValidator(_moment)]
Views = Literal["ACTIVE_ONLY", "DELETED_ONLY", "ALL"]
ViewType = Annotated[
    Views,
    BeforeValidator(lambda v: {"1": "ACTIVE_ONLY", "2": "DELETED_ONLY", "3": "ALL"}.get(str(v), v)),
]
VIEWS: Mapping[Views, View] = {
    "ACTIVE_ONLY": View.ACTIVE,
    "DELETED_ONLY": View.DELETED,
    "ALL": View.ALL,
}
NOBODY = UUID(int=0)


def _model_id(value: object) -> UUID:
    """`m-` and an id; a text that is none is nobody's id."""
    if not isinstance(value, str):
        raise ValueError("must be a text")  # noqa: TRY004 - pydantic takes no TypeError
    return (as_id(value[2:]) if value.startswith("m-") else None) or NOBODY


ModelId = Annotated[UUID, BeforeValidator(_model_id)]
_STATUS = {str(number): name for number, name in enumerate(RunStatus, start=1)}
ExperimentId = Annotated[Text, Field(min_length=1)]
Status = Annotated[RunStatus, BeforeValidator(lambda v: _STATUS.get(str(v), v))]


class Message(BaseModel):
    model_config = LENIENT

    @model_validator(mode="before")
    @classmethod
    def _nulls_are_absent(cls, sent: object) -> object:
        """As in protobuf's JSON."""
        if not isinstance(sent, dict):
            return sent
        return {name: value for name, value in sent.items() if value is not None}


class Metric(Message, schemas.LogMetric):
    model_config = LENIENT
    at: Millis = Field(validation_alias="timestamp")
    model_id: Annotated[ModelId | None, BeforeValidator(lambda v: v or None)] = None


class Param(Message, schemas.LogParam):
    model_config = LENIENT


class Tag(Message, schemas.SetTag):
    model_config = LENIENT


class ExperimentTag(Message, schemas.SetExperimentTag):
    model_config = LENIENT


class CreateExperiment(Message):
    name: schemas.Name
    artifact_location: str = ""
    tags: Annotated[list[ExperimentTag], Field(max_length=schemas.MAX_BATCH)] = []


class OfExperiment(Message):
    experiment_id: ExperimentId


class UpdateExperiment(OfExperiment):
    new_name: schemas.Name


class SetExperimentTag(OfExperiment, ExperimentTag):
    pass


class DeleteExperimentTag(OfExperiment):
    key: Text


class SearchExperiments(Message):
    max_results: Annotated[schemas.Int64, Field(ge=1, le=MAX_PAGE)] = 1000
    page_token: str = ""
    filter: Text = ""
    order_by: list[Text] = []
    view_type: ViewType = "ACTIVE_ONLY"


class CreateRun(Message):
    experiment_id: str = "0"
    user_id: Annotated[Text, Field(max_length=256)] = ""
    run_name: schemas.RunName = ""
    start_time: Millis | None = None
    tags: Annotated[list[Tag], Field(max_length=schemas.MAX_BATCH)] = []


class OfRun(Message):
    """Old clients say `run_uuid`."""

    run_id: str = ""
    run_uuid: str = ""

    @property
    def id(self) -> UUID:
        """Raises:
        Invalid: the message names no run.
        RunNotFound: what it names is no id.
        """
        if not (self.run_id or self.run_uuid):
            raise Invalid("Missing value for required parameter 'run_id'.")
        id = as_id(self.run_id or self.run_uuid)
        if id is None:
            raise RunNotFound
        return id


class UpdateRun(OfRun):
    status: Status | None = None
    end_time: Millis | None = None
    run_name: schemas.RunName = ""


class LogMetric(OfRun, Metric):
    pass


class LogParam(OfRun, Param):
    pass


class SetTag(OfRun, Tag):
    pass


class DeleteTag(OfRun):
    key: Text


class LogBatch(OfRun, schemas.Batch):
    model_config = LENIENT
    metrics: Annotated[list[Metric], Field(max_length=schemas.MAX_METRICS)] = []  # type: ignore[assignment]
    params: Annotated[list[Param], Field(max_length=schemas.MAX_PARAMS)] = []  # type: ignore[assignment]
    tags: Annotated[list[Tag], Field(max_length=schemas.MAX_TAGS)] = []  # type: ignore[assignment]


class SearchRuns(Message):
    experiment_ids: Annotated[list[str], Field(max_length=MAX_EXPERIMENTS)] = []
    filter: Text = ""
    run_view_type: ViewType = "ACTIVE_ONLY"
    max_results: Annotated[schemas.Int64, Field(ge=1, le=MAX_PAGE)] = 1000
    order_by: list[Text] = []
    page_token: str = ""


class GetMetricHistory(OfRun):
    metric_key: Text
    max_results: Annotated[schemas.Int64, Field(ge=1)] | None = None
    page_token: str = ""


class GetMetricHistoryBulkInterval(Message):
    run_ids: Annotated[list[str], Field(min_length=1, max_length=MAX_RUNS)]
    metric_key: Text
    start_step: schemas.Int64 | None = None
    end_step: schemas.Int64 | None = None
    max_results: Annotated[schemas.Int64, Field(ge=1, le=MAX_SAMPLED)] = MAX_SAMPLED

    @property
    def steps(self) -> tuple[int, int] | None:
        """Raises:
        Invalid: there is one end and not the other, or they are the wrong way round.
        """
        if self.start_step is None and self.end_step is None:
            return None
        if self.start_step is None or self.end_step is None:
            raise Invalid("If either start_step or end_step is specified, both must be.")
        if self.start_step > self.end_step:
            raise Invalid("end_step must not be before start_step.")
        return self.start_step, self.end_step


def as_id(text: str) -> UUID | None:
    """An id as we write them; a text that is none is nobody's id."""
    return UUID(text) if _HEX.fullmatch(text) else None


def experiment_message(record: ExperimentRecord, workspace: str) -> dict[str, Any]:
    experiment = record.experiment
    return {
        "experiment_id": experiment.id.hex,
        "name": experiment.name,
        "artifact_location": experiment.artifact_location,
        "lifecycle_stage": experiment.lifecycle_stage,
        "last_update_time": to_millis(experiment.updated_at),
        "creation_time": to_millis(experiment.created_at),
        "tags": pairs(record.tags),
        "workspace": workspace,
    }


def run_message(record: RunRecord) -> dict[str, Any]:
    data = {
        "metrics": [metric_message(point, record.run.id) for point in record.metrics],
        "params": pairs(record.params),
        "tags": pairs(record.tags),
    }
    return {"info": info_message(record.run), "data": data, **_links_messages(record.links)}


def _links_messages(links: Links) -> dict[str, Any]:
    datasets = [
        {"tags": pairs(used.tags), "dataset": dataset_message(used.dataset)}
        for used in links.datasets
    ]
    taken = [{"model_id": model_key(id)} for id in links.models_in]
    made = [{"model_id": model_key(made.model_id), "step": made.step} for made in links.models_out]
    inputs = {"dataset_inputs": datasets, "model_inputs": taken}
    outputs = {"model_outputs": made}
    return {
        "inputs": inputs if datasets or taken else {},
        "outputs": outputs if made else {},
    }


def dataset_message(dataset: DatasetRecord) -> dict[str, str]:
    return {name: value for name, value in asdict(dataset).items() if value is not None}


def model_key(id: UUID) -> str:
    """A logged model's id as clients know it."""
    return f"m-{id.hex}"


def info_message(run: RunRow) -> dict[str, Any]:
    info = {
        "run_id": run.id.hex,
        "run_uuid": run.id.hex,
        "run_name": run.name,
        "experiment_id": run.experiment_id.hex,
        "user_id": run.user_name,
        "status": run.status,
        "start_time": to_millis(run.start_time),
        "artifact_uri": run.artifact_uri,
        "lifecycle_stage": run.lifecycle_stage,
    }
    return info if run.end_time is None else {**info, "end_time": to_millis(run.end_time)}


def paged(answer: dict[str, Any], next_cursor: str | None) -> dict[str, Any]:
    return answer if next_cursor is None else {**answer, "next_page_token": next_cursor}


def metric_message(point: Point, run_id: UUID) -> dict[str, Any]:
    return {
        "run_id": run_id.hex,
        "key": point.key,
        "value": spelled(point.value),
        "timestamp": to_millis(point.at),
        "step": point.step,
    }


def pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]
