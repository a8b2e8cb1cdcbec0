"""Jobs: on the queue, claimed, run, tried again, taken back, stopped; and what comes again."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from structlog.testing import capture_logs

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Access, Role
from maestro_ml.core.clock import utc_now
from maestro_ml.core.errors import Conflict, MaestroError, Unavailable
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, Work, open_work
from maestro_ml.identity import handlers as identity_handlers
from maestro_ml.identity.models import RefreshToken, Session, SessionKind
from maestro_ml.jobs import handlers, schedules, service
from maestro_ml.jobs.context import Handler, JobContext, LeaseLost
from maestro_ml.jobs.errors import JobEnded
from maestro_ml.jobs.models import Job, JobState, Schedule
from maestro_ml.jobs.schedules import Every
from maestro_ml.jobs.worker import Worker
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID, Tenant, TenantStatus
from support import ACME, LAB, OTHER, USERS, caller
from support.signin import MovingClock

KIND = "a.job"
SHORT = timedelta(milliseconds=60)  # a lease whose heartbeats come quickly


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as logs:
        yield logs


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


# The queue


async def test_a_job_is_committed_or_vanishes_with_its_cause(sessions: Sessions) -> None:
    with pytest.raises(Conflict):
        async with open_work(sessions, caller()) as work:
            await service.enqueue(work, KIND, {})
            raise Conflict("No.")
    assert not await a_worker(sessions).run_one()
    id = await queued(sessions, project_id=LAB)
    job = await the(sessions, id)
    assert (job.tenant_id, job.project_id, job.payload) == (ACME, LAB, {"n": 1})
    assert job.created_by == USERS[ACME, Role.ADMIN]
    assert await a_worker(sessions).run_one()
    assert await state(sessions, id) is JobState.DONE


async def test_what_the_platform_enqueues_is_nobodys(sessions: Sessions) -> None:
    async with open_work(sessions, Access.system(ACME)) as work:
        assert (await service.enqueue(work, KIND, {})).created_by is None


async def test_a_job_for_later_waits(sessions: Sessions) -> None:
    clock = MovingClock()
    await queued(sessions, run_at=utc_now() + timedelta(hours=1))
    worker = a_worker(sessions, clock=clock)
    assert not await worker.run_one()
    clock.move(minutes=61)
    assert await worker.run_one()


async def test_a_kind_that_nobody_handles_waits(sessions: Sessions) -> None:
    id = await queued(sessions)
    assert not await Worker(sessions, {"another.job": nothing}).run_one()
    assert await state(sessions, id) is JobState.QUEUED


async def test_the_handler_is_told_what_to_do_and_for_whom(sessions: Sessions) -> None:
    seen: list[tuple[object, ...]] = []

    async def look(job: JobContext) -> None:
        async with job.open_work() as work:
            seen.append((work.tenant_id, work.access.kind, job.payload, job.attempt))
        job.result = {"rows": 3}

    id = await queued(sessions, OTHER)
    await a_worker(sessions, look).run_one()
    assert seen == [(OTHER, "system", {"n": 1}, 1)]
    job = await the(sessions, id)
    assert (job.state, job.result, job.progress, job.attempts) == ("done", {"rows": 3}, 1.0, 1)
    assert job.started_at is not None
    assert job.finished_at is not None
    assert (job.lease_id, job.lease_expires_at, job.error) == (None, None, None)


async def test_a_key_gives_the_same_job_until_it_ends(sessions: Sessions) -> None:
    first = await queued(sessions, dedup_key="k")
    assert await queued(sessions, dedup_key="k") == first
    assert await queued(sessions, OTHER, dedup_key="k") != first
    assert await queued(sessions, dedup_key="other") != first

    async def again(job: JobContext) -> None:
        if job.id == first:
            assert await queued(sessions, dedup_key="k") == first

    worker = a_worker(sessions, again)
    while await worker.run_one():
        pass
    assert await state(sessions, first) is JobState.DONE
    second = await queued(sessions, dedup_key="k")
    assert second != first
    await cancel(sessions, second)
    assert await queued(sessions, dedup_key="k") != second


async def test_a_failure_keeps_its_key_until_the_last(sessions: Sessions) -> None:
    id = await queued(sessions, dedup_key="k", max_attempts=2)
    clock = MovingClock()
    worker = a_worker(sessions, failing(Conflict("No.")), clock=clock)
    await worker.run_one()
    assert await queued(sessions, dedup_key="k") == id
    clock.move(hours=2)
    await worker.run_one()
    assert await queued(sessions, dedup_key="k") != id


async def test_many_who_enqueue_with_a_key_at_once_get_one_job(sessions: Sessions) -> None:
    ids = await asyncio.gather(*(queued(sessions, dedup_key="k") for _ in range(8)))
    assert len(set(ids)) == 1


async def test_events_reach_who_listens_in_the_same_work(sessions: Sessions) -> None:
    async def listen(work: Work, event: str, facts: Mapping[str, Any]) -> None:
        await service.enqueue(work, KIND, {"event": event, **facts})

    heard = Sessions(sessions.engines, (listen,))
    async with open_work(heard, caller()) as work:
        await service.publish(work, "run.finished", run="r")
        job = (await work.session.scalars(select(Job))).one()
    assert job.payload == {"event": "run.finished", "run": "r"}


# Claiming


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


# Failing


async def test_a_failing_job_is_tried_later_and_later_and_then_left(
    sessions: Sessions, logs: list[MutableMapping[str, Any]]
) -> None:
    clock = MovingClock()
    worker = a_worker(sessions, failing(ValueError("boom at 0x7f")), clock=clock)
    id = await queued(sessions, max_attempts=4)
    waits: list[timedelta] = []
    for attempt in range(1, 4):
        before = clock()
        assert await worker.run_one()
        job = await the(sessions, id)
        assert (job.state, job.attempts, job.finished_at) == (JobState.QUEUED, attempt, None)
        waits.append(job.run_at - before)
        assert not await worker.run_one()
        clock.move(hours=2)
    assert waits[0] >= timedelta(seconds=5)
    assert waits == sorted(waits)
    assert await worker.run_one()
    job = await the(sessions, id)
    assert (job.state, job.attempts) == (JobState.FAILED, 4)
    assert job.finished_at is not None
    assert job.error is not None
    assert job.error.endswith(".")
    assert not {"ValueError", "boom", "Traceback"} & set(job.error.replace(",", " ").split())
    assert [one.get("exc_info") for one in logs if one["event"] == "jobs.broken"] == [True] * 4
    clock.move(days=2)
    assert not await worker.run_one()


async def test_the_longest_wait_is_an_hour_and_a_bit(sessions: Sessions) -> None:
    clock = MovingClock()
    id = await queued(sessions, max_attempts=1000)
    await change(sessions, id, attempts=900)
    before = clock()
    await a_worker(sessions, failing(ValueError()), clock=clock).run_one()
    wait = (await the(sessions, id)).run_at - before
    assert timedelta(hours=1) <= wait < timedelta(hours=1.5)


async def test_an_expected_failure_is_told_in_its_own_words(sessions: Sessions) -> None:
    id = await queued(sessions, max_attempts=1)
    await a_worker(sessions, failing(Conflict("The data set has no column `y`."))).run_one()
    job = await the(sessions, id)
    assert (job.state, job.error) == (JobState.FAILED, "The data set has no column `y`.")


async def test_what_succeeds_in_the_end_has_no_error(sessions: Sessions) -> None:
    clock = MovingClock()

    async def second_time(job: JobContext) -> None:
        if job.attempt == 1:
            raise Unavailable("The store does not answer.")

    worker = a_worker(sessions, second_time, clock=clock)
    id = await queued(sessions)
    await worker.run_one()
    assert (await the(sessions, id)).error == "The store does not answer."
    clock.move(minutes=1)
    await worker.run_one()
    job = await the(sessions, id)
    assert (job.state, job.attempts, job.error) == (JobState.DONE, 2, None)


@pytest.mark.parametrize("result", [{"at": datetime(2026, 1, 1, tzinfo=UTC)}, {"of": {1}}])
async def test_a_result_that_cannot_be_stored_is_a_failure(
    sessions: Sessions, result: dict[str, Any]
) -> None:
    async def answer(job: JobContext) -> None:
        job.result = result

    id = await queued(sessions, max_attempts=1)
    await a_worker(sessions, answer).run_one()
    assert await state(sessions, id) is JobState.FAILED


async def test_a_handler_that_waits_for_what_was_cancelled_has_failed(sessions: Sessions) -> None:
    async def stumble(job: JobContext) -> None:
        raise asyncio.CancelledError

    id = await queued(sessions, max_attempts=1)
    assert await a_worker(sessions, stumble).run_one()
    assert await state(sessions, id) is JobState.FAILED


# Progress


@pytest.mark.parametrize(
    ("told", "kept"),
    [(0.25, 0.25), (-1.0, 0.0), (7.0, 1.0), (float("inf"), 1.0), (float("nan"), 0.0)],
)
async def test_progress_is_kept_between_nothing_and_all(
    sessions: Sessions, told: float, kept: float
) -> None:
    seen: list[Job] = []

    async def report(job: JobContext) -> None:
        await job.progress(told, "Reading rows")
        await job.heartbeat()
        seen.append(await the(sessions, job.id))

    await queued(sessions)
    await a_worker(sessions, report).run_one()
    assert [(job.progress, job.message) for job in seen] == [(kept, "Reading rows")]


# Stopping


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


# Leases


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


async def claim_and_die(sessions: Sessions, clock: MovingClock) -> None:
    """A worker claims a job and is heard of no more: its end is recorded under a lost lease."""

    async def die(job: JobContext) -> None:
        real = job.lease_id
        job.lease_id = new_id()
        assert real != job.lease_id

    assert await a_worker(sessions, die, clock=clock).run_one()


# The worker's life


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


# What comes again


async def scheduled(sessions: Sessions) -> list[JobState]:
    async with sessions.begin(SYSTEM, read_only=True) as session:
        query = select(Job.state).where(Job.tenant_id == DEFAULT_TENANT_ID, Job.kind == KIND)
        return list(await session.scalars(query.order_by(Job.id)))


async def plan(sessions: Sessions) -> dict[str, Schedule]:
    async with sessions.begin(SYSTEM, read_only=True) as session:
        return {one.kind: one for one in await session.scalars(select(Schedule))}


DAILY = (Every(KIND, timedelta(days=1)),)


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


# What keeps the tables small


async def run_handler(sessions: Sessions, handler: Handler) -> Job:
    async with open_work(sessions, Access.system(DEFAULT_TENANT_ID)) as work:
        id = (await service.enqueue(work, "a.prune", {}, max_attempts=1)).id
    assert await Worker(sessions, {"a.prune": handler}).run_one()
    return await the(sessions, id)


async def test_only_jobs_that_ended_long_ago_are_forgotten(sessions: Sessions) -> None:
    now = utc_now()
    ages = {"old": timedelta(days=31), "young": timedelta(days=29)}
    made: dict[tuple[str, JobState], UUID] = {}
    for name, age in ages.items():
        for one in JobState:
            made[name, one] = await queued(sessions)
            ended = one not in {JobState.QUEUED, JobState.RUNNING}
            moment = {"created_at": now - age, "run_at": now + timedelta(days=1)}
            finished = now - age if ended else None
            await change(sessions, made[name, one], state=one, finished_at=finished, **moment)
    job = await run_handler(sessions, handlers.prune)
    assert (job.state, job.result) == (JobState.DONE, None)
    async with sessions.begin(SYSTEM, read_only=True) as session:
        left = set(await session.scalars(select(Job.id)))
    gone = {key for key, id in made.items() if id not in left}
    assert gone == {("old", s) for s in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)}


async def test_only_sessions_that_ended_long_ago_are_forgotten(sessions: Sessions) -> None:
    now = utc_now()
    day = timedelta(days=1)
    ends = {
        "live": (now + day, None),
        "expired": (now - 29 * day, None),
        "revoked": (now + day, now - 29 * day),
        "expired long ago": (now - 31 * day, None),
        "revoked long ago": (now + day, now - 31 * day),
    }
    names: dict[UUID, str] = {}
    async with sessions.begin(SYSTEM) as session:
        for name, (expires, revoked) in ends.items():
            row = Session(
                user_id=USERS[ACME, Role.MEMBER],
                tenant_id=ACME,
                kind=SessionKind.API,
                created_at=now,
                auth_time=now,
                last_seen_at=now,
                expires_at=expires,
                revoked_at=revoked,
            )
            names[row.id] = name
            session.add(row)
        await session.flush()
        for id, name in names.items():
            for expires in (now + day, now - 31 * day):
                session.add(
                    RefreshToken(
                        hash=f"{name} {expires}".encode(),
                        session_id=id,
                        issued_at=now,
                        expires_at=expires,
                    )
                )
    job = await run_handler(sessions, identity_handlers.prune)
    assert (job.state, job.result, job.error) == (JobState.DONE, None, None)
    async with sessions.begin(SYSTEM, read_only=True) as session:
        left = {names[id] for id in await session.scalars(select(Session.id))}
        tokens = [names[id] for id in await session.scalars(select(RefreshToken.session_id))]
    assert left == {"live", "expired", "revoked"}
    assert sorted(tokens) == sorted(left)


async def test_an_outage_while_recording_leaves_the_job_to_its_lease(sessions: Sessions) -> None:
    clock = MovingClock()
    id = await queued(sessions)
    away = Away(sessions)

    async def lose_it(job: JobContext) -> None:
        away.gone = True

    assert await Worker(away, {KIND: lose_it}, clock=clock).run_one()
    assert await state(sessions, id) is JobState.RUNNING
    clock.move(seconds=31)
    worker = a_worker(sessions, clock=clock)
    await worker.tend()
    assert await worker.run_one()
    assert await state(sessions, id) is JobState.DONE


class Away(Sessions):
    """A database that goes away when it is told to."""

    def __init__(self, sessions: Sessions) -> None:
        super().__init__(sessions.engines)
        self.gone = False

    def begin(self, *args: Any, **options: Any) -> Any:
        if self.gone:
            raise Unavailable("The database does not answer right now. Try again in a moment.")
        return super().begin(*args, **options)


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
