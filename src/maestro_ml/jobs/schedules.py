"""Jobs that come again and again. They are declared in code; the table remembers when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select, update

from maestro_ml.core.clock import Clock
from maestro_ml.core.ids import new_id
from maestro_ml.db.upsert import upsert
from maestro_ml.db.work import Sessions, SystemWork, open_system_work
from maestro_ml.jobs.models import Schedule
from maestro_ml.jobs.service import enqueue_once
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
        await upsert(work, Schedule, rows, key=("kind",), change=("every_seconds",))
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
        async with open_system_work(sessions, clock=clock) as work:
            if await _move_on(work, one):
                await enqueue_once(work, DEFAULT_TENANT_ID, one.kind, {}, dedup_key="scheduled")


async def _move_on(work: SystemWork, one: Every) -> bool:
    """Whether it was due until now."""
    moved = await work.session.scalar(
        update(Schedule)
        .where(Schedule.kind == one.kind, Schedule.next_run_at <= work.now)
        .values(next_run_at=work.now + one.every)
        .returning(Schedule.id)
        .execution_options(synchronize_session=False)
    )
    return moved is not None
