"""Second factors, step by step: setting one up, entering with it, changing it, taking it away.

As in `signin`, hashing happens outside of any unit of work. A wrong code is written down before it
is refused, so it has a unit of work of its own.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from maestro_ml.audit.service import record_for
from maestro_ml.core.access import Access, Permission
from maestro_ml.core.errors import Invalid, Unauthenticated
from maestro_ml.db.work import SystemWork, open_account_work, open_system_work
from maestro_ml.identity import attempts, recovery_codes, tokens
from maestro_ml.identity.amr import MFA, OTP, PASSWORD, RECOVERY_CODE, SINGLE_SIGN_ON
from maestro_ml.identity.entering import Entered, enter
from maestro_ml.identity.errors import PasswordRefused, WrongPassword
from maestro_ml.identity.errors_mfa import (
    MfaInactive,
    MfaTokenInvalid,
    SignInAgain,
    WrongCode,
)
from maestro_ml.identity.models import Session, User
from maestro_ml.identity.passwords import normal
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.schemas import SignedInWeb
from maestro_ml.identity.schemas_mfa import (
    Disable,
    Enrolment,
    MfaConfirm,
    MfaEnrol,
    MfaLogin,
    Needed,
    Proof,
    RecoveryCodes,
    SignedInEnrolled,
    SignedInWebEnrolled,
    TotpBegin,
    TotpConfirm,
)
from maestro_ml.identity.service import accounts, challenges, factors, notices, sessions
from maestro_ml.identity.service.challenges import Challenge
from maestro_ml.identity.service.factors import FirstCode
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID

log = structlog.get_logger()
RECENT = timedelta(minutes=10)  # a sign-in that stands for a password, of who has none


async def login(identity: Identity, command: MfaLogin) -> Entered:
    """End a sign-in with a code.

    Raises:
        MfaTokenInvalid: the sign-in is over, or was tried too often.
        TooManyAttempts: there never was one, nor for many others from this address.
        WrongCode: and the try is counted.
    """
    await _require_issued(identity, command.mfa_token)
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        challenge = await challenges.count_try(work, command.mfa_token)
    method = await _spend(identity, challenge.who, command)
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        user = await challenges.finish(work, challenge)
        amr = [*challenge.amr, method, MFA]
        return await enter(work, identity, user, challenge.tenant_id, web=challenge.web, amr=amr)


async def enrol(identity: Identity, command: MfaEnrol) -> Enrolment:
    """Set a second factor up on the way in, where the tenant asks for one.

    Raises:
        MfaTokenInvalid: the sign-in is over.
        TooManyAttempts: there never was one, nor for many others from this address.
        MfaActive: there is a factor: its code is what is asked for.
        SignInAgain: an identity provider alone may not bind one to an account with a password.
    """
    await _require_issued(identity, command.mfa_token)
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        challenge = await challenges.look(work, command.mfa_token)
        await _check_may_enrol(work, challenge)
        enrolment = await factors.begin(work, identity.secret, challenge.user_id, proved=False)
        _record(work, challenge.who, "mfa.enrolment_begun")
    return enrolment


async def enter_enrolled(identity: Identity, command: MfaConfirm) -> Entered:
    """Confirm the new factor with its first code, and be in.

    Raises:
        MfaTokenInvalid: the sign-in is over, or was tried too often.
        TooManyAttempts: there never was one, nor for many others from this address.
        MfaNotBegun: no secret waits.
        WrongCode: and the try is counted.
    """
    await _require_issued(identity, command.mfa_token)
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        challenge = await challenges.count_try(work, command.mfa_token)
    fresh = await _first_code(identity, challenge.who, command)
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        user = await challenges.finish(work, challenge)
        await _check_may_enrol(work, challenge)
        await factors.activate(work, user.id, fresh.first, fresh.hashes)
        _record(work, challenge.who, "mfa.enabled")
        await notices.second_factor_changed(work, user)
        await sessions.end_all(work, identity, user.id, "factor_changed")
        amr = [*challenge.amr, OTP, MFA]
        entered = await enter(work, identity, user, challenge.tenant_id, web=challenge.web, amr=amr)
    web = isinstance(entered.answer, SignedInWeb)
    shown = entered.answer.model_dump() | {"recovery_codes": fresh.codes}
    answer = SignedInWebEnrolled(**shown) if web else SignedInEnrolled(**shown)
    return replace(entered, answer=answer)


async def _require_issued(identity: Identity, mfa_token: str) -> None:
    """Nobody guesses such a token, but each that is none would cost a turn at writing."""
    if await identity.lookup.is_made_up(tokens.MFA, tokens.digest(mfa_token)):
        await identity.limits.wrong("mfa")
        raise MfaTokenInvalid


async def begin(identity: Identity, access: Access, command: TotpBegin) -> Enrolment:
    """A new secret for an authenticator app; it does nothing before its first code.

    Raises:
        WrongPassword, SignInAgain: see `_prove_person`.
        MfaActive: there is a factor, and no code of it came along.
        WrongCode: one did, and is wrong.
    """
    access.require(Permission.MFA_WRITE)
    await _prove_person(identity, access, command.current_password)
    if command.given:
        await _spend(identity, access, command)
    async with open_account_work(identity.sessions, access, clock=identity.clock) as work:
        await sessions.hold(work)
        enrolment = await factors.begin(
            work, identity.secret, access.actor_id, proved=command.given
        )
        _record(work, access, "mfa.enrolment_begun")
    return enrolment


async def confirm(identity: Identity, access: Access, command: TotpConfirm) -> RecoveryCodes:
    """The first code of the new secret: from now on it is asked for. Other sessions end.

    Raises:
        MfaNotBegun: no secret waits.
        WrongCode: it is not of that secret.
    """
    access.require(Permission.MFA_WRITE)
    fresh = await _first_code(identity, access, command)
    async with open_account_work(identity.sessions, access, clock=identity.clock) as work:
        await sessions.hold(work)
        await factors.activate(work, access.actor_id, fresh.first, fresh.hashes)
        if access.session_id is not None:
            await factors.vouch(work, access.session_id, [OTP, MFA])
        await _changed(work, identity, access, "mfa.enabled")
    return RecoveryCodes(recovery_codes=fresh.codes)


async def renew_codes(identity: Identity, access: Access, command: Needed) -> RecoveryCodes:
    """Ten new recovery codes in place of the old ones. Other sessions end.

    Raises:
        MfaInactive: there is no factor.
        WrongCode
    """
    access.require(Permission.MFA_WRITE)
    await _need_factor(identity, access)
    await _spend(identity, access, command)
    codes, hashes = await _new_codes(identity)
    async with open_account_work(identity.sessions, access, clock=identity.clock) as work:
        await sessions.hold(work)
        if not await factors.has_factor(work, access.actor_id):
            raise MfaInactive
        await factors.keep_codes(work, access.actor_id, hashes)
        await _changed(work, identity, access, "mfa.recovery_codes_renewed")
    return RecoveryCodes(recovery_codes=codes)


async def disable(identity: Identity, access: Access, command: Disable) -> None:
    """Take the second factor away. Other sessions end.

    Raises:
        MfaInactive: there is none.
        MfaKept: a tenant of theirs asks for it.
        WrongPassword, SignInAgain: see `_prove_person`.
        PasswordRefused: the password is too short to stand alone.
        WrongCode
    """
    access.require(Permission.MFA_WRITE)
    await _need_factor(identity, access)
    async with open_account_work(identity.sessions, access, read_only=True) as work:
        await factors.check_not_required(work)
    await _prove_person(identity, access, command.current_password)
    least = identity.passwords.min_length
    if command.current_password is not None and len(normal(command.current_password)) < least:
        raise PasswordRefused(
            "length",
            f"Without a second factor a password has at least {least} characters; change yours "
            "first.",
        )
    await _spend(identity, access, command)
    async with open_account_work(identity.sessions, access, clock=identity.clock) as work:
        await sessions.hold(work)
        await factors.check_not_required(work)
        if not await factors.remove(work, access.actor_id):
            raise MfaInactive
        await _changed(work, identity, access, "mfa.disabled")


async def reset(identity: Identity, email: str) -> bool:
    """Take the factor of somebody away who has lost it and the recovery codes: for whoever runs the
    server. Their sessions end. False: there is no such person, or no factor."""
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        found = await accounts.find(work, email)
        if found is None:
            return False
        user = await accounts.locked(work, found.id)  # a sign-in under way ends with the others
        if not await factors.remove(work, user.id):
            return False
        record_for(work, DEFAULT_TENANT_ID, "mfa.reset", "user", user.id)
        await notices.second_factor_changed(work, user)
        await sessions.end_all(work, identity, found.id, "factor_changed")
    return True


async def _spend(identity: Identity, who: Access, proof: Proof) -> str:
    """Use a code up, and say which kind it was. Every code of a factor in use goes through here,
    so this is where guesses are counted, whichever door they come by.

    Raises:
        WrongCode: it is wrong, or was used.
        TooManyCodes: too many were wrong.
    """
    user_id = who.actor_id
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        await factors.count_try(work, user_id)
    if proof.code is not None:
        method, code = OTP, proof.code.replace(" ", "")
        async with open_system_work(identity.sessions, clock=identity.clock) as work:
            right = await factors.use_code(work, identity.secret, user_id, code)
    else:
        method = RECOVERY_CODE
        selector, rest = recovery_codes.parts(proof.recovery_code or "")
        async with open_system_work(identity.sessions, read_only=True) as work:
            id, hashed = await factors.find_recovery(work, user_id, selector)
        right = await identity.passwords.verify(rest, hashed)
        async with open_system_work(identity.sessions, clock=identity.clock) as work:
            right = right and id is not None and await factors.use_recovery(work, id)
            if right:
                _record(work, who, "mfa.recovery_code_used")
    if not right:
        await _refuse(identity, who, method)
        raise WrongCode
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        await factors.forgive(work, user_id)
    return method


@dataclass(frozen=True, slots=True)
class _Fresh:
    """What a first code makes ready."""

    first: FirstCode
    codes: list[str]
    hashes: dict[str, str]


async def _check_may_enrol(work: SystemWork, challenge: Challenge) -> None:
    """A tenant's provider would bind a factor of its own to an account that is in use elsewhere."""
    user = await work.session.get_one(User, challenge.user_id)
    if SINGLE_SIGN_ON in challenge.amr and user.password_hash is not None:
        raise SignInAgain("Sign in with your password once, to set a second factor up.")


async def _first_code(identity: Identity, who: Access, command: TotpConfirm) -> _Fresh:
    code = command.code.replace(" ", "")
    async with open_system_work(identity.sessions, read_only=True, clock=identity.clock) as work:
        first = await factors.first_code(work, identity.secret, who.actor_id, code)
    if first.step is None:
        await _refuse(identity, who, OTP)
        raise WrongCode
    codes, hashes = await _new_codes(identity)
    return _Fresh(first, codes, hashes)


async def _new_codes(identity: Identity) -> tuple[list[str], dict[str, str]]:
    """The codes, and what is kept of each: ten hashes, one after the other, so that whoever signs
    in meanwhile gets a turn."""
    codes = recovery_codes.mint()
    split = [recovery_codes.parts(code) for code in codes]
    return codes, {selector: await identity.passwords.hash(rest) for selector, rest in split}


async def _prove_person(identity: Identity, access: Access, password: str | None) -> None:
    """Whoever holds the session is who it belongs to.

    Raises:
        WrongPassword: that is not their password.
        SignInAgain: they have none, and the sign-in is a while ago.
    """
    async with open_account_work(
        identity.sessions, access, read_only=True, clock=identity.clock
    ) as work:
        user = await work.session.get_one(User, access.actor_id)
        session = await work.session.get(Session, access.session_id)
    if session is None:
        raise Unauthenticated
    if user.password_hash is None:
        if session.auth_time + RECENT < work.now:
            raise SignInAgain("You have no password: sign in again, then do this within minutes.")
        return
    if password is None:
        fault = {"at": ["body", "current_password"], "why": "is needed"}
        raise Invalid("This needs your password once more.", faults=[fault])
    try:
        await attempts.prove(identity, user.email, user.password_hash, password)
    except WrongPassword:
        await _refuse(identity, access, PASSWORD)
        raise


async def _need_factor(identity: Identity, access: Access) -> None:
    async with open_system_work(identity.sessions, read_only=True) as work:
        if not await factors.has_factor(work, access.actor_id):
            raise MfaInactive


async def _changed(work: SystemWork, identity: Identity, access: Access, action: str) -> None:
    _record(work, access, action)
    user = await work.session.get_one(User, access.actor_id)
    await notices.second_factor_changed(work, user)
    await sessions.end_all(
        work, identity, access.actor_id, "factor_changed", keep=access.session_id
    )


async def _refuse(identity: Identity, who: Access, method: str) -> None:
    log.info("identity.mfa_refused", user=str(who.actor_id), method=method)
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        _record(work, who, "mfa.refused", method=method)
    if method != PASSWORD:  # which is counted where it is tried
        await identity.limits.wrong("code")


def _record(work: SystemWork, who: Access, action: str, **facts: str) -> None:
    tenant_id = who.tenant_id or DEFAULT_TENANT_ID
    record_for(work, tenant_id, action, "user", who.actor_id, access=who, **facts)
