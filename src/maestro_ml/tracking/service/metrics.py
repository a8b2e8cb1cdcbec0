"""Metric points. Every access to their tables is in this module."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import accumulate, pairwise
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, LargeBinary, bindparam, case, cast, delete, select

from maestro_ml.core.access import Permission
from maestro_ml.core.clock import EPOCH
from maestro_ml.core.paging import PageRequest
from maestro_ml.db.among import among
from maestro_ml.db.hot import FastWork
from maestro_ml.db.prepared import Both, Prepared, Row, Upsert
from maestro_ml.db.work import Work
from maestro_ml.tracking.models import LatestMetric, MetricChunk
from maestro_ml.tracking.points import (
    Age,
    Record,
    Sent,
    Series,
    age,
    is_odd,
    pack,
    packed,
    place,
    seal,
    unpack,
)
from maestro_ml.tracking.records import HeldRun, Point, RunRow, SeriesPage
from maestro_ml.tracking.search.keyset import a_number_as_text, an_integer, decode, encode
from maestro_ml.tracking.service import lookup

MAX_HISTORY = 100_000
SMALL, LARGE = 64, 1024  # points: when a chunk takes no more, and when small ones become one

_OF_RUN = (
    LatestMetric.tenant_id == bindparam("tenant_id"),
    LatestMetric.run_id == bindparam("run_id"),
)
_CHUNKS = (
    MetricChunk.tenant_id == bindparam("tenant_id"),
    MetricChunk.run_id == bindparam("run_id"),
    MetricChunk.key == bindparam("key"),
)
_AGE = (LatestMetric.step, LatestMetric.at, LatestMetric.value, LatestMetric.is_nan)
_ALL_NEWEST = Prepared(
    select(LatestMetric.key, *_AGE, LatestMetric.n_points)
    .where(*_OF_RUN)
    .order_by(LatestMetric.key)
)
_NEWEST_OF = Prepared(
    select(LatestMetric.run_id, LatestMetric.key, *_AGE)
    .where(LatestMetric.tenant_id == bindparam("tenant_id"), among(LatestMetric.run_id, "ids"))
    .order_by(LatestMetric.run_id, LatestMetric.key)
)
_NEWEST = Prepared(
    select(LatestMetric.key, *_AGE, LatestMetric.n_points).where(
        *_OF_RUN, LatestMetric.key == bindparam("key")
    )
)
_BETWEEN = Prepared(
    select(MetricChunk.points, MetricChunk.sealed, MetricChunk.first_at, MetricChunk.last_at)
    .where(
        *_CHUNKS,
        MetricChunk.last_at >= bindparam("first", type_=BigInteger()),
        MetricChunk.first_at <= bindparam("last", type_=BigInteger()),
    )
    .order_by(MetricChunk.first_at, MetricChunk.number)
)
_FROM_NUMBER = MetricChunk.number >= bindparam("number", type_=BigInteger())
_GROWN = Prepared(
    select(MetricChunk.number, MetricChunk.points, MetricChunk.sealed)
    .where(*_CHUNKS, _FROM_NUMBER)
    .order_by(MetricChunk.number)
)
_DROP_GROWN = Prepared(delete(MetricChunk).where(*_CHUNKS, _FROM_NUMBER))
_ADD_CHUNK = Upsert(
    MetricChunk,
    key=("run_id", "key", "number"),
    change={
        "points": lambda old, new: cast(old.op("||")(new), LargeBinary),
        "first_at": lambda old, new: case((new < old, new), else_=old),
        "last_at": lambda old, new: case((new > old, new), else_=old),
    },
)
_SET_NEWEST = Upsert(
    LatestMetric,
    key=("run_id", "key"),
    change=("step", "at", "value", "is_nan", "n_points"),
)
_KEEP = Both(_ADD_CHUNK, _SET_NEWEST)
_NEVER = 2**63 - 1
_FEW = 8  # keys that are asked for one by one


async def append(
    work: Work | FastWork, run: HeldRun, points: Mapping[str, Sequence[Record]]
) -> None:
    """Add points to a run that `lookup.hold` holds. A point that is there is the same point.

    The newest of a key is by step, then time, then value, whatever the order of arrival.
    """
    work.require(Permission.RUN_WRITE, run.project_id)
    held = await _held(work, run, points)
    rows: list[dict[str, Any]] = []
    for key, sent in points.items():
        before = held.get(key)
        records = await _unknown(work, run, key, sent, before)
        if not records:
            continue
        newest, n = _newest(records), 0
        if before is not None:
            newest, n = max(newest, before[0]), before[1]
        step, at, value, is_nan = newest
        row = {
            "run_id": run.id,
            "key": key,
            "created_at": work.now,
            "step": step,
            "at": at,
            "value": value,
            "is_nan": is_nan,
            "n_points": n + len(records),
            "experiment_id": run.experiment_id,
        }
        rows.append(row | await _chunk(work, run, key, n, records))
    await work.prepared.put(_KEEP, rows)


async def history(
    work: Work | FastWork, run_id: UUID, key: str, request: PageRequest
) -> SeriesPage:
    """The points of one metric, by time, then step, then value.

    Raises:
        RunNotFound: there is no such run, or the caller may not see it.
        Invalid: the cursor is not one of ours.
    """
    run = await lookup.seen(work, run_id)
    work.require(Permission.RUN_READ, run.project_id)
    last = _placed(request.cursor) if request.cursor else None
    rows = await _between(work, run_id, key, first=0 if last is None else last[1])
    parts: list[Series] = []
    left = request.limit
    for part in _by_time(rows):
        later = part if last is None else part[bisect_right(part, place(last), key=place) :]
        left -= len(later)
        kept = later[:left] if left < 0 else later
        if kept:
            parts.append(kept)
        if left < 0:
            step, at, value = parts[-1][-1]
            return SeriesPage(parts, encode((step, at, str(value))))
    return SeriesPage(parts)


async def sampled(
    work: Work | FastWork,
    run_id: UUID,
    key: str,
    limit: int,
    steps: tuple[int, int] | None = None,
) -> Series:
    """At most so many points of one metric, evenly out of all in those steps, by step, then time,
    then value: the first and the last are among them; of one, the last.

    Raises:
        RunNotFound: there is no such run, or the caller may not see it.
    """
    run = await lookup.seen(work, run_id)
    work.require(Permission.RUN_READ, run.project_id)
    parts = _by_step(await _between(work, run_id, key))
    if steps is not None:
        first, last = steps
        parts = [
            part[bisect_left(part.steps, first) : bisect_right(part.steps, last)] for part in parts
        ]
    starts = list(accumulate(map(len, parts), initial=0))
    n = starts.pop()
    if n <= limit:
        return Series.joined(parts)
    places = [n - 1] if limit == 1 else [i * (n - 1) // (limit - 1) for i in range(limit)]
    in_part = [bisect_right(starts, at) - 1 for at in places]
    return Series.of([parts[i][at - starts[i]] for i, at in zip(in_part, places, strict=True)])


async def newest(work: Work, runs: Collection[RunRow]) -> dict[UUID, list[Point]]:
    """The newest point of each metric of runs that the caller sees, by run and key."""
    for project_id in {run.project_id for run in runs}:
        work.require(Permission.RUN_READ, project_id)
    found: dict[UUID, list[Point]] = {}
    for run_id, *point in await work.prepared.all(_NEWEST_OF, ids=[run.id for run in runs]):
        found.setdefault(run_id, []).append(_point(*point))
    return found


async def newest_of(work: Work | FastWork, run: RunRow) -> list[Point]:
    """The newest point of each metric of a run that the caller sees, by key."""
    work.require(Permission.RUN_READ, run.project_id)
    found = await work.prepared.all(_ALL_NEWEST, run_id=run.id)
    return [_point(key, step, at, value, nan) for key, step, at, value, nan, _ in found]


async def _between(
    work: Work | FastWork, run_id: UUID, key: str, first: int = 0, last: int = _NEVER
) -> list[Row]:
    """The chunks that reach into that time."""
    return await work.prepared.all(_BETWEEN, run_id=run_id, key=key, first=first, last=last)


def _by_time(rows: Sequence[Row]) -> Iterator[Series]:
    """Their points in order, in parts: a chunk is read when its turn comes, with all those that
    begin before it ends."""
    together: list[Series] = []
    end = 0
    for data, sealed, first_at, last_at in rows:
        if together and first_at > end:
            yield Series.joined(together).by_time()
            together = []
        together.append(unpack(data, sealed))
        end = max(end, last_at)
    yield Series.joined(together).by_time()


def _by_step(rows: Sequence[Row]) -> list[Series]:
    """Their points in order, in parts if the chunks are."""
    parts = [unpack(data, sealed).by_step() for data, sealed, _, _ in rows]
    if all(before.steps[-1] < after.steps[0] for before, after in pairwise(parts)):
        return parts
    return [Series.joined(parts).by_step()]


async def _held(
    work: Work | FastWork, run: HeldRun, keys: Collection[str]
) -> dict[str, tuple[Age, int]]:
    """Age and number of the points of those keys that have any."""
    if len(keys) <= _FEW:
        rows = [
            row for key in keys for row in await work.prepared.all(_NEWEST, run_id=run.id, key=key)
        ]
    else:
        rows = await work.prepared.all(_ALL_NEWEST, run_id=run.id)
    return {
        key: ((step, at, value, is_nan), n)
        for key, step, at, value, is_nan, n in rows
        if key in keys
    }


async def _unknown(
    work: Work | FastWork,
    run: HeldRun,
    key: str,
    sent: Sequence[Record],
    before: tuple[Age, int] | None,
) -> Sequence[Record]:
    """Those that the run has not been told yet. What is newer than the newest is one of them."""
    if before is None:
        return sent
    newest = before[0]
    older = [record for record in sent if record[0] <= newest[0] and age(record) <= newest]
    if not older:
        return sent
    times = [at for _, at, _ in older]
    rows = await _between(work, run.id, key, min(times), max(times))
    repeats = Sent(older)
    known = {record for data, sealed, _, _ in rows for record in repeats.among(data, sealed)}
    return [record for record in sent if packed(record) not in known]


async def _chunk(
    work: Work | FastWork, run: HeldRun, key: str, n: int, records: Sequence[Record]
) -> dict[str, Any]:
    """Where records go that come after `n` others: to the last chunk, into a new one, or, each
    time that so many have come together, into a large one with all since the last."""
    if n // LARGE == (n + len(records)) // LARGE:
        times = _times([at for _, at, _ in records])
        return {"number": n // SMALL, "points": pack(records), "sealed": False, **times}
    first = n // LARGE * (LARGE // SMALL)
    grown = await work.prepared.all(_GROWN, run_id=run.id, key=key, number=first)
    if grown:
        await work.prepared.all(_DROP_GROWN, run_id=run.id, key=key, number=first)
    before = [unpack(data, sealed) for _, data, sealed in grown]
    whole = Series.joined([*before, Series.of(records)])
    number = grown[0][0] if grown else n // SMALL
    return {"number": number, "points": seal(whole), "sealed": True, **_times(whole.times)}


def _times(times: Sequence[int]) -> dict[str, int]:
    return {"first_at": min(times), "last_at": max(times)}


def _newest(records: Sequence[Record]) -> Age:
    odd = is_odd([value for _, _, value in records])
    return age(max(records, key=age if odd else None))


def _point(key: str, step: int, at: int, value: float, is_nan: bool) -> Point:
    return Point(key, math.nan if is_nan else value, EPOCH + timedelta(microseconds=at), step)


def _placed(cursor: str) -> Record:
    step, at, value = decode((an_integer, an_integer, a_number_as_text), cursor)
    return step, at, value
