"""Registering and signing in, step by step.

Hashing a password takes longer than everything else together, and a unit of work that writes keeps
other writers waiting: so each reads in one short unit of work, hashes outside of any, and writes in
another.
"""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog

from maestro_ml.core.access import Role
from maestro_ml.core.errors import Unauthenticated
from maestro_ml.core.settings import Registration, Settings
from maestro_ml.db.work import SystemWork, open_system_work
from maestro_ml.identity import tokens
from maestro_ml.identity.errors import EmailTaken, RegistrationClosed, WrongCredentials
from maestro_ml.identity.models import User
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.schemas import Login, Register, SignedIn, SignedInWeb
from maestro_ml.identity.service import accounts, sessions
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID, Tenant, TenantStatus

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Entered:
    """The answer to a sign-in; with a cookie when a browser asked."""

    answer: SignedIn | SignedInWeb
    cookie: str | None = None


def registration(settings: Settings) -> Registration:
    """Who may register: anybody on this machine, and on any other address by invitation."""
    if settings.auth.registration is not None:
        return settings.auth.registration
    server = settings.server
    hosts = [server.host, urlsplit(server.public_url or "//localhost").hostname or ""]
    local = all(map(_is_loopback, hosts)) and not server.trusted_proxies
    return Registration.OPEN if local else Registration.INVITE


async def register(identity: Identity, command: Register, *, web: bool = False) -> Entered:
    """Open an account in the default tenant, as a viewer, and sign in.

    Raises:
        RegistrationClosed: people need an invitation here, or nobody is taken.
        PasswordRefused: the password breaks a rule.
        EmailTaken: the address has an account.
        QuotaExceeded: the tenant is full.
    """
    _check_open(registration(identity.settings))
    async with open_system_work(identity.sessions, read_only=True) as work:
        tenant = await work.session.get(Tenant, DEFAULT_TENANT_ID)
        taken = await accounts.find(work, command.email) is not None
    if tenant is None or tenant.status is not TenantStatus.ACTIVE:
        raise RegistrationClosed("the default tenant is suspended.")
    identity.passwords.check(
        command.password, words=[command.email, command.name, tenant.name, tenant.slug]
    )
    if taken:
        raise EmailTaken
    hashed = await identity.passwords.hash(command.password)
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        user = await accounts.create_user(
            work,
            email=command.email,
            name=command.name,
            password_hash=hashed,
            tenant_id=tenant.id,
            role=Role.VIEWER,
        )
        return await _enter(work, identity, user, tenant.slug, web=web)


async def login(identity: Identity, command: Login, *, web: bool = False) -> Entered:
    """Sign in with a password. Whatever is wrong, it costs one hash and reads the same.

    Raises:
        WrongCredentials: no such account, a wrong password, a disabled account, no tenant.
        TooManyPasswords: too many are signing in.
    """
    async with open_system_work(identity.sessions, read_only=True) as work:
        found = await accounts.find(work, command.email)
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
        return await _enter(work, identity, user, command.tenant, web=web)


async def refresh(identity: Identity, token: str) -> SignedIn:
    """Trade a refresh token for a new pair.

    Raises:
        Unauthenticated: it is none of ours, too old, ended or used before.
    """
    if not tokens.well_formed(token, tokens.REFRESH):
        raise Unauthenticated
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        answer = await sessions.refresh(work, identity, token)
    if answer is None:
        raise Unauthenticated
    return answer


async def _enter(
    work: SystemWork, identity: Identity, user: User, slug: str | None, *, web: bool
) -> Entered:
    tenant_id = await accounts.home(work, user, slug)
    if tenant_id is None and (slug is not None or not user.platform_admin):
        raise WrongCredentials
    if web:
        return Entered(*await sessions.sign_in_web(work, identity, user, tenant_id))
    return Entered(await sessions.sign_in(work, identity, user, tenant_id))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _check_open(policy: Registration) -> None:
    if policy is Registration.INVITE:
        raise RegistrationClosed("ask an admin of your organisation for an invitation.")
    if policy is Registration.CLOSED:
        raise RegistrationClosed("an admin has to make your account.")
