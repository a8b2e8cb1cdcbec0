"""Jobs on the queue: there with their cause, under one key, for their handler."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from maestro_ml.core.access import Access, Role
from maestro_ml.core.clock import utc_now
from maestro_ml.core.errors import Conflict
from maestro_ml.core.ids import new_id
from maestro_ml.db.work import Sessions, Work, open_work
from maestro_ml.jobs import service
from maestro_ml.jobs.context import JobContext
from maestro_ml.jobs.models import Job, JobState
from maestro_ml.jobs.worker import Worker
from maestro_ml.projects.models import Project, Visibility
from support import ACME, LAB, OTHER, USERS, caller
from support.jobs import KIND, a_worker, cancel, failing, nothing, queued, state, the
from support.signin import MovingClock


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


async def test_a_key_that_a_private_project_holds_is_told_and_not_given(sessions: Sessions) -> None:
    private = new_id()
    async with open_work(sessions, Access.system(ACME)) as work:
        now = work.now
        project = Project(id=private, name="P", slug="p", created_at=now, updated_at=now)
        project.visibility = Visibility.PRIVATE
        work.session.add(project)
        await work.session.flush()
        await service.enqueue(work, KIND, {}, project_id=private, dedup_key="k")
    with pytest.raises(Conflict, match="under way"):
        await queued(sessions, dedup_key="k")


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
