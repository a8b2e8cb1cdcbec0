"""The messages about registered models and their versions."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, Field

from maestro_ml.core.clock import to_millis
from maestro_ml.core.schemas import Text, spelled
from maestro_ml.mlflow.wire import LENIENT, Message, as_id, model_key, pairs
from maestro_ml.registry import schemas
from maestro_ml.registry.models import Stage
from maestro_ml.registry.records import ModelRecord, VersionRecord
from maestro_ml.tracking.records import LoggedModelRecord
from maestro_ml.tracking.schemas import MAX_BATCH, Int64

MAX_MODELS, MODELS_PAGE = 1_000, 100
MAX_VERSIONS, VERSIONS_PAGE = 200_000, 10_000  # what clients may ask for, and are given at once
_STAGES: Mapping[str, Stage] = {stage.lower(): stage for stage in Stage}
_NUMBER = re.compile("-?[0-9]{1,20}")
_READY = "READY"


def _stage(value: object) -> object:
    """MLflow takes them in any case."""
    stage = _STAGES.get(value.lower()) if isinstance(value, str) else None
    if stage is None:
        known = ", ".join(Stage)
        raise ValueError(f"Invalid Model Version stage: {_shown(value)}: must be one of {known}")
    return stage


def _number(value: object) -> object:
    """Clients send it as a text. What is no version's number is nobody's."""
    number = int(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value
    if type(number) is not int:
        raise ValueError(f"must be an integer, got {_shown(value)}")
    return number if 0 < number <= schemas.MAX_NUMBER else 0


def _shown(value: object) -> str:
    """Of what was sent, as much as can be sent back."""
    return ascii(value)[:50] if isinstance(value, str) else type(value).__name__


StageName = Annotated[Stage, BeforeValidator(_stage)]
Number = Annotated[int, BeforeValidator(_number)]


class Tag(Message, schemas.SetTag):
    model_config = LENIENT


class OfModel(Message):
    name: schemas.ModelName


class OfVersion(OfModel):
    version: Number


class CreateModel(OfModel):
    tags: Annotated[list[Tag], Field(max_length=MAX_BATCH)] = []
    description: schemas.Description | None = None


class RenameModel(OfModel):
    new_name: schemas.ModelName


class UpdateModel(OfModel):
    description: schemas.Description | None = None


class SetModelTag(OfModel, Tag):
    pass


class DeleteModelTag(OfModel):
    key: Text


class LatestVersions(OfModel):
    stages: list[StageName] = []


class OfAlias(OfModel):
    alias: schemas.Alias


class SetAlias(OfModel):
    alias: schemas.NewAlias
    version: Number


class CreateVersion(OfModel):
    source: Annotated[schemas.Source, Field(min_length=1)]
    run_id: Text = ""
    model_id: Text = ""
    run_link: schemas.RunLink = ""
    description: schemas.Description | None = None
    tags: Annotated[list[Tag], Field(max_length=MAX_BATCH)] = []


class UpdateVersion(OfVersion):
    description: schemas.Description | None = None


class Transition(OfVersion):
    stage: StageName
    archive_existing_versions: bool = False


class SetVersionTag(OfVersion, Tag):
    pass


class DeleteVersionTag(OfVersion):
    key: Text


class SearchModels(Message):
    filter: Text = ""
    max_results: Annotated[Int64, Field(ge=1, le=MAX_MODELS)] = MODELS_PAGE
    order_by: list[Text] = []
    page_token: str = ""


class SearchVersions(Message):
    filter: Text = ""
    max_results: Annotated[Int64, Field(ge=1, le=MAX_VERSIONS)] = MAX_VERSIONS
    order_by: list[Text] = []
    page_token: str = ""


def as_run(text: str) -> UUID | None:
    """An id, if something is said at all; what is none is nobody's run."""
    return (as_id(text) or UUID(int=0)) if text else None


def model_message(record: ModelRecord) -> dict[str, Any]:
    model = record.model
    aliases = [{"alias": alias, "version": str(n)} for alias, n in record.aliases.items()]
    message: dict[str, Any] = {
        "name": model.name,
        "creation_timestamp": to_millis(model.created_at),
        "last_updated_timestamp": to_millis(model.updated_at),
    }
    if model.description:
        message["description"] = model.description
    if record.latest:
        message["latest_versions"] = [version_message(one) for one in record.latest]
    if record.tags:
        message["tags"] = pairs(record.tags)
    if aliases:
        message["aliases"] = aliases
    return message


def version_message(
    record: VersionRecord, about: LoggedModelRecord | None = None
) -> dict[str, Any]:
    version = record.version
    message: dict[str, Any] = {
        "name": record.name,
        "version": str(version.number),
        "creation_timestamp": to_millis(version.created_at),
        "last_updated_timestamp": to_millis(version.updated_at),
        "current_stage": version.stage,
        "description": version.description or "",
        "source": version.source,
        "run_id": "" if version.run_id is None else version.run_id.hex,
        "status": _READY,
        "run_link": version.run_link or "",
    }
    if record.tags:
        message["tags"] = pairs(record.tags)
    if record.aliases:
        message["aliases"] = [*record.aliases]
    if version.logged_model_id is not None:
        message["model_id"] = model_key(version.logged_model_id)
    return message if about is None else message | _about(about)


def _about(record: LoggedModelRecord) -> dict[str, Any]:
    params = [{"name": key, "value": value} for key, value in record.params.items()]
    metrics = [
        {
            "key": point.key,
            "value": spelled(point.value),
            "timestamp": to_millis(point.at),
            "step": point.step,
            "model_id": model_key(record.model.id),
            "run_id": point.run_id.hex,
        }
        for point in record.points
    ]
    return {"model_params": params, "model_metrics": metrics}


def version_messages(records: Sequence[VersionRecord]) -> list[dict[str, Any]]:
    return [version_message(record) for record in records]
