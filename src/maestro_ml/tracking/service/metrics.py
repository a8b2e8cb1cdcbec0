"""Metric points. Every access to their table is in this module."""

import math
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from maestro_ml.core.access import Permission
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.upsert import insert_or_ignore, upsert
from maestro_ml.db.work import Work
from maestro_ml.tracking.errors import RunNotFound
from maestro_ml.tracking.models import LatestMetric, MetricPoint, Run
from maestro_ml.tracking.records import Point
from maestro_ml.tracking.schemas import LogMetric
from maestro_ml.tracking.search.keyset import (
    Term,
    a_number,
    a_time,
    a_truth,
    after,
    an_integer,
    batched,
    encode,
)

MAX_HISTORY = 100_000
_NEWEST = ("step", "at", "value", "is_nan")
_POINT = ("run_id", "key", *_NEWEST)
_ORDER = (
    Term(MetricPoint.at, a_time),
    Term(MetricPoint.step, an_integer),
    Term(MetricPoint.value, a_number),
    Term(MetricPoint.is_nan, a_truth),
)


async def append(work: Work, run: Run, points: Sequence[LogMetric]) -> None:
    """Add points to a run that `runs.lock` holds. A point that is there is the same point.

    The newest of a key is by step, then time, then value, whatever the order of arrival.
    """
    work.require(Permission.RUN_WRITE, run.project_id)
    if not points:
        return
    rows = [_row(work, run, point) for point in points]
    newest: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["key"] not in newest or _age(row) > _age(newest[row["key"]]):
            newest[row["key"]] = row
    held = select(LatestMetric).where(LatestMetric.run_id == run.id, LatestMetric.key.in_(newest))
    for latest in await work.session.scalars(held):
        if _age(vars(latest)) >= _age(newest[latest.key]):
            del newest[latest.key]
    await insert_or_ignore(work, MetricPoint, rows, key=_POINT)
    await upsert(work, LatestMetric, list(newest.values()), key=("run_id", "key"), change=_NEWEST)


async def history(work: Work, run_id: UUID, key: str, request: PageRequest) -> Page[Point]:
    """The points of one metric, by time and then step.

    Raises:
        RunNotFound: there is no such run, or the caller may not see it.
        Invalid: the cursor is not one of ours.
    """
    run = await work.session.get(Run, run_id)
    if run is None or not work.allows(Permission.RUN_READ, run.project_id):
        raise RunNotFound
    query = select(MetricPoint.at, MetricPoint.step, MetricPoint.value, MetricPoint.is_nan).where(
        MetricPoint.run_id == run_id, MetricPoint.key == key
    )
    if request.cursor:
        query = query.where(after(_ORDER, request.cursor))
    query = query.order_by(*(term.order for term in _ORDER)).limit(request.limit + 1)
    rows = (await work.session.execute(query)).all()
    more = len(rows) > request.limit
    rows = rows[: request.limit]
    points = [Point(key, math.nan if nan else value, at, step) for at, step, value, nan in rows]
    return Page(points, encode(rows[-1]) if more else None)


async def newest(work: Work, runs: Collection[Run]) -> dict[UUID, list[Point]]:
    """The newest point of each metric of runs that the caller sees, by run and key."""
    for project_id in {run.project_id for run in runs}:
        work.require(Permission.RUN_READ, project_id)
    found: dict[UUID, list[Point]] = {run.id: [] for run in runs}
    for ids in batched(found):
        query = select(
            LatestMetric.run_id,
            LatestMetric.key,
            LatestMetric.value,
            LatestMetric.is_nan,
            LatestMetric.at,
            LatestMetric.step,
        )
        query = query.where(LatestMetric.run_id.in_(ids)).order_by(LatestMetric.key)
        for run_id, key, value, nan, at, step in await work.session.execute(query):
            found[run_id].append(Point(key, math.nan if nan else value, at, step))
    return found


def _row(work: Work, run: Run, point: LogMetric) -> dict[str, Any]:
    nan = math.isnan(point.value)
    return {
        "run_id": run.id,
        "key": point.key,
        "step": point.step,
        "at": point.at,
        "value": 0.0 if nan else point.value,
        "is_nan": nan,
        "created_at": work.now,
    }


def _age(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in _NEWEST)
