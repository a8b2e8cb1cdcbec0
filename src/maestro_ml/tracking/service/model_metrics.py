"""Points of metrics that are about logged models. Every access to their table but search's is in
this module; the run keeps them beside its others."""

import math
from collections.abc import Collection, Sequence
from datetime import UTC
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import func, select

from maestro_ml.core.access import Permission
from maestro_ml.db.upsert import insert_or_ignore
from maestro_ml.db.work import Work
from maestro_ml.tracking.models import LoggedModel, LoggedModelMetric
from maestro_ml.tracking.records import HeldRun, ModelPoint
from maestro_ml.tracking.schemas import LogMetric
from maestro_ml.tracking.search.keyset import batched
from maestro_ml.tracking.service.model_lookup import check

MAX_POINTS = 1000  # of a model, in an answer
MAX_ANSWER = 100_000  # of all models of an answer


async def append(work: Work, run: HeldRun, points: Sequence[LogMetric]) -> None:
    """Add those points of a run's that are about a model. A point that is there is the same point.

    Raises:
        LoggedModelNotFound: there is no such model in the run's project.
    """
    work.require(Permission.RUN_WRITE, run.project_id)
    rows = [_row(work, run, point) for point in points if point.model_id is not None]
    await check(work, run.project_id, {row["model_id"] for row in rows})
    key = ("model_id", "key", "point_id")
    await insert_or_ignore(work, LoggedModelMetric, rows, key=key)


async def newest(work: Work, models: Collection[LoggedModel]) -> dict[UUID, list[ModelPoint]]:
    """The points of models that the caller sees, by model, the oldest first: all of them, or the
    newest, where there are more than an answer holds."""
    for project_id in {model.project_id for model in models}:
        work.require(Permission.RUN_READ, project_id)
    found: dict[UUID, list[ModelPoint]] = {model.id: [] for model in models}
    most = min(MAX_POINTS, MAX_ANSWER // max(1, len(found)))
    part = LoggedModelMetric
    age = func.row_number().over(
        partition_by=part.model_id,
        order_by=(part.at.desc(), part.step.desc(), part.key.desc(), part.point_id.desc()),
    )
    point = (
        *(part.model_id, part.key, part.value, part.is_nan, part.at, part.step),
        *(part.run_id, part.dataset_name, part.dataset_digest),
    )
    for ids in batched(found):
        aged = select(*point, age.label("age")).where(part.model_id.in_(ids)).subquery()
        query = select(aged).where(aged.c.age <= most).order_by(aged.c.age.desc())
        for model_id, key, value, nan, *rest, _ in await work.session.execute(query):
            found[model_id].append(ModelPoint(key, math.nan if nan else value, *rest))
    return found


def _row(work: Work, run: HeldRun, point: LogMetric) -> dict[str, Any]:
    nan = math.isnan(point.value)
    known = {
        "key": point.key,
        "step": point.step,
        "at": point.at.astimezone(UTC),
        "value": 0.0 if nan else point.value,
        "is_nan": nan,
        "dataset_name": point.dataset_name or None,
        "dataset_digest": point.dataset_digest or None,
    }
    return {
        **known,
        "model_id": point.model_id,
        "run_id": run.id,
        "point_id": uuid5(run.id, repr(tuple(known.values()))),
        "created_at": work.now,
    }
