"""Claims: one worker has a job, and one tenant only so many at once."""

import asyncio
from collections import Counter
from uuid import UUID

from sqlalchemy import func, select

from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.jobs.context import JobContext
from maestro_ml.jobs.models import Job, JobState
from maestro_ml.jobs.worker import Worker
from maestro_ml.tenancy.models import TenantStatus
from support import ACME, OTHER
from support.jobs import Gate, a_worker, change, limit, queued, state


async def test_two_workers_never_share_a_job(sessions: Sessions) -> None:
    await limit(sessions, ACME, max_concurrent_jobs=100)
    ids = [await queued(sessions) for _ in range(40)]
    ran: Counter[UUID] = Counter()

    async def count(job: JobContext) -> None:
        ran[job.id] += 1
        await asyncio.sleep(0)

    async def loop() -> None:
        worker = a_worker(sessions, count)
        while await worker.run_one():
            pass

    await asyncio.gather(*(loop() for _ in range(10)))
    assert ran == Counter(dict.fromkeys(ids, 1))
    async with sessions.begin(SYSTEM, read_only=True) as session:
        query = select(Job.state, Job.attempts, func.count()).group_by(Job.state, Job.attempts)
        assert [tuple(row) for row in await session.execute(query)] == [("done", 1, 40)]


async def test_a_tenant_has_so_many_jobs_at_once_and_others_go_on(sessions: Sessions) -> None:
    await limit(sessions, ACME, max_concurrent_jobs=2)
    for _ in range(5):
        await queued(sessions)
    running = most = 0

    async def wait(job: JobContext) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate(job)
        running -= 1

    gate = Gate()
    worker = a_worker(sessions, wait)
    claims = [asyncio.create_task(worker.run_one()) for _ in range(8)]
    await gate.inside.acquire()
    await gate.inside.acquire()
    idle, _ = await asyncio.wait(claims, return_when=asyncio.FIRST_COMPLETED)
    while len(idle) < 6:
        idle, _ = await asyncio.wait(claims, timeout=0.01)
        assert most == 2
    assert {one.result() for one in idle} == {False}
    other = await queued(sessions, OTHER)
    assert await a_worker(sessions).run_one()
    assert await state(sessions, other) is JobState.DONE
    gate.open.set()
    assert (await asyncio.gather(*claims)).count(True) == 2
    while await worker.run_one():
        pass
    assert (running, most) == (0, 2)


async def test_a_suspended_tenants_jobs_wait(sessions: Sessions) -> None:
    id = await queued(sessions)
    await limit(sessions, ACME, status=TenantStatus.SUSPENDED)
    assert not await a_worker(sessions).run_one()
    await limit(sessions, ACME, status=TenantStatus.ACTIVE)
    assert await a_worker(sessions).run_one()
    assert await state(sessions, id) is JobState.DONE


async def test_the_platforms_own_jobs_take_no_tenants_turn(sessions: Sessions) -> None:
    await limit(sessions, ACME, max_concurrent_jobs=1)
    own = await queued(sessions)
    await change(sessions, own, kind="jobs.prune")
    gate = Gate()
    at_it = asyncio.create_task(Worker(sessions, {"jobs.prune": gate}).run_one())
    await gate.inside.acquire()
    id = await queued(sessions)
    assert await a_worker(sessions).run_one()
    assert await state(sessions, id) is JobState.DONE
    gate.open.set()
    assert await at_it
