"""Jobs that come again and again. They are declared in code; the table remembers when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select, update

from maestro_ml.core.access import Access
from maestro_ml.core.clock import Clock
from maestro_ml.core.ids import new_id
from maestro_ml.db.upsert import insert_or_ignore
from maestro_ml.db.work import Sessions, SystemWork, open_system_work, open_work
from maestro_ml.jobs.models import Schedule
from maestro_ml.jobs.service import enqueue
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID


@dataclass(frozen=True, slots=True)
class Every:
    """Run a kind of job at this interval, as the platform."""

    kind: str
    every: timedelta


async def declare(sessions: Sessions, every: Sequence[Every], clock: Clock) -> None:
    """These are the schedules there are: new ones are due at once, others are forgotten."""
    async with open_system_work(sessions, clock=clock) as work:
        rows = [
            {
                "id": new_id(),
                "kind": one.kind,
                "tenant_id": DEFAULT_TENANT_ID,
                "every_seconds": int(one.every.total_seconds()),
                "next_run_at": work.now,
            }
            for one in every
        ]
        await insert_or_ignore(work, Schedule, rows, key=("kind",))
        await work.session.execute(
            delete(Schedule).where(Schedule.kind.not_in([one.kind for one in every]))
        )


async def queue_due(sessions: Sessions, every: Sequence[Every], clock: Clock) -> None:
    """Queue what is due. Of many workers that look at once, one finds it so."""
    for one in every:
        async with open_system_work(sessions, read_only=True, clock=clock) as work:
            due = select(Schedule.id).where(
                Schedule.kind == one.kind, Schedule.next_run_at <= work.now
            )
            if await work.session.scalar(due) is None:
                continue
        # The job first: dying in between repeats it, and its key makes one of the two.
        access = Access.system(DEFAULT_TENANT_ID)
        async with open_work(sessions, access, clock=clock) as own:
            await enqueue(own, one.kind, {}, dedup_key="scheduled")
        async with open_system_work(sessions, clock=clock) as work:
            await _move_on(work, one)


async def _move_on(work: SystemWork, one: Every) -> None:
    await work.session.execute(
        update(Schedule)
        .where(Schedule.kind == one.kind, Schedule.next_run_at <= work.now)
        .values(next_run_at=work.now + one.every)
        .execution_options(synchronize_session=False)
    )
