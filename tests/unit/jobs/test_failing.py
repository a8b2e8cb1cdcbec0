"""Jobs that fail: tried again, later and later, and told in words."""

import asyncio
from collections.abc import MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from maestro_ml.core.errors import Conflict, Unavailable
from maestro_ml.db.work import Sessions
from maestro_ml.jobs.context import JobContext
from maestro_ml.jobs.models import JobState
from support.jobs import a_worker, change, failing, queued, state, the
from support.signin import MovingClock


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
