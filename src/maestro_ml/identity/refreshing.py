"""Refreshing, by whoever may be known by another credential at the same time."""

from uuid import UUID

from starlette.requests import Request

from maestro_ml.core.errors import Unauthenticated
from maestro_ml.identity import signin, tokens
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.schemas import SignedIn


async def refresh(identity: Identity, token: str, request: Request) -> SignedIn:
    """Trade a refresh token for a new pair. Beside a good credential of somebody else it is
    refused, and stays as it was.

    Raises:
        Unauthenticated: it is somebody else's, none of ours, too old, ended or used before.
        TooManyAttempts: it is made up, as were many others from the same address.
    """
    if "authorization" in request.headers:
        caller = await _caller(identity, request)
        if caller is not None and await _owner(identity, token) not in {None, caller}:
            raise Unauthenticated
    return await signin.refresh(identity, token)


async def _caller(identity: Identity, request: Request) -> UUID | None:
    """None: their access token has ended, which is why one refreshes."""
    try:
        return (await identity.authenticate(request)).actor_id
    except Unauthenticated:
        return None


async def _owner(identity: Identity, token: str) -> UUID | None:
    session = await identity.lookup.session_of(tokens.digest(token))
    found = session and await identity.lookup.session(session, identity.clock())
    return found.access.actor_id if found else None
