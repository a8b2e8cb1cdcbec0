"""What a caller may ask about datasets, logged models and what links them to runs. The limits are
MLflow's, and where it has none, a column of its database."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field

from maestro_ml.core.schemas import Command, Text
from maestro_ml.tracking.schemas import MAX_BATCH, MAX_TAGS, DatasetDigest, DatasetName, Int64, Key

MAX_VALUE = 65_535
_NOT_IN_NAMES = frozenset("/:.%\"'")


def _sound_name(name: str) -> str:
    if not name or _NOT_IN_NAMES & set(name):
        raise ValueError(
            "Invalid model name: it must not be empty, nor contain any of "
            + " ".join(sorted(_NOT_IN_NAMES))
        )
    return name


ModelName = Annotated[Text, Field(max_length=500), AfterValidator(_sound_name)]
ModelType = Annotated[Text, Field(max_length=500)]
Value = Annotated[Text, Field(max_length=MAX_VALUE)]


class InputTag(Command):
    key: Annotated[Text, Field(min_length=1, max_length=255)]
    value: Annotated[Text, Field(max_length=500)]


class Dataset(Command):
    """`schema` and `profile` are JSON as the client wrote it."""

    name: DatasetName
    digest: DatasetDigest
    source_type: Annotated[Text, Field(max_length=36)]
    source: Annotated[Text, Field(max_length=65_535)]
    schema_: Annotated[Text, Field(max_length=1_048_575)] | None = Field(None, alias="schema")
    profile: Annotated[Text, Field(max_length=16_777_215)] | None = None


class DatasetUse(Command):
    dataset: Dataset
    tags: list[InputTag] = Field(default=[], max_length=MAX_TAGS)


class RunInputs(Command):
    """What a run took in. Of two datasets of one name and digest the first counts."""

    datasets: list[DatasetUse] = Field(default=[], max_length=MAX_BATCH)
    models: list[UUID] = Field(default=[], max_length=MAX_BATCH)


class ModelOutput(Command):
    model_id: UUID
    step: Int64 = 0


class SetModelTag(Command):
    key: Key
    value: Value = ""


class LogModelParam(Command):
    key: Key
    value: Value = ""


class LoggedModelCreate(Command):
    """`source_run_id` is the run that made the model. Without a name it gets a random one."""

    experiment_id: UUID
    name: ModelName | None = None
    model_type: ModelType | None = None
    source_run_id: UUID | None = None
    params: list[LogModelParam] = Field(default=[], max_length=MAX_BATCH)
    tags: list[SetModelTag] = Field(default=[], max_length=MAX_TAGS)
