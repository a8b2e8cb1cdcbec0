"""`/api/v1/identity-providers`: who may vouch for a tenant's people."""

from uuid import UUID

from fastapi import APIRouter

from maestro_ml.core.paging import Page
from maestro_ml.core.schemas import PageView
from maestro_ml.http.deps import Caller, Paging, Reading, Writing
from maestro_ml.identity import providers
from maestro_ml.identity.runtime import TheIdentity
from maestro_ml.identity.schemas_sso import (
    IdentityProviderChange,
    IdentityProviderCreate,
    IdentityProviderTest,
    IdentityProviderView,
)
from maestro_ml.identity.service import identity_providers as service

router = APIRouter(prefix="/identity-providers", tags=["identity providers"])


@router.post("", status_code=201, response_model=IdentityProviderView)
async def create_identity_provider(
    access: Caller, identity: TheIdentity, body: IdentityProviderCreate
) -> IdentityProviderView:
    """Let an OpenID Connect issuer vouch for your tenant's people. Enter the answer's
    `redirect_uri` at the issuer; the client secret is never shown again. For admins."""
    return await providers.add(identity, access, body)


@router.get("", response_model=PageView[IdentityProviderView])
async def list_identity_providers(
    work: Reading, identity: TheIdentity, paging: Paging
) -> Page[IdentityProviderView]:
    """Your tenant's identity providers, the newest first. For admins."""
    page = await service.search(work, paging)
    return Page(await providers.views(work, identity, page.items), page.next_cursor)


@router.get("/{id}", response_model=IdentityProviderView)
async def read_identity_provider(
    work: Reading, identity: TheIdentity, id: UUID
) -> IdentityProviderView:
    """Read one. For admins."""
    return (await providers.views(work, identity, [await service.get(work, id)]))[0]


@router.patch("/{id}", response_model=IdentityProviderView)
async def change_identity_provider(
    work: Writing, identity: TheIdentity, id: UUID, body: IdentityProviderChange
) -> IdentityProviderView:
    """Change what is sent, from the next sign-in on. Another issuer is another provider, since
    people are known by what their issuer calls them. For admins."""
    changed = await providers.change(work, identity, id, body)
    return (await providers.views(work, identity, [changed]))[0]


@router.delete("/{id}", status_code=204)
async def delete_identity_provider(work: Writing, id: UUID) -> None:
    """Nobody signs in through it any more. Accounts and running sessions stay. For admins."""
    await service.delete(work, id)


@router.post("/{id}/test", response_model=IdentityProviderTest)
async def test_identity_provider(
    access: Caller, identity: TheIdentity, id: UUID
) -> IdentityProviderTest:
    """Ask the issuer now for its discovery document and keys, and say what is wrong with them.
    For admins."""
    return await providers.test(identity, access, id)
