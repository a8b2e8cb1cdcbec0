"""What comes again: queued when it is due, once, and forgotten with its declaration."""

import asyncio
from datetime import timedelta

from sqlalchemy import select

from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.jobs import schedules
from maestro_ml.jobs.models import Job, JobState, Schedule
from maestro_ml.jobs.schedules import Every
from maestro_ml.jobs.worker import Worker
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID
from support.jobs import KIND, a_worker
from support.signin import MovingClock

DAILY = (Every(KIND, timedelta(days=1)),)


async def scheduled(sessions: Sessions) -> list[JobState]:
    async with sessions.begin(SYSTEM, read_only=True) as session:
        query = select(Job.state).where(Job.tenant_id == DEFAULT_TENANT_ID, Job.kind == KIND)
        return list(await session.scalars(query.order_by(Job.id)))


async def plan(sessions: Sessions) -> dict[str, Schedule]:
    async with sessions.begin(SYSTEM, read_only=True) as session:
        return {one.kind: one for one in await session.scalars(select(Schedule))}


async def test_what_is_due_is_queued_once_by_two_workers_and_moved_on(sessions: Sessions) -> None:
    clock = MovingClock()
    workers = [a_worker(sessions, every=DAILY, clock=clock) for _ in range(2)]
    await schedules.declare(sessions, DAILY, clock)

    async def look(worker: Worker) -> None:
        await worker.tend()
        await worker.run_one()

    await asyncio.gather(*(look(worker) for worker in workers for _ in range(4)))
    assert await scheduled(sessions) == [JobState.DONE]
    assert (await plan(sessions))[KIND].next_run_at > clock() + timedelta(hours=23)
    clock.move(hours=23)
    await workers[0].tend()
    assert await scheduled(sessions) == [JobState.DONE]
    clock.move(hours=2)
    await asyncio.gather(*(worker.tend() for worker in workers))
    assert await scheduled(sessions) == [JobState.DONE, JobState.QUEUED]


async def test_what_has_not_ended_is_not_queued_again(sessions: Sessions) -> None:
    clock = MovingClock()
    worker = a_worker(sessions, every=DAILY, clock=clock)
    await schedules.declare(sessions, DAILY, clock)
    for _ in range(3):
        await worker.tend()
        clock.move(days=2)
    assert await scheduled(sessions) == [JobState.QUEUED]


async def test_what_is_declared_no_more_is_forgotten(sessions: Sessions) -> None:
    clock = MovingClock()
    await schedules.declare(sessions, (*DAILY, Every("old.job", timedelta(hours=1))), clock)
    before = (await plan(sessions))[KIND].next_run_at
    clock.move(hours=1)
    await schedules.declare(sessions, (Every(KIND, timedelta(hours=5)),), clock)
    now = await plan(sessions)
    assert set(now) == {KIND}
    assert (now[KIND].next_run_at, now[KIND].every_seconds) == (before, 5 * 3600)
    await schedules.declare(sessions, (), clock)
    assert await plan(sessions) == {}
