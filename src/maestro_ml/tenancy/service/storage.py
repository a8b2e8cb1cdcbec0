"""What files count against a tenant's limit, from before their first byte until their last is gone.

A tenant's `storage_bytes` is at every moment the sum of its stored and its loose blobs: bytes are
reserved before they come, settled with the row that refers to them, and given back when the file
is deleted. The tenant's row is taken before everything else (decision 0008).
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select, update

from maestro_ml.core.access import Permission
from maestro_ml.core.errors import QuotaExceeded
from maestro_ml.core.ids import new_id
from maestro_ml.db.base import Base
from maestro_ml.db.work import SystemWork, Work
from maestro_ml.storage.blobs import Stored
from maestro_ml.storage.errors import UploadLost
from maestro_ml.storage.models import LooseBlob, StoredBlob
from maestro_ml.tenancy.models import Tenant
from maestro_ml.tenancy.service.tenants import QUOTA_REACHED, reached

LEASE = timedelta(minutes=10)  # an upload says this often, at least, that it goes on
MARGIN = timedelta(minutes=1)  # between an upload that gives up and who deletes it
BATCH = 500
WINDOW = 5_000
_STORED = f"{StoredBlob.__tablename__}.id"


async def reserve(work: Work, size: int) -> UUID:
    """Count so many bytes for a blob that is to come. Gives the blob's id.

    Raises:
        QuotaExceeded: the tenant has as many bytes as it may.
    """
    work.require(Permission.TENANT_READ)
    await _take(work, size)
    blob = LooseBlob(id=new_id(), reserved=size, until=work.now + LEASE, created_at=work.now)
    work.session.add(blob)
    await work.session.flush()
    return blob.id


async def extend(work: Work, id: UUID, more: int) -> None:
    """Say that a blob is still coming, and count more bytes for it, or less.

    Raises:
        QuotaExceeded: the tenant has as many bytes as it may.
        UploadLost: the blob was given up.
    """
    work.require(Permission.TENANT_READ)
    await _take(work, more)
    kept = await work.session.scalar(
        update(LooseBlob)
        .where(LooseBlob.id == id, LooseBlob.until > work.now)
        .values(reserved=LooseBlob.reserved + more, until=work.now + LEASE)
        .returning(LooseBlob.id)
    )
    if kept is None:
        raise UploadLost


async def settle(work: Work, id: UUID, stored: Stored, *, parts: Collection[UUID] = ()) -> None:
    """Keep a blob that came whole: whoever refers to it does so in this unit of work. What it was
    put together from pays for it.

    Raises:
        UploadLost: the blob was given up.
    """
    work.require(Permission.TENANT_READ)
    paid = (
        await work.session.scalars(
            delete(LooseBlob)
            .where(LooseBlob.id == id, LooseBlob.until > work.now)
            .returning(LooseBlob.reserved)
        )
    ).all()
    if not paid:
        raise UploadLost
    total = sum(paid) + await _spend(work, parts)
    if total != stored.size:
        raise UploadLost
    blob = StoredBlob(id=id, size=stored.size, sha256=stored.sha256, created_at=work.now)
    work.session.add(blob)
    await work.session.flush()


async def let_go(work: Work, ids: Collection[UUID]) -> list[UUID]:
    """Loosen those of the blobs that nothing refers to any more. They are to be deleted next."""
    work.require(Permission.TENANT_READ)
    # Held first and looked at then: who is about to refer to one has done so, or finds it gone.
    held = (
        select(StoredBlob)
        .where(StoredBlob.id.in_(ids))
        .order_by(StoredBlob.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    await work.session.scalars(held)
    return await _loosen(work, set(ids) - await _referred(work, ids))


async def expire(work: Work, ids: Collection[UUID]) -> list[UUID]:
    """Give up loose blobs; those that were settled meanwhile are not among the answer."""
    work.require(Permission.TENANT_READ)
    gone = await work.session.scalars(
        update(LooseBlob)
        .where(LooseBlob.id.in_(ids))
        .values(until=_now(work), upload_id=None)
        .returning(LooseBlob.id)
    )
    return list(gone)


async def give_back(work: Work, ids: Collection[UUID]) -> None:
    """Count no longer what is no longer there."""
    work.require(Permission.TENANT_READ)
    await _forget(work, work.tenant_id, ids)


async def overdue(work: SystemWork) -> Sequence[tuple[UUID, UUID]]:
    """Some loose blobs, as tenant and id, that nobody waits for any more."""
    query = select(LooseBlob.tenant_id, LooseBlob.id).where(LooseBlob.until <= _now(work))
    found = await work.session.execute(query.order_by(LooseBlob.tenant_id).limit(BATCH))
    return [(tenant_id, id) for tenant_id, id in found]


async def forgotten(work: SystemWork, after: UUID) -> tuple[list[UUID], UUID | None]:
    """Those of the next few thousand blobs that nothing refers to, because what did went with its
    project or its run; and where to look on."""
    window = select(StoredBlob.id).where(StoredBlob.id > after).order_by(StoredBlob.id)
    ids = list(await work.session.scalars(window.limit(WINDOW)))
    if not ids:
        return [], None
    return sorted(set(ids) - await _referred(work, ids)), ids[-1]


async def loosen_forgotten(work: SystemWork, ids: Collection[UUID]) -> None:
    """Loosen those of them that nothing refers to and nobody holds."""
    free = select(StoredBlob.id).where(StoredBlob.id.in_(ids)).with_for_update(skip_locked=True)
    held = set(await work.session.scalars(free))
    await _loosen(work, held - await _referred(work, held))


async def give_back_overdue(work: SystemWork, tenant_id: UUID, ids: Collection[UUID]) -> None:
    """As `give_back`, for whoever tidies up."""
    await _forget(work, tenant_id, ids)


def _now(work: Work | SystemWork) -> datetime:
    """The time until which a blob was waited for that nobody waits for any more."""
    return work.now - MARGIN


async def _take(work: Work, size: int) -> None:
    if size == 0:
        return
    mine = update(Tenant).where(Tenant.id == work.tenant_id)
    if size > 0:  # what is given back fits, also where the limit was lowered meanwhile
        mine = mine.where(Tenant.storage_bytes + size <= Tenant.max_storage_bytes)
    counted = mine.values(storage_bytes=Tenant.storage_bytes + size)
    taken = await work.session.execute(
        counted.returning(Tenant.storage_bytes, Tenant.max_storage_bytes)
    )
    row = taken.one_or_none()
    if row is None:
        tenant = await work.session.get_one(Tenant, work.tenant_id)
        raise QuotaExceeded(
            f"Your tenant's files have {tenant.storage_bytes} bytes, {size} more were needed, and "
            f"it may have {tenant.max_storage_bytes}. Delete some, or ask the platform's admin "
            "for more.",
            limit="max_storage_bytes",
            allowed=tenant.max_storage_bytes,
            used=tenant.storage_bytes,
        )
    if facts := reached("max_storage_bytes", *row, more=size):
        await work.tell(QUOTA_REACHED, **facts)


async def _spend(work: Work, parts: Collection[UUID]) -> int:
    query = select(LooseBlob.reserved).where(LooseBlob.id.in_(parts))
    paid = sum(await work.session.scalars(query.with_for_update()))
    spent = (
        update(LooseBlob)
        .where(LooseBlob.id.in_(parts))
        .values(reserved=0, until=_now(work), upload_id=None)
    )
    await work.session.execute(spent)
    return paid


async def _loosen(work: Work | SystemWork, ids: Collection[UUID]) -> list[UUID]:
    gone = await work.session.execute(
        delete(StoredBlob)
        .where(StoredBlob.id.in_(ids))
        .returning(StoredBlob.tenant_id, StoredBlob.id, StoredBlob.size)
        .execution_options(synchronize_session=False)
    )
    loose = []
    for tenant_id, id, size in gone.all():
        blob = LooseBlob(id=id, reserved=size, until=_now(work), created_at=work.now)
        blob.tenant_id = tenant_id
        work.session.add(blob)
        loose.append(id)
    await work.session.flush()
    return loose


async def _forget(work: Work | SystemWork, tenant_id: UUID, ids: Collection[UUID]) -> None:
    if not ids:
        return
    held = select(Tenant.id).where(Tenant.id == tenant_id).with_for_update(key_share=True)
    await work.session.execute(held)
    gone = await work.session.scalars(
        delete(LooseBlob)
        .where(LooseBlob.tenant_id == tenant_id, LooseBlob.id.in_(ids))
        .returning(LooseBlob.reserved)
        .execution_options(synchronize_session=False)
    )
    back = sum(gone.all())
    counted = update(Tenant).where(Tenant.id == tenant_id)
    await work.session.execute(counted.values(storage_bytes=Tenant.storage_bytes - back))


async def _referred(work: Work | SystemWork, ids: Collection[UUID]) -> set[UUID]:
    """Those of the stored blobs that something refers to, whichever package it belongs to."""
    found: set[UUID] = set()
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            if any(key.target_fullname == _STORED for key in column.foreign_keys):
                query = select(column).where(column.in_(ids))
                if isinstance(work, Work):
                    query = query.where(table.c.tenant_id == work.tenant_id)
                found |= set(await work.session.scalars(query))
    return found
