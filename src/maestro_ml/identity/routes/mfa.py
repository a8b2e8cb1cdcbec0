"""`/api/v1/auth/mfa`: one's own second factor; `/api/v1/auth/login/mfa`: entering with it."""

from typing import Any

from fastapi import APIRouter, Response

from maestro_ml.http.deps import AccountReading, Caller
from maestro_ml.identity import second_factor
from maestro_ml.identity.routes.cookies import answer_of
from maestro_ml.identity.runtime import TheIdentity
from maestro_ml.identity.schemas import SignedIn, SignedInWeb
from maestro_ml.identity.schemas_mfa import (
    Disable,
    Enrolment,
    MfaConfirm,
    MfaEnrol,
    MfaLogin,
    MfaState,
    Needed,
    RecoveryCodes,
    SignedInEnrolled,
    SignedInWebEnrolled,
    TotpBegin,
    TotpConfirm,
)
from maestro_ml.identity.service import factors

router = APIRouter(prefix="/auth", tags=["second factor"])


@router.post("/login/mfa", response_model=SignedIn | SignedInWeb)
async def login_with_code(identity: TheIdentity, body: MfaLogin, response: Response) -> Any:
    """End a sign-in that answered `mfa_required`, with a code of the authenticator app or a
    recovery code. Five wrong ones, or five minutes, and it has to be begun again."""
    entered = await second_factor.login(identity, body)
    return answer_of(response, identity.settings, entered)


@router.post("/login/mfa/enrol", response_model=Enrolment)
async def enrol_at_login(identity: TheIdentity, body: MfaEnrol) -> Enrolment:
    """Begin to set up the second factor that the tenant asks for, where a sign-in answered with
    the method `enrol`. Confirm it with the app's first code."""
    return await second_factor.enrol(identity, body)


@router.post("/login/mfa/confirm", response_model=SignedInEnrolled | SignedInWebEnrolled)
async def confirm_at_login(identity: TheIdentity, body: MfaConfirm, response: Response) -> Any:
    """End such a sign-in with the first code of the new app. Ten recovery codes are shown in this
    answer only."""
    entered = await second_factor.enter_enrolled(identity, body)
    return answer_of(response, identity.settings, entered)


@router.get("/mfa", response_model=MfaState)
async def read_mfa(work: AccountReading) -> MfaState:
    """Whether you have a second factor, how many recovery codes are left, and who asks for it.
    Needs a session."""
    return await factors.state(work)


@router.post("/mfa/totp", response_model=Enrolment)
async def begin_totp(identity: TheIdentity, caller: Caller, body: TotpBegin) -> Enrolment:
    """A new secret for an authenticator app, shown in this answer only. It counts when its first
    code has come. Where you have a factor, give a code of it, or a recovery code: the new app then
    takes its place. Needs a session, and your password once more."""
    return await second_factor.begin(identity, caller, body)


@router.post("/mfa/totp/confirm", response_model=RecoveryCodes)
async def confirm_totp(identity: TheIdentity, caller: Caller, body: TotpConfirm) -> RecoveryCodes:
    """The first code of the new app: from now on signing in takes one. Ten recovery codes are shown
    in this answer only. Your other sessions end."""
    return await second_factor.confirm(identity, caller, body)


@router.post("/mfa/recovery-codes", response_model=RecoveryCodes)
async def renew_recovery_codes(
    identity: TheIdentity, caller: Caller, body: Needed
) -> RecoveryCodes:
    """Ten new recovery codes in place of the old ones. Your other sessions end."""
    return await second_factor.renew_codes(identity, caller, body)


@router.post("/mfa/disable", status_code=204)
async def disable_mfa(identity: TheIdentity, caller: Caller, body: Disable) -> None:
    """Take your second factor away, unless a tenant of yours asks for one. Takes your password and
    a code. Your other sessions end."""
    await second_factor.disable(identity, caller, body)
