"""Jobs outlive the process that runs them: none is lost, and none counts twice."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from sqlalchemy import select

from maestro_ml.audit.models import AuditEvent
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.jobs.models import Job, JobState
from maestro_ml.jobs.service import enqueue
from support import caller
from support.job_worker import ATTEMPTED, CONCURRENCY, KIND, Workers, kill

PATIENCE = 60


async def queued(sessions: Sessions, count: int, hang: int = 0) -> list[UUID]:
    async with open_work(sessions, caller()) as work:
        payload = {"hang": hang}
        return [(await enqueue(work, KIND, payload, max_attempts=20)).id for _ in range(count)]


async def jobs(sessions: Sessions) -> list[Job]:
    async with sessions.begin(SYSTEM, read_only=True) as session:
        return list(await session.scalars(select(Job).order_by(Job.id)))


async def attempts(sessions: Sessions) -> list[tuple[UUID, int]]:
    """Job and attempt, as each began, the jobs in order."""
    async with sessions.begin(SYSTEM, read_only=True) as session:
        query = select(AuditEvent.target_id, AuditEvent.facts).where(AuditEvent.action == ATTEMPTED)
        return sorted((UUID(id), facts["attempt"]) for id, facts in await session.execute(query))


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await true():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)


@pytest.mark.rows(77)
async def test_each_job_ends_once_whoever_is_killed(database: str, sessions: Sessions) -> None:
    before = await queued(sessions, 3)
    stuck = await queued(sessions, CONCURRENCY, hang=1)
    after = await queued(sessions, 30)

    async def is_stuck() -> bool:
        begun = await attempts(sessions)
        ended = [job.id for job in await jobs(sessions) if job.state is JobState.DONE]
        return {(id, 1) for id in stuck} <= set(begun) and ended == before

    async def goes_on() -> bool:
        return len({id for id, _ in await attempts(sessions)} & set(after)) >= 10

    async def is_done() -> bool:
        return {job.state for job in await jobs(sessions)} == {JobState.DONE}

    with Workers(database) as workers:
        first = workers.start()
        await until(is_stuck)
        kill(first)
        left = {job.id: job.state for job in await jobs(sessions)}
        assert {left[id] for id in stuck} == {JobState.RUNNING}
        assert {left[id] for id in after} == {JobState.QUEUED}
        second, third = workers.start(), workers.start()
        await until(goes_on)
        kill(second)
        await until(is_done)

    every, begun = await jobs(sessions), await attempts(sessions)
    assert [job.id for job in every] == [*before, *stuck, *after]
    assert len(begun) == len(set(begun)), "an attempt was made twice"
    assert [one for one in begun if one[0] in before] == [(id, 1) for id in before]
    for job in every:
        assert job.attempts > (job.id in stuck)
        assert job.result is not None
        assert job.result["attempt"] == job.attempts
        assert (job.id, job.attempts) in begun
        assert job.result["pid"] in ({first} if job.id in before else {second, third})
        assert (job.lease_id, job.error, job.progress) == (None, None, 1.0)
