"""Signing in through a tenant's identity provider: a browser goes there and comes back."""

from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse

from maestro_ml.core.schemas import Slug, Text
from maestro_ml.core.settings import Settings
from maestro_ml.identity import single_sign_on
from maestro_ml.identity.device_signin import PAGE
from maestro_ml.identity.routes.cookies import set_cookie
from maestro_ml.identity.runtime import TheIdentity
from maestro_ml.identity.schemas_mfa import MfaRequired
from maestro_ml.identity.schemas_sso import SentBack
from maestro_ml.identity.service.oidc import LIFETIME

router = APIRouter(prefix="/auth/oidc", tags=["auth"])


@router.get(
    "/{tenant}/{provider}/start",
    status_code=303,
    response_class=RedirectResponse,
    response_model=None,
)
async def start_single_sign_on(
    identity: TheIdentity,
    tenant: Slug,
    provider: Slug,
    then: Annotated[
        Text, Query(alias="next", max_length=500, description="A path of this server.")
    ] = "/device",
) -> RedirectResponse:
    """Go to an identity provider of that tenant to sign in. It comes back within ten minutes, in
    this browser, and ends at `next`."""
    begun = await single_sign_on.begin(identity, tenant, provider, then)
    response = RedirectResponse(begun.location, 303)
    response.set_cookie(
        _cookie(identity.settings),
        begun.browser,
        max_age=int(LIFETIME.total_seconds()),
        path="/",
        secure=not identity.settings.auth.cookie_insecure,
        httponly=True,
        samesite="lax",
    )
    return response


@router.get("/callback/{id}", status_code=303, response_class=RedirectResponse, response_model=None)
async def finish_single_sign_on(
    identity: TheIdentity,
    request: Request,
    id: UUID,
    sent: Annotated[SentBack, Query()],
) -> RedirectResponse:
    """Where identity providers send the browser back to. It signs in with a cookie and goes on to
    where the sign-in was meant to end."""
    browser = request.cookies.get(_cookie(identity.settings), "")
    entered, then = await single_sign_on.finish(identity, id, sent, browser)
    if isinstance(entered.answer, MfaRequired):
        then = _second_step(entered.answer, then)
    response = RedirectResponse(then, 303)
    if entered.cookie is not None:
        set_cookie(response, identity.settings, entered.cookie)
    response.delete_cookie(
        _cookie(identity.settings),
        path="/",
        secure=not identity.settings.auth.cookie_insecure,
        httponly=True,
        samesite="lax",
    )
    return response


def _second_step(asked: MfaRequired, then: str) -> str:
    """The page that asks for it, or has it set up, and goes on from there. What it needs for that
    stands after the #: no server or proxy writes it down."""
    sent = {"mfa_token": asked.mfa_token, "methods": ",".join(asked.methods)}
    if then != PAGE:
        sent["next"] = then
    return f"{PAGE}#{urlencode(sent)}"


def _cookie(settings: Settings) -> str:
    return "maestro-oidc" if settings.auth.cookie_insecure else "__Host-oidc"
