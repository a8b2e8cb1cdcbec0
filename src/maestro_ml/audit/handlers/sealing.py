"""Seal what was written down, behind the back of those who write: none of them ever waits.

Reading and hashing happen in transactions that only read; a seal is one row, added in a short one.
Of two workers that make the same seal, the database takes one.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import select

from maestro_ml.audit import chain
from maestro_ml.audit.handlers import reading
from maestro_ml.audit.handlers.reading import Place, Unreadable, events, newest_seal, tenants
from maestro_ml.audit.models import AuditSeal
from maestro_ml.audit.ports import AuditJob
from maestro_ml.core.errors import Conflict, NotFound
from maestro_ml.db.work import SystemWork

log = structlog.get_logger()


async def seal(job: AuditJob) -> None:
    """Seal the audit events of every tenant, so that it shows when somebody changes them."""
    key = await asyncio.to_thread(job.derive, chain.PURPOSE)
    async with job.open_system_work(read_only=True) as work:
        every = await tenants(work)
    for n, (tenant_id, _) in enumerate(every):
        try:
            await seal_tenant(job, tenant_id, key)
        except Unreadable as event:  # others' events are sealed all the same
            log.warning("audit.unreadable", tenant_id=str(tenant_id), event_id=str(event))
        except (Conflict, NotFound) as meanwhile:  # sealed by another worker, or the tenant is gone
            log.info("audit.not_sealed", tenant_id=str(tenant_id), reason=meanwhile.code)
        await job.progress((n + 1) / len(every))


async def seal_tenant(job: AuditJob, tenant_id: UUID, key: bytes) -> None:
    """Seal what is old enough and in no seal yet.

    Raises:
        Conflict: another worker is at it.
        NotFound: the tenant is gone.
        Unreadable: a row holds what was never written.
    """
    async with job.open_system_work(read_only=True) as work:
        last = await newest_seal(work, tenant_id)
        until = work.now - chain.MARGIN
        since = chain.open_since(last, work.now)
        sealed = await _sealed_since(work, tenant_id, since)
    async for found, reached in _pages(job, tenant_id, since, until):
        new = [event for event in found if event[0] not in sealed]
        # An empty one moves on after a busy time, so that it is not looked through for ever.
        quiet = found and last and reached - last.until >= chain.GRACE
        if new or quiet:
            entries = chain.pack((event[0], chain.digest_of(event)) for event in new)
            async with job.open_system_work() as work:
                last = _next(work, tenant_id, last, until=reached, entries=entries, key=key)
                await work.flush_or(Conflict("Another worker has made this seal."))


def _next(
    work: SystemWork,
    tenant_id: UUID,
    last: AuditSeal | None,
    *,
    until: datetime,
    entries: bytes,
    key: bytes,
) -> AuditSeal:
    made = AuditSeal(
        number=last.number + 1 if last else 1,
        until=max(last.until, until) if last else until,
        n_events=len(entries) // chain.ENTRY,
        entries=entries,
        hash=b"",
        signature=b"",
        created_at=work.now,
    )
    made.tenant_id = tenant_id
    made.hash = chain.hash_of(made, last.hash if last else chain.FIRST)
    made.signature = chain.signature_of(made.hash, key)
    work.session.add(made)
    return made


async def _sealed_since(work: SystemWork, tenant_id: UUID, since: datetime) -> set[UUID]:
    """The events of seals that may hold some of this time."""
    query = select(AuditSeal.entries).where(
        AuditSeal.tenant_id == tenant_id, AuditSeal.until >= since
    )
    return {id for one in await work.session.scalars(query) for id, _ in chain.unpack(one)}


async def _pages(
    job: AuditJob, tenant_id: UUID, since: datetime, until: datetime
) -> AsyncIterator[tuple[list[tuple[Any, ...]], datetime]]:
    """Events by time, and how far each page reaches."""
    place = Place(since)
    while True:
        async with job.open_system_work(read_only=True) as work:
            found = await events(work, tenant_id, place, until)
        if len(found) < reading.PAGE:
            yield found, until
            return
        id, _, at, *_ = found[-1]
        place = Place(at, id)
        yield found, at
