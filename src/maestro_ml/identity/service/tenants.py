"""Tenants: what their people see of their own, and what the platform's admin does to any.

The platform's admin sees names, limits and figures here, and no tenant's data.
"""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import func, or_, select

from maestro_ml.audit.service import record_for
from maestro_ml.core.access import Permission
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.paging import page_of
from maestro_ml.db.work import AccountWork, SystemWork, Work
from maestro_ml.identity.errors_admin import DefaultTenantKept, TenantBeingDeleted, TenantNotFound
from maestro_ml.identity.schemas_tenants import TenantChange, TenantFilter, TenantView, seen
from maestro_ml.jobs.models import PLATFORM, Job, JobState
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID, Tenant, TenantStatus


async def current(work: Work) -> TenantView:
    """The tenant that the caller acts in: its limits, and what is used of them."""
    work.require(Permission.TENANT_READ)
    tenant = await work.session.get_one(Tenant, work.tenant_id)
    return seen(tenant, (await _running(work, [tenant.id])).get(tenant.id, 0))


async def search(work: AccountWork, wanted: TenantFilter, request: PageRequest) -> Page[TenantView]:
    """A page of all tenants, the newest first.

    Raises:
        Invalid: the cursor is not one of this list.
    """
    work.require(Permission.TENANT_MANAGE)
    query = select(Tenant)
    if wanted.q:
        fields = (Tenant.name, Tenant.slug)
        query = query.where(or_(*(f.icontains(wanted.q, autoescape=True) for f in fields)))
    if wanted.status is not None:
        query = query.where(Tenant.status == wanted.status)
    page = await page_of(work.session, query, Tenant, request)
    running = await _running(work, [tenant.id for tenant in page.items])
    return Page([seen(one, running.get(one.id, 0)) for one in page.items], page.next_cursor)


async def get(work: AccountWork, id: UUID) -> TenantView:
    """Read one.

    Raises:
        TenantNotFound: there is none of that id.
    """
    work.require(Permission.TENANT_MANAGE)
    tenant = await work.session.get(Tenant, id)
    if tenant is None:
        raise TenantNotFound
    return await _view(work, tenant)


async def change(work: AccountWork, id: UUID, command: TenantChange) -> TenantView:
    """Change the name or limits. A limit below what is used stops only what is new.

    Raises:
        TenantNotFound: there is none of that id.
    """
    work.require(Permission.TENANT_MANAGE)
    tenant = await _hold(work, id)
    sent = command.model_dump()
    sent |= sent.pop("limits", {})
    before = {name: getattr(tenant, name) for name in sent}
    changed = {name: value for name, value in sent.items() if value != before[name]}
    if changed:
        for name, value in changed.items():
            setattr(tenant, name, value)
        await work.session.flush()
        told = {name: {"before": before[name], "now": value} for name, value in changed.items()}
        _note(work, "tenant.changed", tenant, **told)
    return await _view(work, tenant)


async def suspend(work: AccountWork, id: UUID) -> TenantView:
    """Let nobody in any more, from the next request on. Work that runs is finished.

    Raises:
        TenantNotFound: there is none of that id.
        DefaultTenantKept: it is the default one.
        TenantBeingDeleted: it is past that.
    """
    work.require(Permission.TENANT_MANAGE)
    return await _move(work, id, TenantStatus.SUSPENDED)


async def resume(work: AccountWork, id: UUID) -> TenantView:
    """Let everybody in again, with the sessions and keys that they had.

    Raises:
        TenantNotFound, DefaultTenantKept, TenantBeingDeleted: as for suspending.
    """
    work.require(Permission.TENANT_MANAGE)
    return await _move(work, id, TenantStatus.ACTIVE)


async def hold_to_end(work: AccountWork, id: UUID) -> Tenant:
    """A tenant that is about to lose its access for a while, or for good.

    Raises:
        TenantNotFound: there is none of that id.
        DefaultTenantKept: it is the default one.
    """
    work.require(Permission.TENANT_MANAGE)
    tenant = await _hold(work, id)
    if tenant.id == DEFAULT_TENANT_ID:
        raise DefaultTenantKept
    return tenant


async def _move(work: AccountWork, id: UUID, status: TenantStatus) -> TenantView:
    tenant = await hold_to_end(work, id)
    if tenant.status is TenantStatus.DELETING:
        raise TenantBeingDeleted
    if tenant.status is not status:
        tenant.status = status
        await work.session.flush()
        suspended = status is TenantStatus.SUSPENDED
        _note(work, "tenant.suspended" if suspended else "tenant.resumed", tenant)
    return await _view(work, tenant)


async def _hold(work: AccountWork, id: UUID) -> Tenant:
    """A tenant that nobody else changes meanwhile. Rows may still be added to it."""
    tenant = await work.session.get(Tenant, id, with_for_update={"key_share": True})
    if tenant is None:
        raise TenantNotFound
    return tenant


async def _view(work: AccountWork, tenant: Tenant) -> TenantView:
    return seen(tenant, (await _running(work, [tenant.id])).get(tenant.id, 0))


async def _running(work: Work | SystemWork, tenants: Iterable[UUID]) -> dict[UUID, int]:
    query = (
        select(Job.tenant_id, func.count(Job.id))
        .where(
            Job.tenant_id.in_(list(tenants)),
            Job.state == JobState.RUNNING,
            Job.kind.not_in(PLATFORM),
        )
        .group_by(Job.tenant_id)
    )
    return dict(list(await work.session.execute(query)))


def _note(work: AccountWork, action: str, tenant: Tenant, **facts: object) -> None:
    record_for(work, tenant.id, action, "tenant", tenant.id, access=work.access, **facts)
