"""Tries at a password, wherever one is asked for: each is guarded, and counts for its account."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from maestro_ml.audit.service import record_for
from maestro_ml.core.errors import Unauthenticated
from maestro_ml.db.work import SystemWork, open_system_work
from maestro_ml.identity import emails
from maestro_ml.identity.errors import EmailInvalid, WrongPassword
from maestro_ml.identity.models import User
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.service import accounts, notices
from maestro_ml.limits import guard
from maestro_ml.limits.guard import Guess
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID

log = structlog.get_logger()


@asynccontextmanager
async def password(identity: Identity, email: str) -> AsyncIterator[Guess]:
    """Guard a try at the password of an address, known or not. Raise Unauthenticated if it was
    wrong; call `passed` if it was right.

    Raises:
        TooManyPasswords: too many are signing in.
        TooManyAttempts: the account, the address or the server has to wait.
        AttemptsExhausted: passwords are switched off for the account.
    """
    identity.passwords.check_room()
    try:
        async with identity.limits.guess(_account(email)) as guess:
            yield guess
    except Unauthenticated:
        if guess.exhausts:
            await _switched_off(identity, email)
        raise


async def prove(identity: Identity, email: str, stored: str | None, sent: str) -> None:
    """That who is signed in has the password of the account as well; a wrong one counts as it does
    at a sign-in.

    Raises:
        WrongPassword: it is another.
        TooManyPasswords, TooManyAttempts, AttemptsExhausted: as above.
    """
    try:
        async with password(identity, email) as attempt:
            await _check(identity, stored, sent)
            if attempt.counted:
                async with open_system_work(identity.sessions, clock=identity.clock) as work:
                    await attempt.passed(work)
    except Unauthenticated:
        raise WrongPassword from None


async def reopen(work: SystemWork, user: User) -> None:
    """Let a password be tried again: the verb that has reset it calls this in its own work."""
    await guard.forget(work, _account(user.email_norm))


async def _check(identity: Identity, stored: str | None, sent: str) -> None:
    if not await identity.passwords.verify(sent, stored):
        raise Unauthenticated


async def _switched_off(identity: Identity, email: str) -> None:
    """The hundredth wrong one in a row: it is written down, and the owner can be told."""
    log.warning("identity.password_login_off")
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        found = await accounts.find(work, email)
        if found is None:
            return
        user = await work.session.get_one(User, found.id)
        tenant_id = await accounts.home(work, user) or DEFAULT_TENANT_ID
        record_for(work, tenant_id, "user.password_login_off", "user", user.id)
        await work.tell(tenant_id, "sign-in.blocked", user_id=str(user.id))
        await notices.password_login_off(work, user)


def _account(email: str) -> str:
    """What is no address counts as well, by its own text."""
    try:
        return f"password:{emails.normal(email)}"
    except EmailInvalid:
        return f"password:{email}"
