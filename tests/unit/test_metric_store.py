"""Points of metrics in chunks: what goes in comes out, once, in whatever order it came."""

import asyncio
import math
import random
from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy import func, select

from maestro_ml.core.errors import Invalid
from maestro_ml.core.paging import PageRequest
from maestro_ml.db.work import Sessions, Work, open_work
from maestro_ml.tracking import points
from maestro_ml.tracking.models import LatestMetric, MetricChunk
from maestro_ml.tracking.points import Record, Sent, Series, by_key, pack, packed, seal, unpack
from maestro_ml.tracking.records import Told
from maestro_ml.tracking.search.keyset import batched
from maestro_ml.tracking.service import logs, metrics
from support import caller
from support.tracking import a_run, history

ODD: list[Record] = [
    (2**63 - 1, 0, 0.0),
    (-(2**63), 253_402_300_799_999_000, -0.0),
    (0, 5, math.inf),
    (0, 5, -math.inf),
    (7, 1, 5e-324),
    (7, 1, 1.7976931348623157e308),
]


EVEN: list[Record] = [(-(2**40) + n * 70_000, 2**50 - n, 0.5) for n in range(300)]


def a_series(size: int, seed: int = 0) -> list[Record]:
    dice = random.Random(seed)
    return [(n, 1_700_000_000_000_000 + n * 1000, dice.random()) for n in range(size)]


async def told(work: Work, run: UUID, records: list[Record], key: str = "loss") -> None:
    await logs.log(work, run, Told(metrics={key: records}))


async def kept(work: Work, run: UUID, key: str = "loss") -> list[Record]:
    return (await history(work, run, key))[0]


@pytest.mark.parametrize(
    "records",
    [ODD, ODD[:1], a_series(2000), a_series(3)[::-1], EVEN, a_series(9)[::-2], ODD[2:4] * 2],
)
def test_what_is_packed_or_sealed_is_what_comes_out(records: list[Record]) -> None:
    exact = [packed(record) for record in records]
    for row in ((pack(records), False), (seal(Series.of(records)), True)):
        assert [packed(record) for record in unpack(*row)] == exact


def test_nan_goes_in_and_comes_out() -> None:
    records = [(1, 2, math.nan)]
    for row in ((pack(records), False), (seal(Series.of(records)), True)):
        assert [str(value) for _, _, value in unpack(*row)] == ["nan"]


def test_points_of_one_batch_are_kept_once_by_key_in_the_order_of_their_arrival() -> None:
    told: list[Record] = [(2, 1, 0.0), (1, 1, math.inf), (2, 1, -0.0), (2, 2, 0.0), (2, 1, 0.0)]
    found = by_key([("a", record) for record in told] + [("b", told[0])])
    assert [packed(record) for record in found["a"]] == [packed(record) for record in told[:4]]
    assert list(found["b"]) == told[:1]


@pytest.mark.parametrize("seed", range(20))
def test_a_series_is_ordered_as_its_points_would_be(seed: int) -> None:
    dice = random.Random(seed)
    values = [0.5, 1.0, math.inf, -math.inf] + [math.nan] * (seed % 2)
    records = [(dice.randrange(4), dice.randrange(4), dice.choice(values)) for _ in range(40)]
    if seed % 3 == 0:
        records.sort(key=lambda r: (r[1], r[0]))
    series = Series.of(records)

    def number(value: float) -> float:
        return 0.0 if math.isnan(value) else value

    by_time = sorted(records, key=lambda r: (r[1], r[0], math.isnan(r[2]), number(r[2])))
    by_step = sorted(records, key=lambda r: (r[0], r[1], number(r[2]), math.isnan(r[2])))
    assert [str(record) for record in series.by_time()] == [str(record) for record in by_time]
    assert [str(record) for record in series.by_step()] == [str(record) for record in by_step]


def test_an_even_series_takes_half_of_its_bytes() -> None:
    assert len(seal(Series.of(a_series(1024)))) < len(pack(a_series(1024))) / 2


@pytest.mark.parametrize("at_once", [1, 63, 64, 65, 700, 1000])
async def test_a_series_grows_by_any_steps_into_few_chunks(work: Work, at_once: int) -> None:
    run = await a_run(work)
    series = a_series(150 if at_once == 1 else 2500)
    for records in batched(series, at_once):
        await told(work, run, list(records))
    assert await kept(work, run) == series
    n = await work.session.scalar(select(LatestMetric.n_points).where(LatestMetric.run_id == run))
    chunks = select(func.count()).select_from(MetricChunk).where(MetricChunk.run_id == run)
    assert n == len(series)
    assert (await work.session.scalar(chunks) or 0) <= len(series) / 1024 + 17


async def test_a_repeat_of_any_part_changes_nothing(work: Work) -> None:
    run = await a_run(work)
    series = [*a_series(1500), (3000, 1_700_000_009_000_000, math.nan)]
    await told(work, run, series)
    for again in (series[:1], series[700:900], series[-1:], series[::-1]):
        await told(work, run, again)
        assert len(await kept(work, run)) == len(series)
    late = [(5, 1_600_000_000_000_000, 0.25), *series[5:8], (6, 1_700_000_000_006_000, 9.0)]
    await told(work, run, late)
    found = await kept(work, run)
    assert len(found) == len(series) + 2
    assert found[0] == late[0]


@pytest.mark.parametrize("seed", range(20))
def test_what_a_row_holds_of_what_was_sent_is_found_by_the_byte(seed: int) -> None:
    dice = random.Random(seed)
    values = [0.0, -0.0, 1.5, math.inf, -math.inf] + [math.nan] * (seed % 2)
    few, many = (
        [(dice.randrange(-2, 3), dice.randrange(3), dice.choice(values)) for _ in range(n)]
        for n in (6, 40)
    )
    for sent, held in ((few, many), (many, few), (ODD, ODD[1:4]), (few, a_series(50))):
        both = {packed(record) for record in sent} & {packed(record) for record in held}
        for row in ((pack(held), False), (seal(Series.of(held)), True)):
            assert Sent(sent).among(*row) == both


@pytest.mark.parametrize("place", [lambda n: (9000 - n, 0, n / 7), lambda n: (0, 0, n / 7)])
async def test_one_point_more_looks_at_few_points_when_the_times_of_all_are_alike(
    work: Work, monkeypatch: pytest.MonkeyPatch, place: Callable[[int], Record]
) -> None:
    run = await a_run(work)
    series = [place(n) for n in range(3200)]
    for records in batched(series, 1000):
        await told(work, run, list(records))
    looked_at: list[Record] = []

    def looking(record: Record) -> bytes:
        looked_at.append(record)
        return packed(record)

    monkeypatch.setattr(points, "packed", looking)
    monkeypatch.setattr(metrics, "packed", looking)
    await told(work, run, [place(3200), series[5]])
    assert len(looked_at) < 20
    assert len(await kept(work, run)) == 3201


async def test_points_of_any_order_are_kept_and_given_back_in_order(work: Work) -> None:
    run = await a_run(work)
    series = a_series(1300)
    mixed = random.Random(1).sample(series, len(series))
    for records in batched(mixed, 90):
        await told(work, run, list(records))
    assert await kept(work, run) == series


@pytest.mark.parametrize("at_once", [50, 1500])
async def test_pages_and_samples_are_of_the_whole_however_the_points_came(
    work: Work, at_once: int
) -> None:
    run = await a_run(work)
    series = [(n // 2, n // 3 * 1000, n / 7) for n in range(3000)]
    came = series[:1100] + random.Random(2).sample(series[1100:1900], 800) + series[1900:]
    for records in batched(came, at_once):
        await told(work, run, list(records))
    for limit in (1024, 1100, 2999, 3000):
        page, cursor = await history(work, run, request=PageRequest(limit))
        found = list(page)
        while cursor is not None:
            page, cursor = await history(work, run, request=PageRequest(limit, cursor))
            found += page
        assert found == series
    assert list(await metrics.sampled(work, run, "loss", 3)) == [series[i] for i in (0, 1499, 2999)]
    some = await metrics.sampled(work, run, "loss", 1000, (520, 700))
    assert list(some) == [record for record in series if 520 <= record[0] <= 700]
    assert list(await metrics.sampled(work, run, "loss", 1, (0, 520))) == [series[1041]]


async def test_zero_and_minus_zero_are_two_points_and_nan_is_one(work: Work) -> None:
    run = await a_run(work)
    for _ in range(2):
        await told(work, run, [(1, 1, 0.0), (1, 1, -0.0), (1, 1, math.nan)])
    assert sorted(str(value) for _, _, value in await kept(work, run)) == ["-0.0", "0.0", "nan"]


async def test_pages_hold_every_point_once(work: Work) -> None:
    run = await a_run(work)
    odd = [(1, 1_000, math.nan), (1, 1_000, math.inf), (1, 1_000, -math.inf), (0, 1_000, 2.0)]
    await told(work, run, odd + a_series(1100))
    found: list[Record] = []
    cursor = None
    while True:
        request = PageRequest(3 if not found else 400, cursor)
        page, cursor = await history(work, run, request=request)
        found += page
        if cursor is None:
            break
    assert [str(value) for _, _, value in found[:4]] == ["2.0", "-inf", "inf", "nan"]
    assert found[4:] == a_series(1100)
    for wrong in ("x", "W10", "WzEsMl0", "WzEsMiwiYSJd", "WzEsMiwzXQ", "WzFlNTAsMiwiMSJd"):
        with pytest.raises(Invalid):
            await metrics.history(work, run, "loss", PageRequest(3, wrong))


async def test_many_keys_at_once_are_kept_apart(work: Work) -> None:
    run = await a_run(work)
    for step in range(3):
        keys = {f"m{n}": [(step, step, float(n))] for n in range(1000)}
        await logs.log(work, run, Told(metrics=keys))
    assert await kept(work, run, "m7") == [(0, 0, 7.0), (1, 1, 7.0), (2, 2, 7.0)]
    assert await work.session.scalar(select(func.count()).select_from(LatestMetric)) == 1000


async def test_writers_of_one_metric_lose_and_double_nothing(sessions: Sessions) -> None:
    async with open_work(sessions, caller()) as work:
        run = await a_run(work)
    series = a_series(1200)

    async def write(part: list[Record]) -> None:
        for records in batched(part, 100):
            async with open_work(sessions, caller()) as work:
                await told(work, run, list(records))

    await asyncio.gather(*(write(part) for part in (series[::2], series[1::2], series[300:600])))
    async with open_work(sessions, caller(), read_only=True) as work:
        assert await kept(work, run) == series
