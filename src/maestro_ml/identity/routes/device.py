"""Signing in at a terminal through a browser (RFC 8628)."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from maestro_ml.http.deps import Account, AccountReading, Public
from maestro_ml.http.problems import BadRequest, declared
from maestro_ml.identity import device_signin
from maestro_ml.identity.models import DeviceLogin, DeviceState
from maestro_ml.identity.routes.cookies import answer_of
from maestro_ml.identity.runtime import TheIdentity
from maestro_ml.identity.schemas import SignedIn
from maestro_ml.identity.schemas_device import (
    DeviceDecision,
    DevicePending,
    DevicePoll,
    DeviceStart,
    DeviceStarted,
    UserCode,
)
from maestro_ml.identity.schemas_mfa import MfaRequired
from maestro_ml.identity.service.device_logins import Wait
from maestro_ml.identity.single_sign_on import STARTS

router = APIRouter(prefix="/auth/device", tags=["auth"])


class AuthorizationPending(BadRequest):
    """Nobody has decided yet: ask again after the interval."""

    code = "authorization-pending"

    def __init__(self) -> None:
        super().__init__("Nobody has approved this sign-in yet.")


class SlowDown(BadRequest):
    """Asked too soon: the interval is five seconds longer from now on."""

    code = "slow-down"

    def __init__(self) -> None:
        super().__init__("Too soon: wait five seconds longer between two questions.")


class AccessDenied(BadRequest):
    """Somebody denied it in the browser, or may not sign in any more."""

    code = "access-denied"

    def __init__(self) -> None:
        super().__init__("This sign-in was denied.")


class ExpiredToken(BadRequest):
    """The code is too old, was used, or is none."""

    code = "expired-token"

    def __init__(self) -> None:
        super().__init__("This sign-in has expired: begin anew.")


_REASONS: Mapping[Wait, type[BadRequest]] = {
    Wait.PENDING: AuthorizationPending,
    Wait.SLOW_DOWN: SlowDown,
    Wait.DENIED: AccessDenied,
    Wait.EXPIRED: ExpiredToken,
}


@router.post("", response_model=DeviceStarted)
async def start_device_login(
    work: Public, identity: TheIdentity, body: DeviceStart
) -> DeviceStarted:
    """Begin to sign in at a terminal: show the person the link and the code, then ask
    `auth/device/token` for the answer, not more often than `interval` says."""
    await identity.limits.wrong("device", STARTS)
    return await device_signin.start(work, identity, body.client)


@router.post("/token", response_model=SignedIn | MfaRequired, responses=declared(400))
async def poll_device_login(identity: TheIdentity, body: DevicePoll, response: Response) -> Any:
    """Ask whether somebody has approved, for a pair of tokens, once. Until then 400 says
    `authorization-pending`, or `slow-down`, `access-denied` or `expired-token`."""
    found = await device_signin.poll(identity, body.device_code)
    if isinstance(found, Wait):
        raise _REASONS[found]()
    return answer_of(response, identity.settings, found)


@router.get("/pending", response_model=DevicePending)
async def read_device_login(
    work: AccountReading, identity: TheIdentity, user_code: Annotated[UserCode, Query()]
) -> DeviceLogin:
    """Which terminal waits under this code: where it is, and what it calls itself."""
    return await device_signin.read(work, identity, user_code)


@router.post("/approve", status_code=204)
async def approve_device_login(work: Account, identity: TheIdentity, body: DeviceDecision) -> None:
    """Let that terminal act as you, in the tenant you act in. In a session only."""
    await device_signin.decide(work, identity, body.user_code, DeviceState.APPROVED)


@router.post("/deny", status_code=204)
async def deny_device_login(work: Account, identity: TheIdentity, body: DeviceDecision) -> None:
    """Turn that terminal away. In a session only."""
    await device_signin.decide(work, identity, body.user_code, DeviceState.DENIED)
