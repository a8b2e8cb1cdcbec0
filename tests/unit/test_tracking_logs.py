"""What runs log: batches of metrics, params and tags, by one writer and by many."""

import asyncio
import math
from uuid import UUID

import pytest

from maestro_ml.core.errors import Invalid
from maestro_ml.core.paging import PageRequest
from maestro_ml.db.work import Sessions, Work, open_work
from maestro_ml.tracking.errors import ParamChanged
from maestro_ml.tracking.points import Record
from maestro_ml.tracking.schemas import Batch, LogMetric, LogParam, SetTag
from maestro_ml.tracking.service import logs, runs
from support import caller
from support.tracking import MILLIS, a_point, a_run, an_experiment, history


async def newest_of(work: Work, run: UUID, key: str = "loss") -> float:
    (value,) = [p.value for p in (await runs.get(work, run)).metrics if p.key == key]
    return value


async def test_a_param_is_written_once(work: Work) -> None:
    run = await a_run(work)
    await logs.log_batch(work, run, Batch(params=[LogParam(key="lr", value="0.1")]))
    await logs.log_batch(work, run, Batch(params=[LogParam(key="lr", value="0.1")]))
    with pytest.raises(ParamChanged):
        await logs.log_batch(work, run, Batch(params=[LogParam(key="lr", value="0.2")]))
    assert (await runs.get(work, run)).params == {"lr": "0.1"}


async def test_a_batch_is_all_or_nothing(sessions: Sessions) -> None:
    async with open_work(sessions, caller()) as work:
        run = await a_run(work)
        await logs.log_batch(work, run, Batch(params=[LogParam(key="lr", value="0.1")]))
    wrong = Batch(
        metrics=[a_point(1)],
        params=[LogParam(key="new", value="1"), LogParam(key="lr", value="0.2")],
        tags=[SetTag(key="t", value="1")],
    )
    with pytest.raises(ParamChanged):
        async with open_work(sessions, caller()) as work:
            await logs.log_batch(work, run, wrong)
    async with open_work(sessions, caller(), read_only=True) as work:
        record = await runs.get(work, run)
    assert (record.metrics, record.params) == ([], {"lr": "0.1"})
    assert "t" not in record.tags


async def test_a_repeated_batch_changes_nothing(work: Work) -> None:
    run = await a_run(work)
    batch = Batch(
        metrics=[a_point(v, s) for s, v in enumerate([1.0, math.nan, math.inf, -math.inf, 1.0])]
        + [a_point(1.0), a_point(math.nan, 1)],
        params=[LogParam(key="lr", value="0.1")],
        tags=[SetTag(key="t", value="1")],
    )
    await logs.log_batch(work, run, batch)
    once = await runs.get(work, run)
    await logs.log_batch(work, run, batch)
    twice = await runs.get(work, run)
    assert (once.params, once.tags) == (twice.params, twice.tags)
    points, _ = await history(work, run)
    assert sorted(step for step, _, _ in points) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("points", "newest"),
    [
        ([a_point(1, 0), a_point(2, 1)], 2),
        ([a_point(2, 1), a_point(1, 0)], 2),
        ([a_point(1, 1, 9), a_point(2, 1, 3)], 1),
        ([a_point(3, 1, 1), a_point(4, 1, 1)], 4),
        ([a_point(4, 1, 1), a_point(3, 1, 1)], 4),
        ([a_point(1, -1), a_point(2, -2)], 1),
        ([a_point(7, 0), a_point(math.inf, 1)], math.inf),
        ([a_point(-math.inf, 2**63 - 1), a_point(7, 0)], -math.inf),
    ],
)
async def test_the_newest_value_is_by_step_then_time_then_value(
    work: Work, points: list[LogMetric], newest: float
) -> None:
    together, apart = await a_run(work), await a_run(work, await an_experiment(work, "b"))
    await logs.log_batch(work, together, Batch(metrics=points))
    for point in points:
        await logs.log_batch(work, apart, Batch(metrics=[point]))
    assert await newest_of(work, together) == await newest_of(work, apart) == newest


async def test_nan_is_a_value_like_any_other(work: Work) -> None:
    run = await a_run(work)
    await logs.log_batch(work, run, Batch(metrics=[a_point(1, 0), a_point(math.nan, 1)]))
    assert math.isnan(await newest_of(work, run))
    points, _ = await history(work, run)
    assert [str(value) for _, _, value in points] == ["1.0", "nan"]


async def test_history_is_by_time_and_in_pages(work: Work) -> None:
    run = await a_run(work)
    points = [a_point(n, n // 2, seconds=-n) for n in range(7)]
    await logs.log_batch(work, run, Batch(metrics=points))
    found: list[Record] = []
    cursor = None
    while True:
        page, cursor = await history(work, run, request=PageRequest(3, cursor))
        found += page
        if cursor is None:
            break
    assert [value for _, _, value in found] == [6, 5, 4, 3, 2, 1, 0]
    assert found[0][1] == (MILLIS - 6000) * 1000
    with pytest.raises(Invalid):
        await history(work, run, request=PageRequest(3, "what"))


async def test_writers_to_one_run_take_turns_and_lose_nothing(sessions: Sessions) -> None:
    async with open_work(sessions, caller()) as work:
        run = await a_run(work)

    async def write(writer: int) -> None:
        for step in range(3):
            async with open_work(sessions, caller()) as work:
                batch = Batch(
                    metrics=[a_point(writer, step * 10 + writer), a_point(1, key=f"of {writer}")],
                    params=[LogParam(key="shared", value="same"), LogParam(key=f"p{writer}")],
                    tags=[SetTag(key="last", value=str(writer))],
                )
                await logs.log_batch(work, run, batch)

    await asyncio.gather(*(write(n) for n in range(6)))
    async with open_work(sessions, caller(), read_only=True) as work:
        record = await runs.get(work, run)
        points, _ = await history(work, run)
        newest = await newest_of(work, run)
    assert len(points) == 18
    assert newest == 5
    assert len(record.params) == 7
    assert len(record.metrics) == 7


async def test_one_of_two_writers_of_different_params_is_told(sessions: Sessions) -> None:
    async with open_work(sessions, caller()) as work:
        run = await a_run(work)

    async def write(value: str) -> str:
        try:
            async with open_work(sessions, caller()) as work:
                await logs.log_batch(work, run, Batch(params=[LogParam(key="lr", value=value)]))
        except ParamChanged:
            return "told"
        return "kept"

    assert sorted(await asyncio.gather(write("1"), write("2"))) == ["kept", "told"]


@pytest.mark.parametrize(
    "key",
    ["", ".", "..", "../x", "/x", "x/", "a//b", "./a", "a/../b", "a\n", "a\x00", "k" * 251, "a?"],
)
def test_keys_that_read_as_paths_or_are_too_long_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        SetTag(key=key)


@pytest.mark.parametrize("key", ["a", "a b", "a/b", "a.b", "ä:b-c_d", "k" * 250, "..a"[1:]])
def test_keys_of_mlflow_are_taken(key: str) -> None:
    assert SetTag(key=key).key == key


def test_a_batch_has_its_limits() -> None:
    point, param, tag = a_point(1), LogParam(key="a"), SetTag(key="a")
    Batch(metrics=[point] * 1000)
    for wrong in (
        {"metrics": [point] * 1001},
        {"params": [LogParam(key=f"p{n}") for n in range(101)]},
        {"tags": [tag] * 101},
        {"metrics": [point] * 999, "params": [param], "tags": [tag]},
        {"params": [param, param]},
    ):
        with pytest.raises(ValueError, match="Batch"):
            Batch.model_validate(wrong)
