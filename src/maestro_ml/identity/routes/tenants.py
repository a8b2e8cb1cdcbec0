"""`/api/v1/tenants`, but for making one, which begins with an invitation."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from maestro_ml.core.paging import Page
from maestro_ml.core.schemas import PageView, Text
from maestro_ml.http.deps import Account, AccountReading, Paging, Reading
from maestro_ml.identity.schemas_tenants import (
    PolicyChange,
    PolicyView,
    TenantChange,
    TenantDelete,
    TenantDeletion,
    TenantFilter,
    TenantView,
)
from maestro_ml.identity.service import deletions, policy, tenants
from maestro_ml.jobs.models import Job
from maestro_ml.tenancy.models import Tenant, TenantStatus

router = APIRouter(prefix="/tenants", tags=["tenants"])


@router.get("", response_model=PageView[TenantView])
async def list_tenants(
    work: AccountReading,
    paging: Paging,
    q: Annotated[
        Text | None, Query(max_length=200, description="Found in the name or the slug.")
    ] = None,
    status: TenantStatus | None = None,
) -> Page[TenantView]:
    """All tenants of the installation, the newest first. For platform admins, in a session."""
    return await tenants.search(work, TenantFilter(q, status), paging)


# Before `/{id}`, which would take the words for ids.
@router.get("/current", response_model=TenantView)
async def read_current_tenant(work: Reading) -> TenantView:
    """The tenant you act in: its limits and what it uses of them."""
    return await tenants.current(work)


@router.get("/current/policy", response_model=PolicyView)
async def read_tenant_policy(work: Reading) -> Tenant:
    """What your tenant asks of its people."""
    return await policy.get(work)


@router.patch("/current/policy", response_model=PolicyView)
async def change_tenant_policy(work: Account, body: PolicyChange) -> Tenant:
    """Change what you send of your tenant's policy. Whoever requires a second factor has signed in
    with one. For admins."""
    return await policy.change(work, body)


@router.get("/deletions", response_model=PageView[TenantDeletion])
async def list_tenant_deletions(work: AccountReading, paging: Paging) -> Page[Job]:
    """Deletions of tenants that are under way or of the last 30 days, the newest first. For
    platform admins, in a session."""
    return await deletions.search(work, paging)


@router.get("/deletions/{id}", response_model=TenantDeletion)
async def read_tenant_deletion(work: AccountReading, id: UUID) -> Job:
    """How far a deletion is. When it is done, its result shows the rows of each table and the
    files before and after; the default tenant's audit trail keeps it. For platform admins, in a
    session."""
    return await deletions.get(work, id)


@router.get("/{id}", response_model=TenantView)
async def read_tenant(work: AccountReading, id: UUID) -> TenantView:
    """Read one tenant: its state, its limits and what it uses of them. For platform admins, in a
    session."""
    return await tenants.get(work, id)


@router.patch("/{id}", response_model=TenantView)
async def change_tenant(work: Account, id: UUID, body: TenantChange) -> TenantView:
    """Change a tenant's name and limits. For platform admins, in a session."""
    return await tenants.change(work, id, body)


@router.post("/{id}/suspend", response_model=TenantView)
async def suspend_tenant(work: Account, id: UUID) -> TenantView:
    """Let nobody into a tenant, from the next request on; nothing of it is lost. For platform
    admins, in a session."""
    return await tenants.suspend(work, id)


@router.post("/{id}/resume", response_model=TenantView)
async def resume_tenant(work: Account, id: UUID) -> TenantView:
    """Let everybody into a suspended tenant again. For platform admins, in a session."""
    return await tenants.resume(work, id)


@router.post("/{id}/deletion", status_code=202, response_model=TenantDeletion)
async def delete_tenant(work: Account, id: UUID, body: TenantDelete, response: Response) -> Job:
    """Delete a tenant for good, with everything in it and the accounts of who is in no other.
    Nobody gets in from now on; `Location` tells how far it is. For platform admins, in a
    session."""
    job = await deletions.ask(work, id, body.confirm)
    response.headers["Location"] = f"/api/v1/tenants/deletions/{job.id}"
    return job
