"""Jobs of the tiny world, straight on the queue, and handlers and workers for them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import update

from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.jobs import service
from maestro_ml.jobs.context import Handler, JobContext
from maestro_ml.jobs.models import Job, JobState
from maestro_ml.jobs.worker import Worker
from maestro_ml.tenancy.models import Tenant
from support.world import ACME, caller

KIND = "a.job"
SHORT = timedelta(milliseconds=60)  # a lease whose heartbeats come quickly


async def queued(sessions: Sessions, tenant: UUID = ACME, **more: Any) -> UUID:
    async with open_work(sessions, caller(tenant=tenant)) as work:
        return (await service.enqueue(work, KIND, {"n": 1}, **more)).id


async def the(sessions: Sessions, id: UUID) -> Job:
    async with sessions.begin(SYSTEM, read_only=True) as session:
        return await session.get_one(Job, id)


async def state(sessions: Sessions, id: UUID) -> JobState:
    return (await the(sessions, id)).state


async def change(sessions: Sessions, id: UUID, **values: Any) -> None:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(Job).where(Job.id == id).values(**values))


async def cancel(sessions: Sessions, id: UUID) -> Job:
    async with open_work(sessions, caller()) as work:
        return await service.cancel(work, id)


async def limit(sessions: Sessions, tenant: UUID, **values: Any) -> None:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(Tenant).where(Tenant.id == tenant).values(**values))


async def nothing(job: JobContext) -> None:
    """Done at once."""


def failing(error: Exception) -> Handler:
    async def fail(job: JobContext) -> None:
        raise error

    return fail


class Gate:
    """A handler that waits until it is let on."""

    def __init__(self, then: Callable[[JobContext], Awaitable[None]] = nothing) -> None:
        self.inside, self.open = asyncio.Semaphore(0), asyncio.Event()
        self.then = then

    async def __call__(self, job: JobContext) -> None:
        self.inside.release()
        await self.open.wait()
        await self.then(job)


def a_worker(sessions: Sessions, handler: Handler = nothing, **options: Any) -> Worker:
    return Worker(sessions, {KIND: handler}, **options)
