"""Accepting an invitation, and the tenant that begins with one."""

from typing import Any

from fastapi import APIRouter, Response

from maestro_ml.http.deps import Account
from maestro_ml.identity import inviting, joining
from maestro_ml.identity.routes.cookies import Client, answer_of
from maestro_ml.identity.runtime import TheIdentity
from maestro_ml.identity.schemas import SignedIn, SignedInWeb
from maestro_ml.identity.schemas_members import (
    Accept,
    InvitationNamed,
    Invited,
    NewTenant,
    TenantFound,
)
from maestro_ml.identity.schemas_mfa import MfaRequired
from maestro_ml.identity.service.invitations import Offer

router = APIRouter()


@router.post("/auth/invitations/read", response_model=Invited, tags=["auth"])
async def read_invitation(identity: TheIdentity, body: InvitationNamed) -> Offer:
    """What an invitation offers: which tenant, to which address, in which role. It stays good.

    The token travels in the body, so that no log keeps it.
    """
    return await joining.read(identity, body.token)


@router.post(
    "/auth/invitations/accept",
    status_code=201,
    response_model=SignedIn | SignedInWeb | MfaRequired,
    tags=["auth"],
)
async def accept_invitation(
    identity: TheIdentity, body: Accept, response: Response, client: Client = None
) -> Any:
    """Take up an invitation with the address and role it names, and sign in.

    Whoever has an account with that address gives its password, and keeps it; a new one needs a
    name.
    """
    entered = await joining.accept(identity, body, web=client == "web")
    return answer_of(response, identity.settings, entered)


@router.post("/tenants", status_code=201, response_model=NewTenant, tags=["tenants"])
async def create_tenant(work: Account, identity: TheIdentity, body: TenantFound) -> NewTenant:
    """Make a tenant, with a one-time invitation for its first admin, who is mailed a link. Its
    token works for seven days and is in this answer, too. For platform admins, in a session."""
    return await inviting.found_tenant(work, identity, body)
