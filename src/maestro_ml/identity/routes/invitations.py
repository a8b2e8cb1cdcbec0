"""Accepting an invitation, and the tenant that begins with one."""

from typing import Any

from fastapi import APIRouter, Response

from maestro_ml.http.deps import Account
from maestro_ml.identity import joining
from maestro_ml.identity.routes.cookies import Client, answer_of
from maestro_ml.identity.runtime import TheIdentity
from maestro_ml.identity.schemas import SignedIn, SignedInWeb
from maestro_ml.identity.schemas_members import Accept, NewTenant, TenantFound
from maestro_ml.identity.service import invitations

router = APIRouter()


@router.post(
    "/auth/invitations/accept",
    status_code=201,
    response_model=SignedIn | SignedInWeb,
    tags=["auth"],
)
async def accept_invitation(
    identity: TheIdentity, body: Accept, response: Response, client: Client = None
) -> Any:
    """Take up an invitation with the address and role it names, and sign in.

    Whoever has an account with that address gives its password, and keeps it.
    """
    entered = await joining.accept(identity, body, web=client == "web")
    return answer_of(response, identity.settings, entered)


@router.post("/tenants", status_code=201, response_model=NewTenant, tags=["tenants"])
async def create_tenant(work: Account, body: TenantFound) -> NewTenant:
    """Make a tenant, with a one-time invitation for its first admin. The token works for seven
    days and is shown in this answer only. For platform admins, in a session."""
    return await invitations.found_tenant(work, body)
