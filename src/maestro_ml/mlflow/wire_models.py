"""The messages about datasets and logged models."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from maestro_ml.core.clock import to_millis
from maestro_ml.core.schemas import Text
from maestro_ml.mlflow.wire import (
    LENIENT,
    Message,
    ModelId,
    OfRun,
    metric_message,
    model_key,
    pairs,
)
from maestro_ml.tracking import schemas, schemas_models
from maestro_ml.tracking.models import LoggedModelStatus
from maestro_ml.tracking.records import DatasetSummary, LoggedModelRecord, ModelPoint

_STATUS_NAMES: Mapping[LoggedModelStatus, str] = {
    LoggedModelStatus.PENDING: "LOGGED_MODEL_PENDING",
    LoggedModelStatus.READY: "LOGGED_MODEL_READY",
    LoggedModelStatus.FAILED: "LOGGED_MODEL_UPLOAD_FAILED",
}
_STATUSES = {
    **{name: status for status, name in _STATUS_NAMES.items()},
    **{str(number): status for number, status in enumerate(_STATUS_NAMES, start=1)},
}
_DESCRIBED = frozenset({"artifact_path", "flavors", "utc_time_created", "run_id"})


def _description(value: object) -> object:
    try:
        described = json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        described = None
    if not isinstance(described, dict):
        raise ValueError("must be a JSON object as text")  # noqa: TRY004 - for pydantic
    if missing := _DESCRIBED - described.keys():
        raise ValueError(f"lacks the mandatory fields {', '.join(sorted(missing))}")
    return described


class InputTag(Message, schemas_models.InputTag):
    model_config = LENIENT


class Dataset(Message, schemas_models.Dataset):
    model_config = LENIENT


class DatasetInput(Message, schemas_models.DatasetUse):
    model_config = LENIENT
    dataset: Dataset
    tags: Annotated[list[InputTag], Field(max_length=schemas.MAX_TAGS)] = []  # type: ignore[assignment]


class ModelInput(Message):
    model_id: ModelId


class ModelOutput(Message, schemas_models.ModelOutput):
    model_config = LENIENT
    model_id: ModelId


class LogInputs(OfRun):
    datasets: Annotated[list[DatasetInput], Field(max_length=schemas.MAX_BATCH)] = []
    models: Annotated[list[ModelInput], Field(max_length=schemas.MAX_BATCH)] = []


class LogOutputs(OfRun):
    models: Annotated[list[ModelOutput], Field(max_length=schemas.MAX_BATCH)]


class LogModel(OfRun):
    model_json: Annotated[dict[str, Any], BeforeValidator(_description)]


class SearchDatasets(Message):
    experiment_ids: Annotated[list[str], Field(min_length=1, max_length=20)]


class ModelParam(Message, schemas_models.LogModelParam):
    model_config = LENIENT


class ModelTag(Message, schemas_models.SetModelTag):
    model_config = LENIENT


class CreateLoggedModel(Message):
    experiment_id: str
    name: Annotated[schemas_models.ModelName | None, BeforeValidator(lambda v: v or None)] = None
    model_type: schemas_models.ModelType = ""
    source_run_id: str = ""
    params: Annotated[list[ModelParam], Field(max_length=schemas.MAX_BATCH)] = []
    tags: Annotated[list[ModelTag], Field(max_length=schemas.MAX_TAGS)] = []


class FinalizeLoggedModel(Message):
    status: Annotated[LoggedModelStatus, BeforeValidator(lambda v: _STATUSES.get(str(v), v))]


class SetModelTags(Message):
    tags: Annotated[list[ModelTag], Field(max_length=schemas.MAX_TAGS)] = []


class LogModelParams(Message):
    params: Annotated[list[ModelParam], Field(max_length=schemas.MAX_BATCH)] = []


class OnDataset(Message):
    dataset_name: schemas.DatasetName = ""
    dataset_digest: schemas.DatasetDigest = ""


class OrderBy(OnDataset):
    field_name: Annotated[Text, Field(min_length=1)]
    ascending: bool = True


class SearchLoggedModels(Message):
    experiment_ids: Annotated[list[str], Field(max_length=10_000)]
    filter: Text = ""
    datasets: Annotated[list[OnDataset], Field(max_length=100)] = []
    max_results: Annotated[schemas.Int64, Field(ge=0)] = 0
    order_by: list[OrderBy] = []
    page_token: str = ""


def logged_model_message(record: LoggedModelRecord) -> dict[str, Any]:
    model, key = record.model, model_key(record.model.id)
    info = {
        "model_id": key,
        "experiment_id": model.experiment_id.hex,
        "name": model.name,
        "creation_timestamp_ms": to_millis(model.created_at),
        "last_updated_timestamp_ms": to_millis(model.updated_at),
        "artifact_uri": model.artifact_uri,
        "status": _STATUS_NAMES[model.status],
        "tags": pairs(record.tags),
        **({"model_type": model.model_type} if model.model_type else {}),
        **({"source_run_id": model.source_run_id.hex} if model.source_run_id else {}),
    }
    metrics = [_metric_message(point, key) for point in record.points]
    return {"info": info, "data": {"params": pairs(record.params), "metrics": metrics}}


def _metric_message(point: ModelPoint, model: str) -> dict[str, Any]:
    dataset = {"dataset_name": point.dataset_name, "dataset_digest": point.dataset_digest}
    known = {name: value for name, value in dataset.items() if value}
    return {**metric_message(point, point.run_id), "model_id": model, **known}


def summary_message(summary: DatasetSummary) -> dict[str, Any]:
    message = {
        "experiment_id": summary.experiment_id.hex,
        "name": summary.name,
        "digest": summary.digest,
    }
    return message if summary.context is None else {**message, "context": summary.context}
