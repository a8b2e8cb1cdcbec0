"""`/api/v1/service-accounts`: machines of a tenant, and their keys."""

from uuid import UUID

from fastapi import APIRouter

from maestro_ml.core.paging import Page
from maestro_ml.core.schemas import PageView
from maestro_ml.http.deps import Account, AccountReading, Caller, Paging, Reading, Running
from maestro_ml.identity import key_making
from maestro_ml.identity.models import ApiKey
from maestro_ml.identity.routes.api_keys import TheProjects
from maestro_ml.identity.runtime import TheIdentity
from maestro_ml.identity.schemas_keys import ApiKeyCreate, ApiKeyView, NewApiKey
from maestro_ml.identity.schemas_services import (
    ServiceAccountChange,
    ServiceAccountCreate,
    ServiceAccountView,
)
from maestro_ml.identity.service import service_accounts, service_keys
from maestro_ml.identity.service.service_accounts import Machine

router = APIRouter(prefix="/service-accounts", tags=["service accounts"])


@router.post("", status_code=201, response_model=ServiceAccountView)
async def create_service_account(work: Account, body: ServiceAccountCreate) -> Machine:
    """Make an account for a machine: in your tenant only, without a password, and of use once it
    has a key. It takes a user's seat, and outlives whoever makes it. For admins."""
    return await service_accounts.create(work, body)


@router.get("", response_model=PageView[ServiceAccountView])
async def list_service_accounts(work: Reading, paging: Paging) -> Page[Machine]:
    """Your tenant's service accounts, the newest first. For admins."""
    return await service_accounts.search(work, paging)


@router.get("/{id}", response_model=ServiceAccountView)
async def read_service_account(work: Reading, id: UUID) -> Machine:
    """Read one. For admins."""
    return await service_accounts.get(work, id)


@router.patch("/{id}", response_model=ServiceAccountView)
async def change_service_account(
    work: Account, identity: TheIdentity, id: UUID, body: ServiceAccountChange
) -> Machine:
    """Change what you send. A new role, or `active: false`, counts from its next request on. For
    admins."""
    return await service_accounts.change(work, identity, id, body)


@router.delete("/{id}", status_code=204)
async def delete_service_account(
    work: Account, identity: TheIdentity, projects: TheProjects, id: UUID
) -> None:
    """Remove one with its keys. What it made stays. For admins."""
    await service_accounts.delete(work, identity, projects, id)


@router.post("/{id}/keys", status_code=201, response_model=NewApiKey)
async def create_service_key(
    runtime: Running, caller: Caller, projects: TheProjects, id: UUID, body: ApiKeyCreate
) -> NewApiKey:
    """Make a key for a service account. The secret is shown in this answer only. For admins, in a
    session: a key makes no keys."""
    return await key_making.make_for(runtime, caller, projects, id, body)


@router.get("/{id}/keys", response_model=PageView[ApiKeyView])
async def list_service_keys(work: AccountReading, paging: Paging, id: UUID) -> Page[ApiKey]:
    """The keys of a service account, the newest first; expired ones too, revoked ones not. For
    admins, in a session."""
    return await service_keys.search(work, id, paging)


@router.delete("/{id}/keys/{key_id}", status_code=204)
async def revoke_service_key(work: Account, id: UUID, key_id: UUID) -> None:
    """End a key of a service account: it is refused from the next request on. For admins, in a
    session."""
    await service_keys.revoke(work, id, key_id)
