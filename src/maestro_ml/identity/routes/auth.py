"""Registering, signing in and out, and who one is."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from maestro_ml.http.deps import Account, AccountReading
from maestro_ml.identity import refreshing, signin
from maestro_ml.identity.routes.cookies import Client, answer_of, drop_cookie
from maestro_ml.identity.runtime import TheIdentity
from maestro_ml.identity.schemas import (
    AuthHealth,
    Login,
    Me,
    Refresh,
    Register,
    SignedIn,
    SignedInWeb,
)
from maestro_ml.identity.schemas_mfa import MfaRequired
from maestro_ml.identity.schemas_self_service import Mailed
from maestro_ml.identity.service import accounts, api_keys, sessions

router = APIRouter(prefix="/auth", tags=["auth"])
well_known = APIRouter(tags=["auth"])
KeysToo = Annotated[bool, Query(description="Revoke your API keys, too.")]


@router.post(
    "/register",
    status_code=201,
    response_model=SignedIn | SignedInWeb | MfaRequired | Mailed,
    responses={202: {"model": Mailed, "description": "The address has to be verified first."}},
)
async def register_user(
    identity: TheIdentity, body: Register, response: Response, client: Client = None
) -> Any:
    """Open an account in the default tenant, as a viewer, and sign in.

    Where people need an invitation, this answers 403 and says so. Where they have to verify their
    address, it answers 202, has a link mailed, and says nothing of whether the address is known.
    """
    entered = await signin.register(identity, body, web=client == "web")
    if entered is None:
        response.status_code = 202
        return Mailed(detail="A mail is on its way to this address: it says how to go on.")
    return answer_of(response, identity.settings, entered)


@router.post("/login", response_model=SignedIn | SignedInWeb | MfaRequired)
async def login(
    identity: TheIdentity, body: Login, response: Response, client: Client = None
) -> Any:
    """Sign in with a password, for a pair of tokens or, in a browser, for a cookie.

    Who has a second factor, or needs one in the tenant, is answered `mfa_required` and goes on
    with `/auth/login/mfa`.
    """
    entered = await signin.login(identity, body, web=client == "web")
    return answer_of(response, identity.settings, entered)


@router.post("/refresh", response_model=SignedIn)
async def refresh_tokens(identity: TheIdentity, body: Refresh, request: Request) -> SignedIn:
    """Trade a refresh token for a new pair. Each is good once: used again, it ends the session.

    No credential is needed beside it; with one of somebody else it is refused.
    """
    return await refreshing.refresh(identity, body.refresh_token, request)


@router.post("/logout", status_code=204)
async def logout(work: Account, identity: TheIdentity, response: Response) -> None:
    """End this session: its tokens and its cookie are refused from the next request on."""
    await sessions.logout(work, identity)
    drop_cookie(response, identity.settings)


@router.post("/logout-all", status_code=204)
async def logout_everywhere(
    work: Account, identity: TheIdentity, response: Response, tokens: KeysToo = False
) -> None:
    """End every session you have, on every device. API keys stay, unless `tokens` is true."""
    await sessions.logout_all(work, identity)
    if tokens:
        await api_keys.revoke_all(work)
    drop_cookie(response, identity.settings)


@router.get("/me", response_model=Me)
async def read_me(work: AccountReading, identity: TheIdentity, request: Request) -> Me:
    """Who you are and what you may do here, as of now."""
    account = await accounts.me(work)
    session = work.access.session_id
    by_cookie = session is not None and "authorization" not in request.headers
    token = identity.csrf_token(session) if session is not None and by_cookie else None
    return Me(**account.model_dump(), csrf_token=token)


@router.get("/health", response_model=AuthHealth)
async def read_auth_health(identity: TheIdentity) -> AuthHealth:
    """Whether people can sign in: the keys that sign are there, and the database answers."""
    await identity.fresh_keys()
    return AuthHealth()


@well_known.get("/.well-known/jwks.json")
async def read_signing_keys(identity: TheIdentity, response: Response) -> dict[str, Any]:
    """The public keys that verify access tokens (RFC 7517)."""
    await identity.fresh_keys()
    response.headers["Cache-Control"] = "public, max-age=300"
    return identity.ring.jwks(identity.clock())
