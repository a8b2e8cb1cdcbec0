"""What the audit trail needs of the job queue, which stands above it.

`maestro_ml.api.main` puts the queue on the application: `app.state.queue` is the module
`maestro_ml.jobs.service`, and a `JobContext` is what a handler is given.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol
from uuid import UUID

from maestro_ml.db.work import SystemWork, Work


class Queued(Protocol):
    @property
    def id(self) -> UUID:
        """What it can be followed by."""


class Queue(Protocol):
    async def enqueue(
        self, work: Work, kind: str, payload: dict[str, Any], /, *, dedup_key: str | None
    ) -> Queued:
        """Add a job, or give the one of that key which has not ended."""


class AuditJob(Protocol):
    """As much of a running job as sealing and verifying need."""

    result: dict[str, Any] | None

    @property
    def tenant_id(self) -> UUID:
        """In which it runs."""

    @property
    def derive(self) -> Callable[[str], bytes]:
        """A key of the installation's secret, by purpose."""

    def open_work(self, *, read_only: bool = False) -> AbstractAsyncContextManager[Work]: ...

    def open_system_work(
        self, *, read_only: bool = False
    ) -> AbstractAsyncContextManager[SystemWork]: ...

    async def progress(self, done: float, message: str | None = None) -> None: ...
