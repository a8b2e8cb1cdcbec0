"""Deleting a tenant, in steps that bear a repetition: `identity.erasing` takes one after another.

What is left when the tenant's own row goes, its audit trail among it, goes by the database's own
cascade, and from then on no row of the tenant can be written. So in the end there is none.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Table, delete, exists, func, select, tuple_, update
from sqlalchemy.orm import aliased

from maestro_ml.audit.service import record_for
from maestro_ml.core.access import Permission
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.base import Base
from maestro_ml.db.paging import page_of
from maestro_ml.db.work import AccountWork, SystemWork
from maestro_ml.identity.errors_admin import TenantDeleteUnconfirmed, TenantDeletionNotFound
from maestro_ml.identity.models import Invitation, Membership, User
from maestro_ml.identity.service.tenants import hold_to_end
from maestro_ml.jobs.models import Job
from maestro_ml.jobs.service import UNTIL_DONE, enqueue_once
from maestro_ml.mail.service import forget
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID, Tenant, TenantStatus

KIND = "tenants.delete"
BATCH = 1000
_TRAIL = "audit_"  # the database lets go of these tables' rows with their tenant only


async def ask(work: AccountWork, id: UUID, confirm: str) -> Job:
    """Begin to delete a tenant: nobody gets in from now on. Asked again, it is the same deletion.

    Raises:
        TenantNotFound: there is none of that id.
        DefaultTenantKept: it is the default one.
        TenantDeleteUnconfirmed: `confirm` is not its slug.
    """
    work.require(Permission.TENANT_MANAGE)
    tenant = await hold_to_end(work, id)
    if confirm != tenant.slug:
        raise TenantDeleteUnconfirmed(tenant.slug)
    named = {"slug": tenant.slug, "name": tenant.name}
    if tenant.status is not TenantStatus.DELETING:
        tenant.status = TenantStatus.DELETING
        _note(work, "tenant.deletion_asked", id, named)
    await work.session.flush()
    payload = {"tenant_id": str(id), **named}
    return await enqueue_once(
        work, DEFAULT_TENANT_ID, KIND, payload, dedup_key=str(id), max_attempts=UNTIL_DONE
    )


async def search(work: AccountWork, request: PageRequest) -> Page[Job]:
    """A page of the deletions under way and of the last 30 days, the newest first.

    Raises:
        Invalid: the cursor is not one of this list.
    """
    work.require(Permission.TENANT_MANAGE)
    return await page_of(work.session, select(Job).where(Job.kind == KIND), Job, request)


async def get(work: AccountWork, id: UUID) -> Job:
    """Read one: how far it is, and its result.

    Raises:
        TenantDeletionNotFound: there is none of that id.
    """
    work.require(Permission.TENANT_MANAGE)
    query = select(Job).where(Job.id == id, Job.kind == KIND)
    job = (await work.session.scalars(query)).one_or_none()
    if job is None:
        raise TenantDeletionNotFound
    return job


def tables() -> list[str]:
    """Those that are emptied row by row, in an order that no reference stands against. Jobs come
    first: whatever still runs for the tenant loses its lease."""
    found = [t.name for t in reversed(Base.metadata.sorted_tables) if _owned(t)]
    return sorted((n for n in found if not n.startswith(_TRAIL)), key=lambda name: name != "jobs")


async def count(work: SystemWork, tenant_id: UUID) -> dict[str, int]:
    """How many rows each table has of the tenant."""
    counts = {}
    for table in Base.metadata.sorted_tables:
        if _owned(table):
            theirs = select(func.count()).select_from(table).where(table.c.tenant_id == tenant_id)
            counts[table.name] = int(await work.session.scalar(theirs) or 0)
    return counts


async def remember(work: SystemWork, job_id: UUID, result: Mapping[str, Any]) -> None:
    """Keep what is known so far, for whoever goes on after a crash and whoever looks."""
    await work.session.execute(update(Job).where(Job.id == job_id).values(result=dict(result)))


async def recall(work: SystemWork, job_id: UUID) -> dict[str, Any]:
    """What `remember` has kept."""
    result: dict[str, Any] | None = await work.session.scalar(
        select(Job.result).where(Job.id == job_id)
    )
    return dict(result or {})


async def delete_rows(work: SystemWork, table_name: str, tenant_id: UUID) -> int:
    """Delete some rows of a table. Gives how many; none are left after 0."""
    table = Base.metadata.tables[table_name]
    key = [*table.primary_key.columns]
    some = select(*key).where(table.c.tenant_id == tenant_id).limit(BATCH)
    these = key[0].in_(some) if len(key) == 1 else tuple_(*key).in_(some)
    gone = await work.session.execute(delete(table).where(these).returning(key[0]))
    return len(gone.all())


async def delete_people(work: SystemWork, tenant_id: UUID) -> tuple[int, int]:
    """Delete some places in the tenant, and the accounts of who has a place nowhere else. Gives
    how many of each; no places are left after 0."""
    places = await work.session.execute(
        select(Membership.id, Membership.user_id)
        .where(Membership.tenant_id == tenant_id)
        .order_by(Membership.id)
        .limit(BATCH)
        .with_for_update()  # before the accounts, as everywhere (decision 0008)
    )
    ids: dict[UUID, UUID] = dict(list(places))
    # Held first and looked at then, so that nobody joins another tenant in between.
    people = User.id.in_(set(ids.values()))
    await work.session.execute(select(User.id).where(people).order_by(User.id).with_for_update())
    gone = await work.session.scalars(
        delete(User)
        .where(people, ~User.platform_admin, ~_has_place(tenant_id))
        .returning(User.email)
        .execution_options(synchronize_session=False)
    )
    addresses = gone.all()
    await _forget_mails(work, addresses)
    await work.session.execute(
        delete(Membership)
        .where(Membership.id.in_(ids))
        .execution_options(synchronize_session=False)
    )
    return len(ids), len(addresses)


async def delete_offers(work: SystemWork, tenant_id: UUID) -> int:
    """Delete some invitations. Gives how many; none are left after 0."""
    some = select(Invitation.id).where(Invitation.tenant_id == tenant_id).limit(BATCH)
    gone = await work.session.scalars(
        delete(Invitation)
        .where(Invitation.id.in_(some))
        .returning(Invitation.email)
        .execution_options(synchronize_session=False)
    )
    addresses = gone.all()
    await _forget_mails(work, addresses)
    return len(addresses)


async def drop(work: SystemWork, tenant_id: UUID) -> bool:
    """Delete the tenant itself, and its trail. False: at the last moment something was added, which
    has to go first, in its own order."""
    # Held, nothing is added any more.
    await work.session.execute(select(Tenant.id).where(Tenant.id == tenant_id).with_for_update())
    for name in tables():
        table = Base.metadata.tables[name]
        added = select(table.c.tenant_id).where(table.c.tenant_id == tenant_id).limit(1)
        if (await work.session.execute(added)).first() is not None:
            return False
    await work.session.execute(delete(Tenant).where(Tenant.id == tenant_id))
    return True


async def finish(work: SystemWork, job_id: UUID, tenant_id: UUID, result: dict[str, Any]) -> None:
    """Write down, once and for good, what was there and that nothing is left."""
    await remember(work, job_id, result)
    _note(work, "tenant.deleted", tenant_id, result)


async def _forget_mails(work: SystemWork, addresses: Sequence[str]) -> None:
    """To those of them that are neither an account's nor invited elsewhere."""
    kept = (
        select(User.email)
        .where(User.email.in_(addresses))
        .union(select(Invitation.email).where(Invitation.email.in_(addresses)))
    )
    known = set(await work.session.scalars(kept))
    await forget(work, [address for address in addresses if address not in known])


def _owned(table: Table) -> bool:
    return "tenant_id" in table.c and table.name != Tenant.__tablename__


def _has_place(tenant_id: UUID) -> ColumnElement[bool]:
    """Outside of the tenant."""
    elsewhere = aliased(Membership)
    return exists().where(elsewhere.user_id == User.id, elsewhere.tenant_id != tenant_id)


def _note(work: SystemWork, action: str, id: UUID, facts: Mapping[str, Any]) -> None:
    access = work.access if isinstance(work, AccountWork) else None
    record_for(work, DEFAULT_TENANT_ID, action, "tenant", id, access=access, **facts)
