"""What the worker does to delete a tenant, step by step.

A server that dies in the middle leaves a job behind that goes on where it was: each step is a
short unit of work, finds what is left to do, and does it.
"""

from typing import Any
from uuid import UUID

from maestro_ml.core.errors import Unavailable
from maestro_ml.identity.service import deletions
from maestro_ml.jobs.context import JobContext
from maestro_ml.storage.blobs import Blobs

PEOPLE, OFFERS = "memberships", "invitations"


async def delete_tenant(blobs: Blobs, job: JobContext) -> None:
    """Delete a tenant: its rows in batches, the accounts of who is in no other, and its files."""
    tenant_id = UUID(job.payload["tenant_id"])
    job.result, left = await _begin(job, blobs, tenant_id)
    if "after" in job.result:
        return
    while True:
        await _empty(job, tenant_id, job.result, left)
        await job.progress(0.9, "audit trail")
        async with job.open_system_work() as work:
            if await deletions.drop(work, tenant_id):
                break
    await job.progress(0.95, "files")
    await blobs.delete_tenant(tenant_id)
    files = await blobs.count(tenant_id)
    if files:
        raise Unavailable(f"{files} files were still being written: they are deleted next.")
    async with job.open_system_work() as work:
        job.result["after"] = await deletions.count(work, tenant_id)
        job.result["files"]["after"] = files
        await deletions.finish(work, job.id, tenant_id, job.result)


async def _begin(job: JobContext, blobs: Blobs, tenant_id: UUID) -> tuple[dict[str, Any], int]:
    """What was there, as the first attempt saw it, and how many rows are there now."""
    files = await blobs.count(tenant_id)
    async with job.open_system_work() as work:
        known = await deletions.recall(work, job.id)
        now = await deletions.count(work, tenant_id)
        if not known:
            known = {
                "slug": job.payload["slug"],
                "name": job.payload["name"],
                "before": now,
                "files": {"before": files},
                "accounts_deleted": 0,
            }
            await deletions.remember(work, job.id, known)
    return known, sum(now.values())


async def _empty(job: JobContext, tenant_id: UUID, known: dict[str, Any], left: int) -> None:
    most = sum(known["before"].values()) or 1
    for table in deletions.tables():
        while True:
            await job.progress(0.9 * (1 - left / most), table)
            async with job.open_system_work() as work:
                if table == PEOPLE:
                    gone, accounts = await deletions.delete_people(work, tenant_id)
                    known["accounts_deleted"] += accounts
                    await deletions.remember(work, job.id, known)
                elif table == OFFERS:
                    gone = await deletions.delete_offers(work, tenant_id)
                else:
                    gone = await deletions.delete_rows(work, table, tenant_id)
            left -= gone
            if not gone:
                break
