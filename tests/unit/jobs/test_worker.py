"""A worker's life: it runs what comes, gives back what it must leave, and outlives an outage."""

import asyncio
from typing import Any

import pytest

from maestro_ml.core.errors import MaestroError, Unavailable
from maestro_ml.db.work import Sessions
from maestro_ml.jobs.context import JobContext
from maestro_ml.jobs.models import JobState
from maestro_ml.jobs.worker import Worker
from support.jobs import KIND, SHORT, Gate, a_worker, cancel, queued, state, the
from support.signin import MovingClock


class Away(Sessions):
    """A database that goes away when it is told to."""

    def __init__(self, sessions: Sessions) -> None:
        super().__init__(sessions.engines)
        self.gone = False

    def begin(self, *args: Any, **options: Any) -> Any:
        if self.gone:
            raise Unavailable("The database does not answer right now. Try again in a moment.")
        return super().begin(*args, **options)


async def test_a_worker_runs_what_comes_until_it_is_stopped(sessions: Sessions) -> None:
    ended = asyncio.Semaphore(0)

    async def run(job: JobContext) -> None:
        ended.release()

    worker = a_worker(sessions, run, concurrency=2)
    ids = [await queued(sessions) for _ in range(5)]
    running = asyncio.create_task(worker.run())
    for _ in ids:
        await ended.acquire()
    await worker.stop()
    await running
    assert [await state(sessions, id) for id in ids] == [JobState.DONE] * 5


async def test_a_stopped_worker_gives_back_what_it_runs(sessions: Sessions) -> None:
    gate = Gate()
    worker = a_worker(sessions, gate)
    id = await queued(sessions, dedup_key="k")
    running = asyncio.create_task(worker.run())
    await gate.inside.acquire()
    await worker.stop(patience=0.01)
    await running
    job = await the(sessions, id)
    assert (job.state, job.attempts, job.dedup_key) == (JobState.QUEUED, 0, "k")
    assert (job.lease_id, job.lease_expires_at, job.error) == (None, None, None)
    assert await a_worker(sessions).run_one()
    assert (await the(sessions, id)).attempts == 1


async def test_a_stopped_worker_waits_for_what_ends_in_time(sessions: Sessions) -> None:
    gate = Gate()
    worker = a_worker(sessions, gate)
    id = await queued(sessions)
    running = asyncio.create_task(worker.run())
    await gate.inside.acquire()
    stopping = asyncio.create_task(worker.stop(patience=60))
    await asyncio.sleep(0)
    gate.open.set()
    await stopping
    await running
    assert await state(sessions, id) is JobState.DONE


async def test_a_job_that_was_to_stop_is_not_given_back(sessions: Sessions) -> None:
    gate = Gate()
    worker = a_worker(sessions, gate)
    id = await queued(sessions)
    running = asyncio.create_task(worker.run())
    await gate.inside.acquire()
    await cancel(sessions, id)
    await worker.stop(patience=0.01)
    await running
    assert await state(sessions, id) is JobState.CANCELLED


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 10, 20, 40])
async def test_nothing_is_under_way_once_a_worker_has_stopped(
    sessions: Sessions, turns: int
) -> None:
    """However far the claim was when it was told to stop."""
    id = await queued(sessions)
    worker = a_worker(sessions, Gate())
    running = asyncio.create_task(worker.run())
    for _ in range(turns):
        await asyncio.sleep(0.0005)
    await worker.stop(patience=0.01)
    job = await the(sessions, id)
    assert (job.state, job.attempts) == (JobState.QUEUED, 0)
    await running
    assert await state(sessions, id) is JobState.QUEUED


async def test_an_outage_while_recording_leaves_the_job_to_its_lease(sessions: Sessions) -> None:
    clock = MovingClock()
    id = await queued(sessions)
    away = Away(sessions)

    async def lose_it(job: JobContext) -> None:
        away.gone = True

    assert await Worker(away, {KIND: lose_it}, clock=clock, lease=SHORT).run_one()
    assert await state(sessions, id) is JobState.RUNNING
    clock.move(seconds=31)
    worker = a_worker(sessions, clock=clock)
    await worker.tend()
    assert await worker.run_one()
    assert await state(sessions, id) is JobState.DONE


async def test_a_worker_outlives_an_outage(sessions: Sessions) -> None:
    away = Away(sessions)
    away.gone = True
    gate = Gate()
    worker = Worker(away, {KIND: gate})
    with pytest.raises(MaestroError):
        await worker.run_one()
    id = await queued(sessions)
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(0.05)
    away.gone = False
    await gate.inside.acquire()
    gate.open.set()
    await worker.stop()
    await running
    assert await state(sessions, id) is JobState.DONE
