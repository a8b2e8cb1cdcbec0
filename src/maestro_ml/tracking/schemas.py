"""What a caller may ask of tracking. The limits are MLflow's, so that its clients fit."""

import math
import posixpath
import re
from collections import Counter
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from maestro_ml.core.clock import EPOCH
from maestro_ml.core.schemas import Command, Text
from maestro_ml.tracking.models import RunStatus
from maestro_ml.tracking.points import Record, by_key
from maestro_ml.tracking.records import Told

MAX_METRICS = 1_000
MAX_PARAMS = 100
MAX_TAGS = 100
MAX_BATCH = 1_000
_MICROSECOND = timedelta(microseconds=1)
_KEY = re.compile(r"[/\w.\- :]+")


@lru_cache(maxsize=4096)
def sound_key(key: str) -> str:
    """A key may become a file name somewhere, so it must not read as a path to another."""
    if not _KEY.fullmatch(key):
        raise ValueError(
            "may only contain letters, digits, underscores (_), dashes (-), periods (.), "
            "spaces ( ), colons (:) and slashes (/)"
        )
    if posixpath.normpath(key) != key or key.startswith(("/", "..")) or key == ".":
        raise ValueError("must not read as a path to another name")
    return key


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic takes no TypeError
    return value


Key = Annotated[str, StringConstraints(max_length=250), AfterValidator(sound_key)]
Name = Annotated[Text, Field(min_length=1, max_length=500)]
RunName = Annotated[Text, Field(max_length=8_000)]
Int64 = Annotated[int, BeforeValidator(_no_truth), Field(ge=-(2**63), lt=2**63)]
Double = Annotated[float, BeforeValidator(_no_truth)]
DatasetName = Annotated[Text, Field(max_length=500)]
DatasetDigest = Annotated[Text, Field(max_length=36)]


class SetTag(Command):
    key: Key
    value: Annotated[Text, Field(max_length=8_000)] = ""


class SetExperimentTag(Command):
    key: Key
    value: Annotated[Text, Field(max_length=20_000)] = ""


class LogParam(Command):
    key: Key
    value: Annotated[Text, Field(max_length=6_000)] = ""


class LogMetric(Command):
    """One point. NaN and the infinities are values like any other. A point may be about a logged
    model, and then about a dataset."""

    key: Key
    value: Double
    at: datetime
    step: Int64 = 0
    model_id: UUID | None = None
    dataset_name: DatasetName | None = None
    dataset_digest: DatasetDigest | None = None

    @property
    def record(self) -> Record:
        value = math.nan if math.isnan(self.value) else self.value
        return self.step, (self.at - EPOCH) // _MICROSECOND, value


class Batch(Command):
    """What a run is told at once: all of it is kept, or nothing."""

    metrics: list[LogMetric] = Field(default=[], max_length=MAX_METRICS)
    params: list[LogParam] = Field(default=[], max_length=MAX_PARAMS)
    tags: list[SetTag] = Field(default=[], max_length=MAX_TAGS)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.metrics) + len(self.params) + len(self.tags) > MAX_BATCH:
            raise ValueError(f"a batch holds at most {MAX_BATCH} metrics, params and tags in all")
        twice = [key for key, n in Counter(p.key for p in self.params).items() if n > 1]
        if twice:
            raise ValueError(f"one value for each param, and {twice[0]!r} has more")
        return self

    def told(self) -> Told:
        """The same by key. Of a tag that is named twice, the last value counts."""
        return Told(
            metrics=by_key((point.key, point.record) for point in self.metrics),
            params={param.key: param.value for param in self.params},
            tags={tag.key: tag.value for tag in self.tags},
        )


class ExperimentCreate(Command):
    project_id: UUID
    name: Name
    tags: list[SetExperimentTag] = Field(default=[], max_length=MAX_BATCH)


class RunCreate(Command):
    experiment_id: UUID
    name: RunName | None = None
    user_name: Annotated[Text, Field(max_length=256)] = ""
    start_time: datetime | None = None
    tags: list[SetTag] = Field(default=[], max_length=MAX_BATCH)


class RunChange(Command):
    """What is left out stays as it is."""

    status: RunStatus | None = None
    end_time: datetime | None = None
    name: RunName | None = None
