"""The messages of calls that are made all the time, as they nearly always are.

`wire` says what a message may be, and why one is refused. These are its plain form, read in a
fraction of the time: what does not fit them (numbers as texts, NaN, a mistake) is for `wire`.
"""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from maestro_ml.http.shortcuts import Unusual
from maestro_ml.mlflow.wire import MAX_EXPERIMENTS, MAX_MILLIS, MAX_PAGE, Views
from maestro_ml.tracking import schemas
from maestro_ml.tracking.points import by_key
from maestro_ml.tracking.records import Told

Key = Annotated[str, Meta(max_length=250)]
Millis = Annotated[int, Meta(ge=0, le=MAX_MILLIS)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


# Forbidden are those with more to say: about a model or a dataset, and not about a run alone.
class Metric(Struct, gc=False, forbid_unknown_fields=True):
    key: Key
    value: float
    timestamp: Millis
    step: Int64 = 0


class Param(Struct):
    key: Key
    value: Annotated[str, Meta(max_length=6_000)] = ""


class Tag(Struct):
    key: Key
    value: Annotated[str, Meta(max_length=8_000)] = ""


class LogMetric(Metric, kw_only=True):
    run_id: str = ""
    run_uuid: str = ""

    def told(self) -> Told:
        return told(metrics=[self])


class LogParam(Param, kw_only=True):
    run_id: str = ""
    run_uuid: str = ""

    def told(self) -> Told:
        return told(params=[self])


class SetTag(Tag, kw_only=True):
    run_id: str = ""
    run_uuid: str = ""

    def told(self) -> Told:
        return told(tags=[self])


class LogBatch(Struct, kw_only=True):
    run_id: str = ""
    run_uuid: str = ""
    metrics: Annotated[list[Metric], Meta(max_length=schemas.MAX_METRICS)] = []
    params: Annotated[list[Param], Meta(max_length=schemas.MAX_PARAMS)] = []
    tags: Annotated[list[Tag], Meta(max_length=schemas.MAX_TAGS)] = []

    def told(self) -> Told:
        return told(self.metrics, self.params, self.tags)


class CreateRun(Struct):
    experiment_id: str = "0"
    user_id: Annotated[str, Meta(max_length=256)] = ""
    run_name: Annotated[str, Meta(max_length=8_000)] = ""
    start_time: Millis | None = None
    tags: Annotated[list[Tag], Meta(max_length=schemas.MAX_TAGS)] = []


class SearchRuns(Struct):
    experiment_ids: Annotated[list[str], Meta(max_length=MAX_EXPERIMENTS)] = []
    filter: str = ""
    run_view_type: Views = "ACTIVE_ONLY"
    max_results: Annotated[int, Meta(ge=1, le=MAX_PAGE)] = 1000
    order_by: list[str] = []
    page_token: str = ""


def told(
    metrics: Sequence[Metric] = (), params: Sequence[Param] = (), tags: Sequence[Tag] = ()
) -> Told:
    """Raises:
    Unusual: it is more than that, or a mistake.
    """
    if len(metrics) + len(params) + len(tags) > schemas.MAX_BATCH:
        raise Unusual
    points = by_key([(m.key, (m.step, m.timestamp * 1000, m.value)) for m in metrics])
    for key in points:
        check_key(key)
    found = {param.key: param.value for param in params}
    if len(found) < len(params):
        raise Unusual
    return Told(
        metrics=points,
        params=checked(found),
        tags=checked({tag.key: tag.value for tag in tags}),
    )


def checked(pairs: dict[str, str]) -> dict[str, str]:
    for key, value in pairs.items():
        check_key(key)
        check_text(value)
    return pairs


def check_key(key: str) -> None:
    try:
        schemas.sound_key(key)
    except ValueError:
        raise Unusual from None


def check_text(text: str) -> None:
    if "\x00" in text:
        raise Unusual
