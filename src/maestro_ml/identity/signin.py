"""Registering and signing in, step by step.

Hashing a password takes longer than everything else together, and a unit of work that writes keeps
other writers waiting: so each reads in one short unit of work, hashes outside of any, and writes in
another.
"""

from contextlib import suppress
from urllib.parse import urlsplit

import structlog

from maestro_ml.core.access import Role
from maestro_ml.core.errors import Unauthenticated
from maestro_ml.core.hosts import is_loopback
from maestro_ml.core.settings import Settings
from maestro_ml.core.settings_groups import Registration
from maestro_ml.db.work import SystemWork, open_system_work
from maestro_ml.identity import attempts, emails, tokens
from maestro_ml.identity.entering import Entered, enter
from maestro_ml.identity.errors import (
    EmailTaken,
    EmailUnverified,
    RegistrationClosed,
    WrongCredentials,
)
from maestro_ml.identity.models import User
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.schemas import Login, Register, SignedIn
from maestro_ml.identity.service import accounts, addresses, sessions
from maestro_ml.limits.errors import TooManyAttempts
from maestro_ml.limits.guard import Guess
from maestro_ml.limits.rates import Rate
from maestro_ml.tenancy import service as tenancy
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID, Tenant, TenantStatus

MAILS = Rate(3, 60 * 60)  # to an address
EMAIL_TAKEN = Rate(5, 60 * 60)  # for each client address: who has an account is nobody's business
REGISTRATIONS = Rate(20, 60 * 60)  # for each client address: nobody fills a tenant by themselves
log = structlog.get_logger()


def registration(settings: Settings) -> Registration:
    """Who may register: anybody on this machine, and on any other address by invitation."""
    if settings.auth.registration is not None:
        return settings.auth.registration
    server = settings.server
    hosts = [server.host, urlsplit(server.public_url or "//localhost").hostname or ""]
    local = all(map(is_loopback, hosts)) and not server.trusted_proxies
    return Registration.OPEN if local else Registration.INVITE


async def register(identity: Identity, command: Register, *, web: bool = False) -> Entered | None:
    """Open an account in the default tenant, as a viewer, and sign in. None: the address has to be
    verified first, and whether it had an account is told to its owner alone.

    Raises:
        RegistrationClosed: people need an invitation here, or nobody is taken.
        EmailDomainRefused: the default tenant takes no people with this mail domain.
        PasswordRefused: the password breaks a rule.
        EmailTaken: the address has an account.
        QuotaExceeded: the tenant is full.
        TooManyAttempts: this caller was told of enough addresses that have an account, or has
            opened enough of them.
    """
    _check_open(registration(identity.settings))
    async with identity.limits.told("email-taken", EMAIL_TAKEN):
        try:
            return await _register(identity, command, web=web)
        except EmailTaken:
            await identity.limits.wrong("email-taken", EMAIL_TAKEN)
            raise


async def _register(identity: Identity, command: Register, *, web: bool) -> Entered | None:
    verify = identity.settings.auth.verify_email
    async with open_system_work(identity.sessions, read_only=True) as work:
        tenant = await work.session.get(Tenant, DEFAULT_TENANT_ID)
        taken = await accounts.find(work, command.email)
    if tenant is None or tenant.status is not TenantStatus.ACTIVE:
        raise RegistrationClosed("the default tenant is suspended.")
    emails.check_domain(command.email, tenant.allowed_domains)
    identity.passwords.check(
        command.password, words=[command.email, command.name, tenant.name, tenant.slug]
    )
    if verify:
        tenancy.check_user_seat(tenant)  # or a full tenant would tell the known from the new
    elif taken is not None:
        raise EmailTaken
    await identity.limits.wrong("registration", REGISTRATIONS)
    hashed = await identity.passwords.hash(command.password)
    may_mail = verify and await _may_mail(identity, command.email)
    if verify:
        with suppress(EmailTaken):  # at this very moment, by a registration that sends the mail
            async with open_system_work(identity.sessions, clock=identity.clock) as work:
                if taken is None:
                    user = await _create(work, command, hashed)
                    await addresses.mail_link(work, identity, user, user.email)
                elif may_mail:
                    await addresses.tell_owner(work, taken)
        return None
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        user = await _create(work, command, hashed)
        return await _enter(work, identity, user, tenant.slug, web=web)


async def login(identity: Identity, command: Login, *, web: bool = False) -> Entered:
    """Sign in with a password. Whatever is wrong, it costs one hash and reads the same.

    Raises:
        WrongCredentials: no such account, a wrong password, a disabled account, no tenant.
        EmailUnverified: the right password, and an address that has to be verified first.
        TooManyPasswords: too many are signing in.
        TooManyAttempts, AttemptsExhausted: there were too many wrong ones before.
    """
    async with attempts.password(identity, command.email) as attempt:
        return await _login(identity, command, attempt, web=web)


async def _login(identity: Identity, command: Login, attempt: Guess, *, web: bool) -> Entered:
    found = await identity.lookup.account(command.email)
    stored = found.password_hash if found else None
    right = await identity.passwords.verify(command.password, stored)
    if found is None or stored is None or not right or not found.may_enter:
        log.info("identity.login_refused", user=str(found.id) if found else None)
        raise WrongCredentials
    renewed = None
    if identity.passwords.needs_rehash(stored):
        renewed = await identity.passwords.hash(command.password)
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        user = await work.session.get(User, found.id, with_for_update=True)
        if user is None or not user.active or user.password_hash != stored:
            raise WrongCredentials
        if renewed is not None:
            user.password_hash = renewed
        await attempt.passed(work)
        # A platform admin came by the setup secret, and may be the one who reads the outbox.
        if user.verified or user.platform_admin or not identity.settings.auth.verify_email:
            return await _enter(work, identity, user, command.tenant, web=web)
        await addresses.remind(work, identity, user)
    raise EmailUnverified  # now that the mail is in the outbox


async def refresh(identity: Identity, token: str) -> SignedIn:
    """Trade a refresh token for a new pair.

    Raises:
        Unauthenticated: it is none of ours, too old, ended or used before.
        TooManyAttempts: it is made up, as were many others from the same address.
    """
    if not tokens.well_formed(token, tokens.REFRESH):
        raise Unauthenticated
    session_id = await identity.lookup.session_of(tokens.digest(token))
    if session_id is None:
        await identity.limits.wrong("refresh")
        raise Unauthenticated
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        answer = await sessions.refresh(work, identity, token, session_id)
    if answer is None:
        raise Unauthenticated
    return answer


async def _may_mail(identity: Identity, email: str) -> bool:
    """Whoever registers with other people's addresses fills no mailbox."""
    try:
        await identity.limits.take("registration-mail", MAILS, of=emails.normal(email))
    except TooManyAttempts:
        return False
    return True


async def _create(work: SystemWork, command: Register, password_hash: str) -> User:
    return await accounts.create_user(
        work,
        email=command.email,
        name=command.name,
        password_hash=password_hash,
        tenant_id=DEFAULT_TENANT_ID,
        role=Role.VIEWER,
    )


async def _enter(
    work: SystemWork, identity: Identity, user: User, slug: str | None, *, web: bool
) -> Entered:
    tenant_id = await accounts.home(work, user, slug)
    if tenant_id is None and (slug is not None or not user.platform_admin):
        raise WrongCredentials
    return await enter(work, identity, user, tenant_id, web=web)


def _check_open(policy: Registration) -> None:
    if policy is Registration.INVITE:
        raise RegistrationClosed("ask an admin of your organisation for an invitation.")
    if policy is Registration.CLOSED:
        raise RegistrationClosed("an admin has to make your account.")
