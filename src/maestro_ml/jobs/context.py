"""What a handler is given. There is no open transaction in it, so none waits for a network."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import update

from maestro_ml.core.access import Access
from maestro_ml.core.clock import Clock, utc_now
from maestro_ml.db.work import (
    Sessions,
    SystemWork,
    Work,
    open_system_work,
    open_work,
)
from maestro_ml.jobs.models import Job, JobState

LEASE = timedelta(seconds=30)
FIRST_RETRY = timedelta(seconds=5)
LONGEST_RETRY = timedelta(hours=1)
Derive = Callable[[str], bytes]  # from a purpose to a key of the installation's secret


class JobCancelled(Exception):
    """Somebody asked the job to stop."""


class LeaseLost(Exception):
    """Another worker has taken the job over: whatever this one does no longer counts."""


def no_secret(purpose: str) -> bytes:
    """Of a worker that was given none."""
    raise RuntimeError(f"a worker without the secret cannot derive a key for {purpose!r}")


@dataclass(slots=True, kw_only=True)
class JobContext:
    """One running job. It may run twice, so what its handler does must bear a repetition."""

    id: UUID
    kind: str
    tenant_id: UUID
    payload: Mapping[str, Any]
    lease_id: UUID
    attempt: int
    max_attempts: int
    sessions: Sessions
    clock: Clock = utc_now
    lease: timedelta = LEASE
    derive: Derive = no_secret
    result: dict[str, Any] | None = field(default=None)
    # Those that fail together come back apart.
    spread: float = field(default_factory=lambda: 1 + secrets.randbelow(250) / 1000)

    def again_at(self) -> datetime | None:
        """When it is tried again if it fails now. None: this was its last attempt."""
        if self.attempt >= self.max_attempts:
            return None
        wait: timedelta = min(FIRST_RETRY * 2 ** min(self.attempt - 1, 20), LONGEST_RETRY)
        return self.clock() + wait * self.spread

    def open_work(self, *, read_only: bool = False) -> AbstractAsyncContextManager[Work]:
        """A short unit of work, as the platform inside the job's tenant."""
        access = Access.system(self.tenant_id)
        return open_work(self.sessions, access, read_only=read_only, clock=self.clock)

    def open_system_work(
        self, *, read_only: bool = False
    ) -> AbstractAsyncContextManager[SystemWork]:
        """A short unit of work above tenants, for what keeps the platform itself in order."""
        return open_system_work(self.sessions, read_only=read_only, clock=self.clock)

    async def progress(self, done: float, message: str | None = None) -> None:
        """Say how much is done, from 0 to 1, and at what; it also keeps the job this worker's.

        Raises:
            JobCancelled: the job is to stop here.
            LeaseLost: it is another worker's by now.
        """
        await self._report(progress=min(max(0.0, done), 1.0), message=message)

    async def heartbeat(self) -> None:
        """Keep the job, and hear whether it should stop; the worker does this in between, too.

        Raises:
            JobCancelled, LeaseLost: as `progress`.
        """
        await self._report()

    async def _report(self, **news: Any) -> None:
        async with self.open_system_work() as work:
            heard = await work.session.execute(
                update(Job)
                .where(held(self))
                .values(lease_expires_at=work.now + self.lease, **news)
                .returning(Job.cancel_requested)
                .execution_options(synchronize_session=False)
            )
            row = heard.one_or_none()
        if row is None:
            raise LeaseLost
        if row[0]:
            raise JobCancelled


def held(job: JobContext) -> Any:
    """The job's row, while this worker has it."""
    return (Job.id == job.id) & (Job.lease_id == job.lease_id) & (Job.state == JobState.RUNNING)


Handler = Callable[[JobContext], Awaitable[None]]
