"""Leases: a dead worker's job is taken back, and a late worker records nothing."""

import asyncio
from datetime import timedelta

import pytest

from maestro_ml.core.clock import utc_now
from maestro_ml.core.errors import Conflict
from maestro_ml.core.ids import new_id
from maestro_ml.db.work import Sessions
from maestro_ml.jobs.context import Handler, JobContext, LeaseLost
from maestro_ml.jobs.models import JobState
from support.jobs import SHORT, Gate, a_worker, cancel, change, failing, nothing, queued, state, the
from support.signin import MovingClock


async def claim_and_die(sessions: Sessions, clock: MovingClock) -> None:
    """A worker claims a job and is heard of no more: its end is recorded under a lost lease."""

    async def die(job: JobContext) -> None:
        real = job.lease_id
        job.lease_id = new_id()
        assert real != job.lease_id

    assert await a_worker(sessions, die, clock=clock).run_one()


async def test_a_dead_workers_job_is_taken_back_and_its_late_end_is_not_recorded(
    sessions: Sessions,
) -> None:
    clock = MovingClock()
    slow, quick = Gate(), a_worker(sessions, clock=clock)

    async def late(job: JobContext) -> None:
        await slow(job)
        job.result = {"by": "the late one"}

    id = await queued(sessions)
    running = asyncio.create_task(a_worker(sessions, late, clock=clock).run_one())
    await slow.inside.acquire()
    await quick.tend()
    assert await state(sessions, id) is JobState.RUNNING
    clock.move(seconds=31)
    await quick.tend()
    assert await state(sessions, id) is JobState.QUEUED
    assert await quick.run_one()
    slow.open.set()
    assert await running
    job = await the(sessions, id)
    assert (job.state, job.result, job.attempts) == (JobState.DONE, None, 2)


@pytest.mark.parametrize("end", [nothing, failing(Conflict("Late.")), failing(ValueError())])
async def test_who_lost_the_lease_records_nothing(sessions: Sessions, end: Handler) -> None:
    async def lose(job: JobContext) -> None:
        await change(sessions, job.id, lease_id=new_id(), message="The other one's")
        await end(job)

    id = await queued(sessions)
    await a_worker(sessions, lose).run_one()
    job = await the(sessions, id)
    assert (job.state, job.message, job.error) == (JobState.RUNNING, "The other one's", None)


async def test_who_lost_the_lease_hears_of_it_at_the_next_step(sessions: Sessions) -> None:
    heard: list[bool] = []

    async def lose(job: JobContext) -> None:
        await change(sessions, job.id, lease_id=new_id())
        with pytest.raises(LeaseLost):
            await job.progress(0.9, "Mine")
        heard.append(True)
        await job.heartbeat()

    id = await queued(sessions)
    await a_worker(sessions, lose).run_one()
    job = await the(sessions, id)
    assert (job.state, job.progress, job.message, heard) == (JobState.RUNNING, 0.0, None, [True])


async def test_who_lost_the_lease_and_never_reports_is_stopped(sessions: Sessions) -> None:
    gate = Gate()
    id = await queued(sessions)
    running = asyncio.create_task(a_worker(sessions, gate, lease=SHORT).run_one())
    await gate.inside.acquire()
    await change(sessions, id, lease_id=new_id())
    assert await running
    assert await state(sessions, id) is JobState.RUNNING


async def test_a_living_worker_keeps_its_job_longer_than_a_lease(sessions: Sessions) -> None:
    gate, other = Gate(), a_worker(sessions)
    id = await queued(sessions)
    lease = timedelta(seconds=0.9)
    running = asyncio.create_task(a_worker(sessions, gate, lease=lease).run_one())
    await gate.inside.acquire()
    first = (await the(sessions, id)).lease_expires_at
    assert first is not None
    while utc_now() <= first:
        await other.tend()
        await asyncio.sleep(0.05)
    await other.tend()
    assert await state(sessions, id) is JobState.RUNNING
    gate.open.set()
    await running
    assert (await the(sessions, id)).attempts == 1


async def test_a_job_whose_workers_die_too_often_fails(sessions: Sessions) -> None:
    id = await queued(sessions, max_attempts=2, dedup_key="k")
    clock = MovingClock()
    worker = a_worker(sessions, clock=clock)
    for expected in (JobState.QUEUED, JobState.FAILED):
        await claim_and_die(sessions, clock)
        clock.move(seconds=31)
        await worker.tend()
        assert await state(sessions, id) is expected
    job = await the(sessions, id)
    assert job.error == "The worker that ran it ended without a word, too often."
    assert (job.dedup_key, job.lease_id, job.finished_at is None) == (None, None, False)


async def test_a_dead_workers_job_that_was_to_stop_is_cancelled(sessions: Sessions) -> None:
    id = await queued(sessions)
    clock = MovingClock()
    await claim_and_die(sessions, clock)
    await cancel(sessions, id)
    clock.move(seconds=31)
    await a_worker(sessions, clock=clock).tend()
    assert await state(sessions, id) is JobState.CANCELLED
