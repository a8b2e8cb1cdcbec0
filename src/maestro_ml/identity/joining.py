"""How people come in who do not register: by an invitation, or as the platform's first admin.

As in `signin`, hashing happens outside of any unit of work.
"""

from uuid import UUID

import structlog

from maestro_ml.db.work import SystemWork, open_system_work
from maestro_ml.identity import tokens
from maestro_ml.identity.errors import InvitationInvalid, SetupRefused, WrongCredentials
from maestro_ml.identity.models import User
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.schemas_members import Accept, Setup
from maestro_ml.identity.service import accounts, invitations, sessions, setup
from maestro_ml.identity.service.accounts import Found
from maestro_ml.identity.signin import Entered
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID, Tenant

log = structlog.get_logger()


async def accept(identity: Identity, command: Accept, *, web: bool = False) -> Entered:
    """Take up an invitation, with a new account or the one that the address has, and sign in.

    Raises:
        InvitationInvalid: it is none of ours, was used, was taken back or is too old.
        PasswordRefused: the password of the new account breaks a rule.
        WrongCredentials: the address has an account, and this is not its password.
        AlreadyMember: the account is in the tenant already.
        QuotaExceeded: the tenant is full; the invitation stays good.
    """
    if not tokens.well_formed(command.token, tokens.INVITATION):
        raise InvitationInvalid
    async with open_system_work(identity.sessions, read_only=True, clock=identity.clock) as work:
        offer = await invitations.find(work, command.token)
        account = await accounts.find(work, offer.email)
    if account is None:
        words = [offer.email, command.name, offer.tenant_name, offer.tenant_slug]
        identity.passwords.check(command.password, words=words)
        hashed = await identity.passwords.hash(command.password)
    elif not await _is_theirs(identity, account, command.password):
        log.info("identity.invitation_refused", user=str(account.id))
        raise WrongCredentials
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        if account is None:
            user = await invitations.accept(work, offer, name=command.name, password_hash=hashed)
        else:
            user = await invitations.accept_as(work, offer, account)
        return await _enter(work, identity, user, offer.tenant_id, web=web)


async def set_up(identity: Identity, command: Setup, *, web: bool = False) -> Entered:
    """Become the platform's first admin, once, and sign in.

    Raises:
        SetupRefused: the secret is wrong or was used.
        PasswordRefused: the password breaks a rule.
        EmailTaken: the address has an account.
        QuotaExceeded: the default tenant is full.
    """
    if not tokens.well_formed(command.token, tokens.SETUP):
        raise SetupRefused
    async with open_system_work(identity.sessions, read_only=True, clock=identity.clock) as work:
        await setup.check(work, command.token)
        tenant = await work.session.get_one(Tenant, DEFAULT_TENANT_ID)
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
        return await _enter(work, identity, user, tenant.id, web=web)


async def _is_theirs(identity: Identity, account: Found, password: str) -> bool:
    right = await identity.passwords.verify(password, account.password_hash)
    return right and account.may_enter


async def _enter(
    work: SystemWork, identity: Identity, user: User, tenant_id: UUID, *, web: bool
) -> Entered:
    if web:
        return Entered(*await sessions.sign_in_web(work, identity, user, tenant_id))
    return Entered(await sessions.sign_in(work, identity, user, tenant_id))
