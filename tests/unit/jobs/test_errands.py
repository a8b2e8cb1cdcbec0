"""What waits for servers of others takes no place of what does not, nor all that there are."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import UUID

from maestro_ml.db.work import Sessions, open_work
from maestro_ml.jobs import worker
from maestro_ml.jobs.context import Handler
from maestro_ml.jobs.models import ERRANDS, JobState
from maestro_ml.jobs.service import enqueue_internal
from maestro_ml.jobs.worker import Worker
from support.jobs import KIND, Gate, queued, state
from support.world import ACME, OTHER, caller

(ERRAND,) = ERRANDS


async def test_slow_receivers_keep_no_other_job_waiting(sessions: Sessions) -> None:
    errand, job = Gate(), Gate()
    async with at_work(sessions, {ERRAND: errand, KIND: job}, concurrency=1):
        await errands(sessions, worker.ERRANDS_OF_ONE + 1)
        for _ in range(worker.ERRANDS_OF_ONE):
            await errand.inside.acquire()
        id = await queued(sessions)
        await job.inside.acquire()
        assert await state(sessions, id) is JobState.RUNNING
        job.open.set()
        errand.open.set()
        await errand.inside.acquire()  # the one that had to wait for its tenant's others


async def test_a_tenant_whose_receivers_are_slow_keeps_no_other_tenants_waiting(
    sessions: Sessions,
) -> None:
    errand = Gate()
    async with at_work(sessions, {ERRAND: errand}):
        await errands(sessions, worker.ERRANDS_OF_ONE + 3)
        for _ in range(worker.ERRANDS_OF_ONE):
            await errand.inside.acquire()
        await errands(sessions, 1, tenant=OTHER)
        await errand.inside.acquire()
        assert not errand.inside._value
        errand.open.set()


async def test_a_worker_that_is_full_of_jobs_still_delivers(sessions: Sessions) -> None:
    errand, job = Gate(), Gate()
    errand.open.set()
    async with at_work(sessions, {ERRAND: errand, KIND: job}, concurrency=1):
        await queued(sessions)
        await job.inside.acquire()
        await errands(sessions, 3)
        for _ in range(3):
            await errand.inside.acquire()
        job.open.set()


@asynccontextmanager
async def at_work(
    sessions: Sessions, handlers: Mapping[str, Handler], concurrency: int = 2
) -> AsyncIterator[None]:
    worker = Worker(sessions, handlers, concurrency=concurrency)
    working = asyncio.create_task(worker.run())
    yield
    await worker.stop()
    await working


async def errands(sessions: Sessions, count: int, tenant: UUID = ACME) -> None:
    for _ in range(count):
        async with open_work(sessions, caller(tenant=tenant)) as work:
            await enqueue_internal(work, ERRAND, {}, max_attempts=1)
