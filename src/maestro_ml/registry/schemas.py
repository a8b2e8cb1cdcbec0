"""What a caller may ask of the registry. The limits are MLflow's, or a column's of its database."""

import re
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field

from maestro_ml.core.schemas import Command, Text
from maestro_ml.tracking.schemas import MAX_BATCH, sound_key

MAX_NAME = 256
MAX_ALIAS = 255
MAX_DESCRIPTION = 20_000
MAX_TAG = 100_000  # prompts live in tags
MAX_NUMBER = 2**31 - 1
_ALIAS = re.compile(r"[\w\-]+")
_NUMBERED = re.compile(r"v[0-9]+", re.IGNORECASE)


def _sound_name(name: str) -> str:
    """A model's name may become a file name somewhere."""
    if not name.strip() or "/" in name or ":" in name:
        raise ValueError("must not be empty, nor contain a slash (/) or a colon (:)")
    if name in {".", ".."}:
        raise ValueError("must not read as a path to another name")
    return name


def _sound_alias(alias: str) -> str:
    if not _ALIAS.fullmatch(alias):
        raise ValueError("may only contain letters, digits, underscores (_) and dashes (-)")
    return alias


def _free_alias(alias: str) -> str:
    if alias.lower() == "latest" or _NUMBERED.fullmatch(alias):
        raise ValueError(
            f"{alias[:50]!a} is reserved: it always means the newest version, or a number"
        )
    return alias


ModelName = Annotated[Text, Field(max_length=MAX_NAME), AfterValidator(_sound_name)]
Alias = Annotated[Text, Field(max_length=MAX_ALIAS), AfterValidator(_sound_alias)]
NewAlias = Annotated[Alias, AfterValidator(_free_alias)]
Number = Annotated[int, Field(ge=1, le=MAX_NUMBER)]
Description = Annotated[Text, Field(max_length=MAX_DESCRIPTION)]
TagKey = Annotated[Text, Field(max_length=250), AfterValidator(sound_key)]


class SetTag(Command):
    key: TagKey
    value: Annotated[Text, Field(max_length=MAX_TAG)] = ""


class ModelCreate(Command):
    name: ModelName
    description: Description | None = None
    tags: list[SetTag] = Field(default=[], max_length=MAX_BATCH)


class Origin(Command):
    """Where a version's files are copied from: a folder of a run, a logged model, or another
    version. None of them: the files are elsewhere, or there are none."""

    run_id: UUID | None = None
    logged_model_id: UUID | None = None
    version_id: UUID | None = None
    path: Text = ""


class VersionCreate(Command):
    """`source` is what the client calls the place; `run_id` and `logged_model_id` are what it says
    the model comes from."""

    source: Annotated[Text, Field(max_length=2_000)]
    origin: Origin = Origin()
    run_id: UUID | None = None
    logged_model_id: UUID | None = None
    run_link: Annotated[Text, Field(max_length=500)] | None = None
    description: Description | None = None
    tags: list[SetTag] = Field(default=[], max_length=MAX_BATCH)
