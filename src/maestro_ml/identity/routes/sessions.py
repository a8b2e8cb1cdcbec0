"""A person's own sessions, the tenants they may act in, and going from one to another."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from maestro_ml.core.paging import Page
from maestro_ml.core.schemas import PageView
from maestro_ml.http.deps import Account, AccountReading
from maestro_ml.identity import switching
from maestro_ml.identity.routes.cookies import answer_of
from maestro_ml.identity.runtime import TheIdentity
from maestro_ml.identity.schemas import SignedIn, SignedInWeb, TenantOfAccount
from maestro_ml.identity.schemas_sessions import SessionView, Switch
from maestro_ml.identity.service import own_sessions
from maestro_ml.tenancy.models import Tenant

router = APIRouter(prefix="/auth", tags=["auth"])


@router.get("/sessions", response_model=PageView[SessionView])
async def list_sessions(work: AccountReading) -> Page[SessionView]:
    """Where you are signed in: device, address, when it was last used. There are 20 at most, the
    newest first. Needs a session."""
    return Page(await own_sessions.search(work))


@router.delete("/sessions/{id}", status_code=204)
async def end_session(work: Account, identity: TheIdentity, id: UUID) -> None:
    """End one of your own sessions: that device is refused from the next request on. Needs a
    session."""
    await own_sessions.end(work, identity, id)


@router.get("/tenants", response_model=PageView[TenantOfAccount])
async def list_my_tenants(work: AccountReading) -> Page[Tenant]:
    """The tenants that you are a member of, the first you joined first. Whom an identity provider
    signed in sees its own tenant alone. Needs a session."""
    return Page(await own_sessions.tenants(work))


@router.post("/switch", response_model=SignedIn | SignedInWeb)
async def switch_tenant(
    work: Account, identity: TheIdentity, body: Switch, response: Response
) -> Any:
    """Go on in another of your tenants: this session ends, and a new pair of tokens, or the
    browser's new cookie, is good there. Needs a session."""
    entered = await switching.switch(work, identity, body.tenant)
    return answer_of(response, identity.settings, entered)
