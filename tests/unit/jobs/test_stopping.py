"""Jobs that somebody stops, before they begin and while they run."""

import asyncio

import pytest
from sqlalchemy import select

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.errors import Unavailable
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.jobs.context import JobContext
from maestro_ml.jobs.errors import JobEnded
from maestro_ml.jobs.models import JobState
from support import caller
from support.jobs import SHORT, Gate, a_worker, cancel, queued, state, the


async def test_a_job_that_waits_is_cancelled_at_once(sessions: Sessions) -> None:
    id = await queued(sessions)
    job = await cancel(sessions, id)
    assert job.state is JobState.CANCELLED
    assert job.finished_at is not None
    assert not await a_worker(sessions).run_one()
    with pytest.raises(JobEnded):
        await cancel(sessions, id)


async def test_a_running_job_stops_at_its_next_step(sessions: Sessions) -> None:
    steps: list[int] = []

    async def work_on(job: JobContext) -> None:
        for step in range(3):
            steps.append(step)
            await job.progress(step / 3)
            if step == 0:
                assert (await cancel(sessions, job.id)).state is JobState.RUNNING
                await cancel(sessions, job.id)  # asking twice is asking once

    id = await queued(sessions)
    await a_worker(sessions, work_on).run_one()
    assert steps == [0, 1]
    job = await the(sessions, id)
    assert (job.state, job.error) == (JobState.CANCELLED, None)
    assert (job.lease_id, job.finished_at is None) == (None, False)
    async with open_work(sessions, caller()) as work:
        trail = await work.session.scalars(select(AuditEvent.action))
        assert trail.all() == ["job.cancel_requested"]


async def test_a_job_that_never_reports_is_stopped_all_the_same(sessions: Sessions) -> None:
    gate = Gate()
    id = await queued(sessions)
    running = asyncio.create_task(a_worker(sessions, gate, lease=SHORT).run_one())
    await gate.inside.acquire()
    await cancel(sessions, id)
    assert await running
    assert await state(sessions, id) is JobState.CANCELLED


async def test_a_job_that_fails_after_it_was_to_stop_is_not_tried_again(sessions: Sessions) -> None:
    async def fail(job: JobContext) -> None:
        await cancel(sessions, job.id)
        raise Unavailable("The store does not answer.")

    id = await queued(sessions, dedup_key="k")
    await a_worker(sessions, fail).run_one()
    job = await the(sessions, id)
    assert (job.state, job.dedup_key) == (JobState.CANCELLED, None)


async def test_a_job_that_ends_before_it_hears_is_done(sessions: Sessions) -> None:
    async def finish(job: JobContext) -> None:
        await cancel(sessions, job.id)

    id = await queued(sessions)
    await a_worker(sessions, finish).run_one()
    assert await state(sessions, id) is JobState.DONE
