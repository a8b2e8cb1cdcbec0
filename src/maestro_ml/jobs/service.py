"""Put work on the queue, look at it, stop it; and tell whoever listens what has happened.

The queue is a table: enqueueing is an INSERT in the caller's transaction, so a job exists if and
only if its cause does. Running it is the worker's business.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from maestro_ml.audit.service import record
from maestro_ml.core.access import ActorKind, Permission
from maestro_ml.core.errors import Conflict
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.paging import page_of
from maestro_ml.db.upsert import insert_or_ignore
from maestro_ml.db.work import SystemWork, Work
from maestro_ml.jobs.errors import JobEnded, JobNotFound
from maestro_ml.jobs.models import ASKS, ENDED, HIDDEN, Job, JobState
from maestro_ml.jobs.schemas import JobFilter
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID

MAX_ATTEMPTS = 5
UNTIL_DONE = 1_000_000
KEY = ("kind", "dedup_key")


async def publish(work: Work, event: str, **facts: object) -> None:
    """Announce an event (`run.finished`) inside the transaction that made it happen.

    Who listens is known to `maestro_ml.api.main` alone. A listener enqueues what takes time.
    """
    await work.tell(event, **facts)


async def enqueue(
    work: Work,
    kind: str,
    payload: dict[str, Any],
    *,
    project_id: UUID | None = None,
    dedup_key: str | None = None,
    run_at: datetime | None = None,
    max_attempts: int = MAX_ATTEMPTS,
) -> Job:
    """Add a job to this unit of work; it runs only if the unit of work commits.

    With a `dedup_key`, a job of that kind and key which has not ended is given instead.

    Raises:
        Conflict: the job with that key belongs to a project that the caller may not see.
    """
    job = Job(
        kind=kind,
        payload=payload,
        run_at=run_at or work.now,
        project_id=project_id,
        created_by=None if work.access.kind is ActorKind.SYSTEM else work.access.actor_id,
        dedup_key=dedup_key,
        max_attempts=max_attempts,
        created_at=work.now,
    )
    if dedup_key is None:
        work.session.add(job)
        await work.session.flush()
        return job
    same = select(Job).where(Job.kind == kind, Job.dedup_key == dedup_key)
    await insert_or_ignore(work, Job, [_values(job)], key=KEY)
    found = (await work.session.scalars(same)).one_or_none()
    if found is None:  # it ended in between, and its key is free
        await insert_or_ignore(work, Job, [_values(job)], key=KEY)
        found = (await work.session.scalars(same)).one_or_none()
    if found is None:
        raise Conflict(f"A job of the kind {kind} is under way for the same thing.")
    return found


async def enqueue_once(
    work: SystemWork,
    tenant_id: UUID,
    kind: str,
    payload: dict[str, Any],
    *,
    dedup_key: str,
    max_attempts: int = MAX_ATTEMPTS,
) -> Job:
    """Add a job of the platform's own to a tenant, or give the one of that kind and key which has
    not ended.

    Raises:
        Conflict: one ends at this very moment.
    """
    job = Job(
        kind=kind,
        payload=payload,
        run_at=work.now,
        dedup_key=dedup_key,
        max_attempts=max_attempts,
        created_at=work.now,
    )
    await insert_or_ignore(work, Job, [_values(job) | {"tenant_id": tenant_id}], key=KEY)
    same = select(Job).where(
        Job.tenant_id == tenant_id, Job.kind == kind, Job.dedup_key == dedup_key
    )
    found = (await work.session.scalars(same)).one_or_none()
    if found is None:
        raise Conflict(f"A job of the kind {kind} is under way for the same thing.")
    return found


async def enqueue_internal(
    work: Work | SystemWork,
    kind: str,
    payload: dict[str, Any],
    *,
    max_attempts: int,
    tenant_id: UUID | None = None,
) -> None:
    """Add a job of the platform's own, whoever's unit of work it comes from."""
    job = Job(
        kind=kind, payload=payload, run_at=work.now, max_attempts=max_attempts, created_at=work.now
    )
    home = work.tenant_id if isinstance(work, Work) else DEFAULT_TENANT_ID
    job.tenant_id = tenant_id or home
    work.session.add(job)
    await work.session.flush()


async def search(work: Work, wanted: JobFilter, request: PageRequest) -> Page[Job]:
    """A page of the jobs in sight, the newest first.

    Raises:
        Invalid: the cursor is not one of this list.
    """
    work.require(Permission.JOB_READ)
    query = select(Job).where(Job.kind.not_in(_hidden(work)))
    for column, value in (
        (Job.state, wanted.state),
        (Job.kind, wanted.kind),
        (Job.project_id, wanted.project_id),
    ):
        if value is not None:
            query = query.where(column == value)
    return await page_of(work.session, query, Job, request)


async def get(work: Work, id: UUID) -> Job:
    """Read one. What the caller may not see is reported as missing."""
    job = await work.session.get(Job, id)
    hidden = _hidden(work)
    if job is None or job.kind in hidden or not work.allows(Permission.JOB_READ, job.project_id):
        raise JobNotFound
    return job


async def cancel(work: Work, id: UUID) -> Job:
    """Ask a job to stop: one that waits is cancelled at once, one that runs at its next step.

    Raises:
        JobNotFound: there is none, or the caller may not see it.
        JobEnded: it has ended.
    """
    job = await work.session.get(Job, id, with_for_update=True)
    hidden = _hidden(work)
    if job is None or job.kind in hidden or not work.allows(Permission.JOB_READ, job.project_id):
        raise JobNotFound
    work.require(Permission.JOB_CANCEL, job.project_id)
    if job.state in ENDED:
        raise JobEnded(job.state)
    if not job.cancel_requested:
        job.cancel_requested = True
        record(work, "job.cancel_requested", "job", id, kind=job.kind)
    if job.state is JobState.QUEUED:
        job.state, job.finished_at, job.dedup_key = JobState.CANCELLED, work.now, None
        await publish(work, "job.finished", **facts_of(job))
    await work.session.flush()
    return job


def facts_of(job: Job) -> dict[str, Any]:
    """What is told of a job that has ended."""
    return {
        "job_id": str(job.id),
        "kind": job.kind,
        "state": job.state,
        "error": job.error,
        "project_id": job.project_id and str(job.project_id),
    }


def _hidden(work: Work) -> frozenset[str]:
    """The kinds of job that the caller sees none of."""
    return HIDDEN | {kind for kind, asked in ASKS.items() if not work.allows(asked)}


def _values(job: Job) -> dict[str, Any]:
    """A row that is not there yet, as an INSERT names it."""
    names = (column.key for column in Job.__mapper__.column_attrs if column.key != "tenant_id")
    return {name: getattr(job, name) for name in names}
