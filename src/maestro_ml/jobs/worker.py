"""Claims due jobs and runs them, each outside of any transaction.

A claim is one conditional statement, so two workers never share a job. Whoever has one renews its
lease; when a worker dies, the lease runs out and the job is queued again. What a worker reports
counts only while the lease is its own, so nothing is recorded twice.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import ColumnElement, ScalarSelect, func, or_, select, update

from maestro_ml.core.clock import Clock, utc_now
from maestro_ml.core.errors import MaestroError, Unavailable
from maestro_ml.core.ids import new_id
from maestro_ml.db.work import Sessions, SystemWork, open_system_work
from maestro_ml.jobs import schedules
from maestro_ml.jobs.context import (
    LEASE,
    Derive,
    Handler,
    JobCancelled,
    JobContext,
    LeaseLost,
    held,
    no_secret,
)
from maestro_ml.jobs.models import ENDED, ERRANDS, HIDDEN, PLATFORM, Job, JobState
from maestro_ml.jobs.schedules import Every
from maestro_ml.jobs.service import facts_of
from maestro_ml.tenancy.models import Tenant, TenantStatus

log = structlog.get_logger()
POLL = 0.5  # seconds between looks at an empty queue
TEND = 5.0  # seconds between looks at leases and schedules
ERRANDS_AT_ONCE = 6
ERRANDS_OF_ONE = 2  # tenant
_CLAIMING = 0x6A6F6273  # the advisory lock of whoever claims: "jobs"
_DIED = "The worker that ran it ended without a word, too often."
_BROKE = "Something broke in it; the log says what, under the job's id."


class Worker:
    def __init__(
        self,
        sessions: Sessions,
        handlers: Mapping[str, Handler],
        *,
        every: Sequence[Every] = (),
        concurrency: int = 2,
        clock: Clock = utc_now,
        lease: timedelta = LEASE,
        derive: Derive = no_secret,
    ) -> None:
        self._sessions = sessions
        self._handlers = handlers
        self._every = every
        self._concurrency = concurrency
        self._clock = clock
        self._lease = lease
        self._derive = derive
        self._running: set[asyncio.Task[None]] = set()
        self._errands: set[asyncio.Task[None]] = set()  # of those
        self._taking = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._tended = 0.0

    async def run(self) -> None:
        """Until `stop`: take what is due, at most so many at a time."""
        while not self._stopping.is_set():
            async with self._taking:
                claimed = await self._next()
                if claimed is not None:
                    task = asyncio.create_task(self._work_on(claimed))
                    for kept in (self._running, *([self._errands] * (claimed.kind in ERRANDS))):
                        kept.add(task)
                        task.add_done_callback(kept.discard)
            if claimed is not None:
                continue
            if self._running and len(self._kinds_with_room()) < len(self._handlers):
                await asyncio.wait(self._running, timeout=POLL, return_when=asyncio.FIRST_COMPLETED)
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), POLL)

    def finish(self) -> None:
        """Take nothing more; what is under way goes on."""
        self._stopping.set()

    async def stop(self, patience: float = 5.0) -> None:
        """Take nothing more. What is under way has so many seconds, and is then given back."""
        self._stopping.set()
        async with self._taking:  # what is being claimed is under way as well
            pass
        if self._running:
            await asyncio.wait(self._running, timeout=patience)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def run_one(self) -> bool:
        """Run one due job to its end, good or bad. False: there is none."""
        claimed = await self._claim(list(self._handlers))
        if claimed is None:
            return False
        await self._work_on(claimed)
        return True

    async def tend(self) -> None:
        """Queue again what dead workers left, and what is scheduled for now."""
        await self._take_back()
        await schedules.queue_due(self._sessions, self._every, self._clock)

    async def _next(self) -> JobContext | None:
        now = asyncio.get_running_loop().time()
        try:
            if now - self._tended >= TEND:
                self._tended = now
                await self.tend()
            if kinds := self._kinds_with_room():
                return await self._claim(kinds)
        except MaestroError as away:  # the database; it comes back
            log.warning("jobs.queue_unreachable", reason=away.code)
        except Exception:  # the worker outlives its own mistakes, too
            log.exception("jobs.broken_loop")
        return None

    def _kinds_with_room(self) -> list[str]:
        """What waits for servers of others takes no place of what does not."""
        room = len(self._running) - len(self._errands) < self._concurrency
        room_out = len(self._errands) < ERRANDS_AT_ONCE
        return [kind for kind in self._handlers if (room_out if kind in ERRANDS else room)]

    async def _claim(self, kinds: Sequence[str]) -> JobContext | None:
        due = (Job.state == JobState.QUEUED) & Job.kind.in_(kinds)
        async with open_system_work(
            self._sessions, read_only=True, clock=self._clock
        ) as work:  # nothing waits, most of the time: no writer has to queue for that
            waiting = select(Job.id).where(due, Job.run_at <= work.now).limit(1)
            if await work.session.scalar(waiting) is None:
                return None
        active = select(Tenant.id).where(Tenant.status == TenantStatus.ACTIVE)
        free = active.where(_running(Job.kind.not_in(HIDDEN)) < Tenant.max_concurrent_jobs)
        patient = active.where(_running(Job.kind.in_(ERRANDS)) < ERRANDS_OF_ONE)
        lease_id = new_id()
        async with open_system_work(self._sessions, clock=self._clock) as work:
            if self._sessions.engines.dialect == "postgresql":
                # Two that count a tenant's jobs at once would both find room. SQLite's writers
                # come one by one.
                await work.session.execute(select(func.pg_advisory_xact_lock(_CLAIMING)))
            first = (
                select(Job.id)
                .where(
                    due,
                    Job.run_at <= work.now,
                    or_(
                        Job.kind.in_(PLATFORM),
                        Job.kind.not_in(HIDDEN) & Job.tenant_id.in_(free),
                        Job.kind.in_(ERRANDS) & Job.tenant_id.in_(patient),
                    ),
                )
                .order_by(Job.run_at, Job.id)
                .limit(1)
                .with_for_update(skip_locked=True)
                .scalar_subquery()
            )
            taken = await work.session.execute(
                update(Job)
                .where(Job.id == first, Job.state == JobState.QUEUED)
                .values(
                    state=JobState.RUNNING,
                    lease_id=lease_id,
                    lease_expires_at=work.now + self._lease,
                    attempts=Job.attempts + 1,
                    started_at=func.coalesce(Job.started_at, work.now),
                )
                .returning(
                    Job.id, Job.kind, Job.tenant_id, Job.payload, Job.attempts, Job.max_attempts
                )
                .execution_options(synchronize_session=False)
            )
            row = taken.one_or_none()
        if row is None:
            return None
        id, kind, tenant_id, payload, attempts, most = row
        return JobContext(
            id=id,
            kind=kind,
            tenant_id=tenant_id,
            payload=payload,
            lease_id=lease_id,
            attempt=attempts,
            max_attempts=most,
            sessions=self._sessions,
            clock=self._clock,
            lease=self._lease,
            derive=self._derive,
        )

    async def _work_on(self, job: JobContext) -> None:
        structlog.contextvars.bind_contextvars(job_id=str(job.id), tenant_id=str(job.tenant_id))
        handling = asyncio.ensure_future(self._handlers[job.kind](job))
        beating = asyncio.create_task(self._beat(job, handling))
        try:
            await handling
            news: dict[str, Any] = {"state": JobState.DONE, "progress": 1.0, "result": job.result}
            news["error"] = None
        except JobCancelled:
            news = {"state": JobState.CANCELLED}
        except LeaseLost:
            log.warning("jobs.lease_lost", kind=job.kind)
            return
        except asyncio.CancelledError:
            if _cancelled():  # the worker ends: the job is given back as it was
                await self._record(job, {"state": JobState.QUEUED, "attempts": Job.attempts - 1})
                raise
            why = beating.result() if beating.done() else None
            if why is LeaseLost:
                return
            if why is JobCancelled:
                news = {"state": JobState.CANCELLED}
            else:  # the handler itself waited for what was cancelled
                log.exception("jobs.broken", kind=job.kind)
                news = self._failed(job, _BROKE)
        except MaestroError as expected:
            news = self._failed(job, expected.detail)
        except Exception:  # the worker outlives every handler
            log.exception("jobs.broken", kind=job.kind)
            news = self._failed(job, _BROKE)
        finally:
            beating.cancel()
        try:
            await self._record(job, news)
        except Exception:  # a result that the database cannot hold
            log.exception("jobs.broken", kind=job.kind)
            await self._record(job, self._failed(job, _BROKE))

    async def _beat(
        self, job: JobContext, handling: asyncio.Future[None]
    ) -> type[Exception] | None:
        """Renew the lease until the handler ends; or stop the handler, and say why."""
        while not handling.done():
            await asyncio.sleep(self._lease.total_seconds() / 3)
            try:
                await job.heartbeat()
            except (JobCancelled, LeaseLost) as why:
                handling.cancel()
                return type(why)
            except MaestroError as away:
                log.warning("jobs.heartbeat_failed", reason=away.code)
            except Exception:  # the lease lasts for another two
                log.exception("jobs.broken_heartbeat")
        return None

    def _failed(self, job: JobContext, why: str) -> dict[str, Any]:
        again = job.again_at()
        if again is None:
            return {"state": JobState.FAILED, "error": why}
        return {"state": JobState.QUEUED, "error": why, "run_at": again}

    async def _record(self, job: JobContext, news: dict[str, Any]) -> None:
        """Write down how it went, as often as the lease leaves time for; after that the job is
        run again."""
        until = self._clock() + self._lease
        while True:
            if await self._recorded(job, news) or self._clock() >= until:
                return
            await asyncio.sleep(POLL)

    async def _recorded(self, job: JobContext, news: dict[str, Any]) -> bool:
        free: dict[str, Any] = {"lease_id": None, "lease_expires_at": None}
        ended = free | {"finished_at": self._clock(), "dedup_key": None}
        outcomes = [(held(job), news | (free if news["state"] is JobState.QUEUED else ended))]
        if news["state"] is JobState.QUEUED:  # unless it was asked to stop meanwhile
            stopped = ended | {"state": JobState.CANCELLED}
            outcomes.insert(0, (held(job) & Job.cancel_requested, stopped))
        try:
            async with open_system_work(self._sessions, clock=self._clock) as work:
                for which, values in outcomes:
                    kept = await work.session.scalar(
                        update(Job)
                        .where(which)
                        .values(values)
                        .returning(Job)
                        .execution_options(synchronize_session=False)
                    )
                    if kept is not None:
                        await _tell(work, kept)
                        break
        except Unavailable as away:
            log.warning("jobs.record_failed", kind=job.kind, reason=away.code)
            return False
        if kept is None:
            log.warning("jobs.lease_lost", kind=job.kind)
        else:
            log.info("jobs.attempted", kind=job.kind, state=str(kept.state), attempt=job.attempt)
        return True

    async def _take_back(self) -> None:
        left = (Job.state == JobState.RUNNING) & (Job.lease_expires_at < self._clock())
        async with open_system_work(self._sessions, read_only=True, clock=self._clock) as work:
            if await work.session.scalar(select(Job.id).where(left).limit(1)) is None:
                return
        async with open_system_work(self._sessions, clock=self._clock) as work:
            free: dict[str, Any] = {"lease_id": None, "lease_expires_at": None}
            gone = free | {"finished_at": work.now, "dedup_key": None}
            for which, values in (
                (Job.cancel_requested, gone | {"state": JobState.CANCELLED}),
                (
                    Job.attempts >= Job.max_attempts,
                    gone | {"state": JobState.FAILED, "error": _DIED},
                ),
                (
                    Job.attempts < Job.max_attempts,
                    free | {"state": JobState.QUEUED, "run_at": work.now},
                ),
            ):
                changed = await work.session.scalars(
                    update(Job)
                    .where(left, which)
                    .values(values)
                    .returning(Job)
                    .execution_options(synchronize_session=False)
                )
                for job in changed.all():
                    await _tell(work, job)


def _running(kinds: ColumnElement[bool]) -> ScalarSelect[int]:
    """How many of these a tenant has under way."""
    return (
        select(func.count())
        .select_from(Job)
        .where(Job.tenant_id == Tenant.id, Job.state == JobState.RUNNING, kinds)
        .correlate(Tenant)
        .scalar_subquery()
    )


async def _tell(work: SystemWork, job: Job) -> None:
    """Whoever listens hears of the end of a job that people see."""
    if job.state in ENDED and job.kind not in HIDDEN:
        await work.tell(job.tenant_id, "job.finished", **facts_of(job))


def _cancelled() -> bool:
    """Somebody cancelled this very task, and not what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
