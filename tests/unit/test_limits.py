"""Rates and failures, wherever they are counted: in memory, in the database, in Redis."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisGone
from sqlalchemy import func, select

from maestro_ml.core.clock import utc_now
from maestro_ml.core.context import Origin, origin
from maestro_ml.core.ids import new_id
from maestro_ml.db.redis import RedisOrNot
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.limits import counters
from maestro_ml.limits.counters import FREE, LONGEST, MOST_IN_A_ROW, WINDOW, Counters
from maestro_ml.limits.errors import TooManyStreams
from maestro_ml.limits.memory import MemoryMeters, Meters
from maestro_ml.limits.models import RateCounter
from maestro_ml.limits.openings import Openings
from maestro_ml.limits.rates import Rate, Tap, address
from maestro_ml.limits.redis import RedisMeters
from support.absent import absent
from support.databases import REDIS
from support.races import AT_ONCE, EACH, race, rounds
from support.servers import a_redis
from support.signin import MovingClock
from support.world import ACME, OTHER

NOW = 1_800_000_000.25
TEN_A_MINUTE = Rate(10, 60)


async def _redis_answers() -> bool:
    redis = Redis.from_url(REDIS)
    try:
        await redis.ping()
    except RedisGone:
        return False
    finally:
        await redis.aclose()
    return True


@pytest.fixture(params=["memory", "database", "redis"])
async def meters(request: pytest.FixtureRequest, sessions: Sessions) -> AsyncIterator[Meters]:
    if request.param == "memory":
        yield MemoryMeters()
    elif request.param == "database":
        counting = Counters(sessions, utc_now)
        yield counting
        await counting.close()
    else:
        if not await _redis_answers():
            absent(f"no Redis answers at {REDIS}")
        redis = RedisOrNot(REDIS, utc_now)
        yield RedisMeters(redis, MemoryMeters(), f"limits:{new_id()}:")
        await redis.close()


async def test_a_clock_set_back_opens_nothing_and_is_not_waited_for(meters: Meters) -> None:
    tap, share = Tap("a", TEN_A_MINUTE), TEN_A_MINUTE.step + 0.1
    for _ in range(3):
        assert await meters.take(tap, NOW + 24 * 60 * 60) == 0
    assert await meters.wait(tap, NOW) == pytest.approx(TEN_A_MINUTE.step, abs=0.01)
    assert await meters.take(tap, NOW) == pytest.approx(TEN_A_MINUTE.step, abs=0.01)
    # With Redis, this process's own count comes first, and the common one a share later.
    passed = [await meters.take(tap, NOW + share) == 0 for _ in range(3)]
    assert sum(passed) <= 1
    assert await meters.take(tap, NOW + 2 * share) == 0
    assert await meters.take(tap, NOW + 2 * share) > 0


@pytest.mark.parametrize("rate", [TEN_A_MINUTE, Rate(7, 60), Rate(1000, 300), Rate(1, 3600)])
async def test_so_many_pass_at_once_and_then_one_for_each_share(meters: Meters, rate: Rate) -> None:
    tap = Tap("a", rate)
    for _ in range(min(rate.most, 30)):
        assert await meters.take(tap, NOW) == 0
    if rate.most > 30:
        return
    assert await meters.take(tap, NOW) == pytest.approx(rate.step, abs=0.01)
    assert await meters.take(tap, NOW + rate.step - 0.1) == pytest.approx(0.1, abs=0.01)
    assert await meters.take(tap, NOW + rate.step) == 0
    assert await meters.take(tap, NOW + rate.step) > 0
    assert await meters.take(tap, NOW + 3 * rate.seconds) == 0


async def test_of_forty_at_once_as_many_pass_as_may(meters: Meters) -> None:
    async def one(turn: int) -> None:
        tap = Tap(f"race {turn}", TEN_A_MINUTE)
        waits = await race(meters.take(tap, NOW) for _ in EACH)
        assert waits[0] == TEN_A_MINUTE.most

    await rounds(one)


async def test_looking_counts_nothing_and_sees_who_is_ahead(meters: Meters) -> None:
    tap = Tap("seen", TEN_A_MINUTE)
    for _ in range(20):
        assert await meters.wait(tap, NOW) == 0
    assert await meters.wait(tap, NOW, 9) == 0
    assert await meters.wait(tap, NOW, 10) == pytest.approx(6, abs=0.01)
    for _ in range(10):
        await meters.take(tap, NOW)
    assert await meters.wait(tap, NOW) == pytest.approx(6, abs=0.01)
    assert await meters.wait(Tap("other", TEN_A_MINUTE), NOW) == 0


async def test_a_refused_one_costs_nothing_more(meters: Meters) -> None:
    tap = Tap("patient", TEN_A_MINUTE)
    for _ in range(50):
        await meters.take(tap, NOW)
    assert await meters.take(tap, NOW + TEN_A_MINUTE.step) == 0


async def test_memory_forgets_whoever_came_longest_ago() -> None:
    meters = MemoryMeters(remembered=2)
    once = Rate(1, 60)
    for name in ("a", "b", "c"):
        assert await meters.take(Tap(name, once), NOW) == 0
    assert await meters.take(Tap("c", once), NOW) > 0
    assert await meters.take(Tap("a", once), NOW) == 0


async def test_redis_going_and_coming_back_gives_nobody_a_second_allowance(tmp_path: Path) -> None:
    moving = MovingClock(stopped=utc_now())
    with a_redis(tmp_path) as server:
        redis = RedisOrNot(server.url, moving)
        meters = RedisMeters(redis, MemoryMeters(), "limits:x:")
        used_up, begun, new = (Tap(name, Rate(2, 60)) for name in ("used up", "begun", "new"))

        async def taken(tap: Tap) -> list[bool]:
            return [await meters.take(tap, NOW) == 0 for _ in range(3)]

        assert await taken(used_up) == [True, True, False]
        assert await meters.take(begun, NOW) == 0
        server.stop()
        assert await taken(used_up) == [False, False, False]
        assert await taken(begun) == [True, False, False]
        assert await taken(new) == [True, True, False]
        assert await meters.wait(new, NOW) > 0
        server.start()
        moving.move(minutes=1)
        assert await redis.ask(lambda there: there.ping())
        for tap in (used_up, begun, new):
            assert await taken(tap) == [False, False, False]
        await redis.close()


async def test_redis_forgets_a_rate_that_is_whole_again(tmp_path: Path) -> None:
    with a_redis(tmp_path) as server:
        redis, plain = RedisOrNot(server.url, utc_now), Redis.from_url(server.url)
        await RedisMeters(redis, MemoryMeters(), "limits:x:").take(Tap("a", TEN_A_MINUTE), NOW)
        assert 1 <= await plain.ttl("limits:x:a") <= 7
        await redis.close()
        await plain.aclose()


# Failures of an account


@pytest.fixture
async def counting(sessions: Sessions) -> AsyncIterator[Counters]:
    counting = Counters(sessions, utc_now)
    yield counting
    await counting.close()


async def waits(counting: Counters, number: int, now: float) -> list[float]:
    """How long each of so many failures makes the next one wait, each as soon as it may."""
    found = []
    for _ in range(number):
        if await counting.failures("k") is None:
            await counting.fail("k", now)
        else:
            assert await counting.fail_once_more("k", now) is not None
        seen = await counting.failures("k")
        assert seen is not None
        found.append(seen.until - now)
        now = seen.until
    return found


async def test_five_are_free_and_then_the_wait_doubles(counting: Counters) -> None:
    doubling = [float(2**n) for n in range(10)]
    assert await waits(counting, 17, NOW) == [0.0] * (FREE - 1) + doubling + [float(LONGEST)] * 3


async def test_a_quarter_of_an_hour_of_peace_begins_anew_but_the_row_goes_on(
    counting: Counters,
) -> None:
    await waits(counting, 7, NOW)
    seen = await counting.failures("k")
    assert seen is not None
    assert await counting.fail_once_more("k", seen.until + WINDOW) == 8
    after = await counting.failures("k")
    assert after is not None
    assert (after.recent, after.in_a_row) == (1, 8)


async def test_of_forty_at_once_only_the_free_ones_are_counted(counting: Counters) -> None:
    await counting.fail("k", NOW)
    done = await asyncio.gather(*(counting.fail_once_more("k", NOW) for _ in range(AT_ONCE)))
    assert sorted(one for one in done if one is not None) == [2, 3, 4, 5]


async def test_after_a_hundred_in_a_row_nothing_is_counted_and_only_forgetting_opens(
    counting: Counters, sessions: Sessions
) -> None:
    now = NOW
    await counting.fail("k", now)
    while (counted := await counting.fail_once_more("k", now)) != MOST_IN_A_ROW:
        assert counted is not None
        now += LONGEST
    assert await counting.fail_once_more("k", now + 10 * WINDOW) is None
    later = datetime(2100, 1, 1, tzinfo=UTC)
    assert await counters.prune(partial(open_system_work, sessions), later) == 0
    async with open_system_work(sessions) as work:
        await counters.forget(work, "k")
    assert await counting.failures("k") is None


async def test_pruning_takes_what_is_whole_again_and_no_more(
    counting: Counters, sessions: Sessions
) -> None:
    now = utc_now().timestamp()
    await counting.take(Tap("over", TEN_A_MINUTE), now - 3600)
    await counting.take(Tap("on", TEN_A_MINUTE), now)
    await counting.fail("lately", now - 86_400)
    await counting.fail("long ago", now - 31 * 86_400)
    assert await counters.prune(partial(open_system_work, sessions), utc_now()) == 2
    async with open_system_work(sessions) as work:
        left = await work.session.scalars(select(RateCounter.key).order_by(RateCounter.key))
        assert list(left) == ["lately", "on"]


async def test_no_write_is_paid_for_whoever_is_refused(
    counting: Counters, sessions: Sessions
) -> None:
    tap = Tap("a", Rate(1, 3600))
    await counting.take(tap, NOW)
    async with sessions.engines.writing.connect() as busy:
        await busy.begin()  # on SQLite, nobody else can write now
        assert await asyncio.wait_for(counting.take(tap, NOW), 5) > 0
        await busy.rollback()
    async with open_system_work(sessions, read_only=True) as work:
        assert await work.session.scalar(select(func.count()).select_from(RateCounter)) == 1


# Addresses and streams


@contextmanager
def coming_from(ip: str | None) -> Iterator[None]:
    before = origin.set(Origin(request_id="r", ip=ip))
    yield
    origin.reset(before)


@pytest.mark.parametrize(
    ("ip", "counts_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        (None, None),
    ],
)
def test_an_ipv6_network_counts_as_one_address(ip: str | None, counts_as: str | None) -> None:
    with coming_from(ip):
        assert address() == counts_as


def test_of_what_stays_open_each_and_all_have_so_many() -> None:
    streams = Openings(each=2, most=3)
    with streams.one_of("a", ACME), streams.one_of("a", ACME):
        with pytest.raises(TooManyStreams, match="You have 2"), streams.one_of("a", ACME):
            pass
        with (
            streams.one_of("b", ACME),
            pytest.raises(TooManyStreams, match="This server has 3"),
            streams.one_of("c", ACME),
        ):
            pass
        with streams.one_of("c", ACME):
            pass
    with streams.one_of("a", ACME), streams.one_of("a", ACME):
        pass


def test_one_tenants_people_leave_streams_to_others() -> None:
    streams = Openings(tenant=2)
    with streams.one_of("a", ACME), streams.one_of("b", ACME):
        with pytest.raises(TooManyStreams, match="Your tenant has 2"), streams.one_of("c", ACME):
            pass
        with streams.one_of("a", OTHER):
            pass
    with streams.one_of("c", ACME):
        pass


def test_a_place_is_given_back_when_the_stream_breaks() -> None:
    streams = Openings(each=1)
    with pytest.raises(RuntimeError), streams.one_of("a", ACME):
        raise RuntimeError
    with streams.one_of("a", ACME):
        pass
