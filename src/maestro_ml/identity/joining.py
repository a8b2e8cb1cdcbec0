"""How people come in who do not register: by an invitation, or as the platform's first admin.

As in `signin`, hashing happens outside of any unit of work.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from maestro_ml.db.work import SystemWork, open_system_work
from maestro_ml.identity import attempts, tokens
from maestro_ml.identity.entering import Entered, enter
from maestro_ml.identity.errors import (
    InvitationInvalid,
    NameNeeded,
    SetupRefused,
    WrongCredentials,
)
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.schemas_members import Accept, Setup
from maestro_ml.identity.service import accounts, addresses, invitations, setup
from maestro_ml.identity.service.accounts import Found
from maestro_ml.identity.service.invitations import Offer
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID, Tenant

log = structlog.get_logger()


async def read(identity: Identity, token: str) -> Offer:
    """What an invitation offers, for whoever holds it. It says nothing of whether the address has
    an account.

    Raises:
        InvitationInvalid: it is none of ours, was used, was taken back or is too old.
        TooManyAttempts: there were too many wrong ones before.
    """
    async with _offered(identity, token) as (_, offer):
        return offer


async def accept(identity: Identity, command: Accept, *, web: bool = False) -> Entered:
    """Take up an invitation, with a new account or the one that the address has, and sign in.

    Raises:
        InvitationInvalid: it is none of ours, was used, was taken back or is too old.
        NameNeeded: the address has no account, and no name was given for one.
        PasswordRefused: the password of the new account breaks a rule.
        WrongCredentials: the address has an account, and this is not its password.
        AlreadyMember: the account is in the tenant already.
        QuotaExceeded: the tenant is full; the invitation stays good.
        TooManyAttempts, AttemptsExhausted: there were too many wrong ones before.
    """
    async with _offered(identity, command.token) as (work, offer):
        account = await accounts.find(work, offer.email)
    if account is None:
        return await _accept_anew(identity, command, offer, web=web)
    async with attempts.password(identity, offer.email) as attempt:
        if not await _is_theirs(identity, account, command.password):
            log.info("identity.invitation_refused", user=str(account.id))
            raise WrongCredentials
        async with open_system_work(identity.sessions, clock=identity.clock) as work:
            user = await invitations.accept_as(work, offer, account)
            entered = await enter(work, identity, user, offer.tenant_id, web=web)
            await attempt.passed(work)
            return entered


@asynccontextmanager
async def _offered(identity: Identity, token: str) -> AsyncIterator[tuple[SystemWork, Offer]]:
    if not tokens.well_formed(token, tokens.INVITATION):
        raise InvitationInvalid
    try:
        async with open_system_work(
            identity.sessions, read_only=True, clock=identity.clock
        ) as work:
            yield work, await invitations.find(work, token)
    except InvitationInvalid:
        await identity.limits.wrong("invitation")
        raise


async def _accept_anew(identity: Identity, command: Accept, offer: Offer, *, web: bool) -> Entered:
    if command.name is None:
        raise NameNeeded
    words = [offer.email, command.name, offer.tenant_name, offer.tenant_slug]
    identity.passwords.check(command.password, words=words)
    hashed = await identity.passwords.hash(command.password)
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        user = await invitations.accept(work, offer, name=command.name, password_hash=hashed)
        if identity.settings.auth.verify_email:  # who invites may have passed the token on
            await addresses.mail_link(work, identity, user, user.email)
        return await enter(work, identity, user, offer.tenant_id, web=web)


async def set_up(identity: Identity, command: Setup, *, web: bool = False) -> Entered:
    """Become the platform's first admin, once, and sign in.

    Raises:
        SetupRefused: the secret is wrong or was used.
        PasswordRefused: the password breaks a rule.
        EmailTaken: the address has an account.
        QuotaExceeded: the default tenant is full.
        TooManyAttempts: there were too many wrong secrets from this address.
    """
    if not tokens.well_formed(command.token, tokens.SETUP):
        raise SetupRefused
    try:
        async with open_system_work(
            identity.sessions, read_only=True, clock=identity.clock
        ) as work:
            await setup.check(work, command.token)
            tenant = await work.session.get_one(Tenant, DEFAULT_TENANT_ID)
    except SetupRefused:
        await identity.limits.wrong("setup")
        raise
    words = [command.email, command.name, tenant.name, tenant.slug]
    identity.passwords.check(command.password, words=words)
    hashed = await identity.passwords.hash(command.password)
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        user = await setup.spend(
            work,
            secret=command.token,
            email=command.email,
            name=command.name,
            password_hash=hashed,
        )
        return await enter(work, identity, user, tenant.id, web=web)


async def _is_theirs(identity: Identity, account: Found, password: str) -> bool:
    right = await identity.passwords.verify(password, account.password_hash)
    return right and account.may_enter
