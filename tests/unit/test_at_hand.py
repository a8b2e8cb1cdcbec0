"""A connection taken without ceremony is as clean, and as fairly shared, as any other."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from maestro_ml.core.clock import utc_now
from maestro_ml.db.hot import FastWork
from maestro_ml.db.pool import FairPool, driver_of
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.jobs.models import Job
from maestro_ml.tracking.errors import RunNotFound
from maestro_ml.tracking.service import lookup
from support import LAB, caller


async def nothing(_: FastWork) -> None: ...


async def refused(work: FastWork) -> None:
    await lookup.hold(work, LAB)  # no run has this id


def pool_of(sessions: Sessions) -> FairPool:
    pool = sessions.engines.writing.pool
    assert isinstance(pool, FairPool)
    return pool


async def test_nothing_is_at_hand_before_the_first_connection(sessions: Sessions) -> None:
    assert pool_of(sessions).at_hand() is None
    await sessions.hot.write(caller(), utc_now(), nothing)
    entry = pool_of(sessions).at_hand()
    assert entry is not None
    pool_of(sessions).give_back(entry)


async def test_it_is_given_back_after_a_refusal(sessions: Sessions) -> None:
    for _ in range(30):  # more than the pool has
        with pytest.raises(RunNotFound):
            await sessions.hot.write(caller(), utc_now(), refused)
    assert pool_of(sessions).checkedout() == 0


async def test_who_waits_gets_it_before_who_comes_next(sessions: Sessions) -> None:
    if sessions.engines.dialect != "sqlite":
        pytest.skip("only SQLite has one writer")
    await sessions.hot.write(caller(), utc_now(), nothing)

    async def write() -> None:
        async with open_work(sessions, caller()) as work:
            await work.session.scalars(select(Job))

    async with driver_of(sessions.engines.writing):
        waiting = asyncio.create_task(write())
        await asyncio.sleep(0.01)
    assert pool_of(sessions).at_hand() is None
    await waiting


async def test_words_that_were_not_said_are_forgotten(sessions: Sessions) -> None:
    if sessions.engines.dialect != "postgresql":
        pytest.skip("only PostgreSQL is told a role")
    held: list[Any] = []
    async with driver_of(sessions.engines.writing) as driver:
        held.append(driver)
        driver.prelude = "; SET LOCAL ROLE maestro_system"
    async with driver_of(sessions.engines.writing) as driver:
        assert (driver is held[0], driver.prelude) == (True, "")


async def test_one_that_the_server_left_is_replaced(sessions: Sessions) -> None:
    if sessions.engines.dialect != "postgresql":
        pytest.skip("only PostgreSQL has a server")
    await sessions.hot.write(caller(), utc_now(), nothing)
    async with driver_of(sessions.engines.writing) as driver:
        driver.terminate()
    await sessions.hot.write(caller(), utc_now(), nothing)


async def test_one_that_was_given_up_half_way_is_not_used_again(sessions: Sessions) -> None:
    if sessions.engines.dialect != "postgresql":
        pytest.skip("on SQLite nobody is asked half-way")
    found: list[Any] = []
    begun = asyncio.Event()

    async def sleeps(work: FastWork) -> None:
        found.append(work.prepared._connection)  # type: ignore[attr-defined]
        begun.set()
        await found[0].execute("SELECT pg_sleep(30)")

    asked = asyncio.create_task(sessions.hot.write(caller(), utc_now(), sleeps))
    await begun.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert found[0].is_closed()
    await sessions.hot.write(caller(), utc_now(), nothing)
