"""What one signs in with: changed by who knows it, got back by who has forgotten it."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from maestro_ml.core.errors import Unauthenticated
from maestro_ml.http.deps import Account, Caller
from maestro_ml.identity import self_service
from maestro_ml.identity.routes.cookies import answer_of
from maestro_ml.identity.runtime import Identity, TheIdentity
from maestro_ml.identity.schemas import AccountView, SignedIn, SignedInWeb
from maestro_ml.identity.schemas_self_service import (
    EmailChange,
    Forgot,
    Mailed,
    PasswordChange,
    Rename,
    Reset,
    Verify,
)
from maestro_ml.identity.service import accounts, addresses

router = APIRouter(prefix="/auth", tags=["auth"])


@router.patch("/me", response_model=AccountView)
async def change_me(work: Account, body: Rename) -> AccountView:
    """Give your account another name. The address and the password have calls of their own; a role
    is for an admin to give. Needs a session."""
    return await accounts.rename(work, body)


@router.post("/password/change", response_model=SignedIn | SignedInWeb)
async def change_password(
    identity: TheIdentity,
    caller: Caller,
    body: PasswordChange,
    request: Request,
    response: Response,
) -> Any:
    """Choose a new password. Every session ends; yours goes on with the new pair of tokens in this
    answer, or with a new cookie. Needs a session."""
    web = "authorization" not in request.headers
    entered = await self_service.change_password(identity, caller, body, web=web)
    return answer_of(response, identity.settings, entered)


@router.post("/password/forgot", status_code=202, response_model=Mailed)
async def forget_password(identity: TheIdentity, body: Forgot) -> Mailed:
    """Have a link for a new password mailed to you. It works once, for an hour, and until you ask
    for another. The answer is the same whether the address has an account or not."""
    await self_service.forgot(identity, body)
    return Mailed(detail="If the address has an account, a link for a new password is on its way.")


@router.post("/password/reset", status_code=204)
async def reset_password(identity: TheIdentity, body: Reset) -> None:
    """Choose a new password by the right of a mailed link. Your sessions and API keys end; sign in
    afterwards."""
    await self_service.reset(identity, body)


@router.post("/email/verify", status_code=204)
async def verify_email(identity: TheIdentity, body: Verify, request: Request) -> None:
    """Prove by a mailed link that an address is yours. If it is the one you change to, your account
    has it from now on. Refused while somebody else is signed in."""
    caller = await _caller(identity, request)
    await self_service.verify_email(identity, body, caller=caller)


@router.post("/email/change", status_code=202, response_model=Mailed)
async def change_email(identity: TheIdentity, caller: Caller, body: EmailChange) -> Mailed:
    """Give your account another address: it gets a link, and the old one stays until that is
    opened. Asks for your password, and needs a session."""
    await self_service.change_email(identity, caller, body)
    return Mailed(detail="If the address is free, a link that verifies it is on its way.")


@router.post("/email/resend", status_code=202, response_model=Mailed)
async def resend_verification(work: Account, identity: TheIdentity) -> Mailed:
    """Have the link mailed again that verifies your address, at most once a minute. Needs a
    session."""
    await addresses.resend(work, identity)
    return Mailed(detail="If an address of yours waits to be verified, a link is on its way.")


async def _caller(identity: Identity, request: Request) -> UUID | None:
    """Whoever is signed in, on a route where nobody has to be."""
    try:
        return (await identity.authenticate(request)).actor_id
    except Unauthenticated:
        return None
