"""What tracking does when something happens elsewhere, and what the worker runs of it."""

from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

import structlog

from maestro_ml.db import pruning
from maestro_ml.db.work import Work
from maestro_ml.jobs.context import JobContext
from maestro_ml.jobs.service import enqueue_internal
from maestro_ml.storage.blobs import Blobs
from maestro_ml.storage.keys import BlobKey
from maestro_ml.tenancy.service import storage
from maestro_ml.tracking.models import Upload
from maestro_ml.tracking.service import experiments

SWEEP = "storage.sweep"
_ATTEMPTS = 5
_LEAVES_FILES = frozenset({"project.deleted", "registered-model.deleted", "model-version.deleted"})

log = structlog.get_logger()


async def listen(work: Work, event: str, facts: Mapping[str, Any]) -> None:
    """A new project begins with its default experiment; what is deleted leaves its files behind."""
    if event == "project.created":
        await experiments.default(work, UUID(str(facts["project_id"])))
    elif event in _LEAVES_FILES:
        await enqueue_internal(work, SWEEP, {}, max_attempts=_ATTEMPTS)


async def sweep(blobs: Blobs, job: JobContext) -> None:
    """Delete files that nothing refers to any more, and what uploads left behind that ended early;
    from then on they count no more."""
    await pruning.prune(job.open_system_work, Upload, Upload.expires_at < job.clock())
    after: UUID | None = UUID(int=0)
    while after is not None:
        async with job.open_system_work(read_only=True) as work:
            ids, after = await storage.forgotten(work, after)
        if ids:
            async with job.open_system_work() as work:
                await storage.loosen_forgotten(work, ids)
        await job.heartbeat()
    count = 0
    while True:
        async with job.open_system_work(read_only=True) as work:
            overdue = await storage.overdue(work)
        for tenant_id, found in groupby(overdue, itemgetter(0)):
            ids = [id for _, id in found]
            for id in ids:
                await blobs.delete(BlobKey(tenant_id, id))
            async with job.open_system_work() as work:
                await storage.give_back_overdue(work, tenant_id, ids)
            await job.heartbeat()
        count += len(overdue)
        if len(overdue) < storage.BATCH:
            break
    log.info("storage.swept", files=count)  # not in the result, which one tenant can read
