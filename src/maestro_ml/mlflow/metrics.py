"""MLflow's calls for the histories of metrics."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import chain, islice, repeat
from operator import floordiv
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from maestro_ml.core.paging import PageRequest
from maestro_ml.core.schemas import Text, spelled
from maestro_ml.mlflow import wire
from maestro_ml.mlflow.deps import Reading
from maestro_ml.tracking.errors import RunNotFound
from maestro_ml.tracking.points import Series, is_odd
from maestro_ml.tracking.schemas import Int64
from maestro_ml.tracking.service import metrics

router = APIRouter(prefix="/metrics")
MAX_BULK = 25_000
_PART = 5_000  # points that are written at once: others have a turn
_ENCODER = msgspec.json.Encoder()


_Found = tuple[UUID, Sequence[Series]]


class _Point(msgspec.Struct, gc=False):
    run_id: str
    key: str
    value: float | str
    timestamp: int
    step: int


@router.get("/get-history")
async def get_history(here: Reading, query: Annotated[wire.GetMetricHistory, Query()]) -> Response:
    limit = min(query.max_results or metrics.MAX_HISTORY, metrics.MAX_HISTORY)
    request = PageRequest(limit, query.page_token or None)
    found = await metrics.history(here.work, query.id, query.metric_key, request)
    return _answer(query.metric_key, [(query.id, found.parts)], found.next_cursor)


@router.get("/get-history-bulk")
async def get_history_bulk(
    here: Reading,
    run_id: Annotated[list[str], Query(min_length=1, max_length=wire.MAX_RUNS)],
    metric_key: Text,
    max_results: Annotated[Int64, Query(ge=1)] = MAX_BULK,
) -> Response:
    found: list[_Found] = []
    left = min(max_results, MAX_BULK)
    for id in _ids(sorted(run_id)):
        page = await metrics.history(here.work, id, metric_key, PageRequest(max(left, 1)))
        if left:  # without, the run must be there all the same
            found.append((id, page.parts))
            left -= _size(page.parts)
    return _answer(metric_key, found)


@router.get("/get-history-bulk-interval")
async def get_history_bulk_interval(
    here: Reading, query: Annotated[wire.GetMetricHistoryBulkInterval, Query()]
) -> Response:
    key, steps = query.metric_key, query.steps
    found = [
        (id, [await metrics.sampled(here.work, id, key, query.max_results, steps)])
        for id in _ids(query.run_ids)
    ]
    return _answer(key, found)


def _ids(texts: list[str]) -> list[UUID]:
    """Raises:
    RunNotFound: one of them is no id.
    """
    known = [wire.as_id(text) for text in texts]
    if None in known:
        raise RunNotFound
    return [id for id in known if id is not None]


def _size(parts: Sequence[Series]) -> int:
    return sum(map(len, parts))


def _answer(key: str, found: Sequence[_Found], next_cursor: str | None = None) -> Response:
    end = (
        b"]}" if next_cursor is None else b'],"next_page_token":%b}' % _ENCODER.encode(next_cursor)
    )
    if sum(_size(parts) for _, parts in found) <= _PART:
        body = b"".join([b'{"metrics":[', *_parts(key, found), end])
        return Response(body, media_type="application/json")

    async def written() -> AsyncIterator[bytes | memoryview]:
        yield b'{"metrics":['
        for part in _parts(key, found):
            yield part
            await asyncio.sleep(0)
        yield end

    return StreamingResponse(written(), media_type="application/json")


def _parts(key: str, found: Sequence[_Found]) -> Iterator[memoryview]:
    """Points without the brackets around them all."""
    start = 1
    for id, parts in found:
        values = chain.from_iterable(
            map(spelled, part.values) if is_odd(part.values) else part.values for part in parts
        )
        millis = map(floordiv, chain.from_iterable(part.times for part in parts), repeat(1000))
        steps = chain.from_iterable(part.steps for part in parts)
        points = map(_Point, repeat(id.hex), repeat(key), values, millis, steps)
        while some := list(islice(points, _PART)):
            buffer = bytearray()
            _ENCODER.encode_into(some, buffer)
            buffer[0] = ord(",")
            yield memoryview(buffer)[start:-1]
            start = 0
