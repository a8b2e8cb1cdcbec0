"""One-time, expiring offers of a role in a tenant to an address."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, select, update

from maestro_ml.audit.service import record, record_for
from maestro_ml.core.access import Access, Permission, Role
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.paging import page_of
from maestro_ml.db.work import AccountWork, SystemWork, Work
from maestro_ml.identity import emails, tokens
from maestro_ml.identity.errors import (
    AlreadyMember,
    InvitationInvalid,
    InvitationNotFound,
    WrongCredentials,
)
from maestro_ml.identity.models import Invitation, Membership, User
from maestro_ml.identity.schemas_members import (
    InvitationCreate,
    InvitationView,
    NewInvitation,
    NewTenant,
    TenantFound,
)
from maestro_ml.identity.schemas_tenants import seen
from maestro_ml.identity.service import accounts, admins
from maestro_ml.identity.service.accounts import Found
from maestro_ml.tenancy import service as tenancy
from maestro_ml.tenancy.models import Tenant, TenantStatus
from maestro_ml.tenancy.schemas import TenantCreate

LIFETIME = timedelta(days=7)


async def create(work: Work, command: InvitationCreate) -> NewInvitation:
    """Offer somebody a place in the caller's tenant. An older offer to them is taken back.

    Raises:
        AlreadyMember: they have a place.
        EmailDomainRefused: the tenant takes no people with this mail domain.
    """
    work.require(Permission.USER_WRITE)
    _require_for(work, command.role)
    address = emails.normal(command.email)
    tenant = await work.session.get_one(Tenant, work.tenant_id)
    emails.check_domain(address, tenant.allowed_domains)
    # Who invites takes turns in the tenant, so that of two offers the later sees the older.
    held = await work.session.scalars(
        select(Membership)
        .where(Membership.role == Role.ADMIN)
        .order_by(Membership.id)
        .with_for_update(key_share=True)
    )
    admins.check(work, held)
    member = select(User.id).where(User.email_norm == address)
    if (await work.session.scalars(member)).first() is not None:
        raise AlreadyMember
    older = await work.session.scalars(
        update(Invitation)
        .where(Invitation.email_norm == address, *_open(work))
        .values(revoked_at=work.now)
        .returning(Invitation.id)
    )
    for id in older.all():
        record(work, "invitation.revoked", "invitation", id, reason="replaced")
    return await _offer(work, work.access, work.tenant_id, command.email, command.role)


async def search(work: Work, request: PageRequest) -> Page[Invitation]:
    """A page of the offers that can still be accepted, the newest first.

    Raises:
        Invalid: the cursor is not one of this list.
    """
    work.require(Permission.USER_READ)
    query = select(Invitation).where(*_open(work))
    return await page_of(work.session, query, Invitation, request)


async def revoke(work: Work, id: UUID) -> None:
    """Take an offer back.

    Raises:
        InvitationNotFound: the tenant has no such open one.
    """
    work.require(Permission.USER_WRITE)
    revoked = await work.session.scalar(
        update(Invitation)
        .where(Invitation.id == id, *_open(work))
        .values(revoked_at=work.now)
        .returning(Invitation.id)
    )
    if revoked is None:
        raise InvitationNotFound
    record(work, "invitation.revoked", "invitation", id)


async def renew(work: Work, id: UUID) -> NewInvitation:
    """Give an open offer a new token, and its seven days anew. The old token stops working.

    Raises:
        InvitationNotFound: the tenant has no such open one.
    """
    work.require(Permission.USER_WRITE)
    await admins.stay(work)
    token = tokens.mint(tokens.INVITATION)
    renewed = await work.session.scalar(
        update(Invitation)
        .where(Invitation.id == id, *_open(work))
        .values(token_hash=tokens.digest(token), expires_at=work.now + LIFETIME)
        .returning(Invitation)
    )
    if renewed is None:
        raise InvitationNotFound
    _require_for(work, renewed.role)
    record(work, "invitation.renewed", "invitation", id)
    view = InvitationView.model_validate(renewed)
    return NewInvitation(**view.model_dump(), token=token)


async def found_tenant(work: AccountWork, command: TenantFound) -> NewTenant:
    """Make a tenant, and an offer for who is to be its first admin.

    Raises:
        TenantSlugTaken: another one has the slug.
    """
    work.require(Permission.TENANT_CREATE)
    tenant = await tenancy.create(work, TenantCreate(name=command.name, slug=command.slug))
    offer = await _offer(work, work.access, tenant.id, command.admin_email, Role.ADMIN)
    return NewTenant(tenant=seen(tenant), invitation=offer)


@dataclass(frozen=True, slots=True)
class Offer:
    """An open invitation, as far as accepting it needs to know."""

    id: UUID
    email: str
    role: Role
    expires_at: datetime
    tenant_id: UUID
    tenant_name: str
    tenant_slug: str


async def find(work: SystemWork, token: str) -> Offer:
    """The open offer of a token.

    Raises:
        InvitationInvalid: there is none, or it is not open any more.
    """
    query = (
        select(Invitation, Tenant)
        .join(Tenant, Tenant.id == Invitation.tenant_id)
        .where(
            Invitation.token_hash == tokens.digest(token),
            Tenant.status == TenantStatus.ACTIVE,
            *_open(work),
        )
    )
    row = (await work.session.execute(query)).one_or_none()
    if row is None:
        raise InvitationInvalid
    invitation, tenant = row[0], row[1]
    return Offer(
        id=invitation.id,
        email=invitation.email,
        role=invitation.role,
        expires_at=invitation.expires_at,
        tenant_id=tenant.id,
        tenant_name=tenant.name,
        tenant_slug=tenant.slug,
    )


async def accept(work: SystemWork, offer: Offer, *, name: str, password_hash: str) -> User:
    """Use the offer up for a new account. Of many at once, one gets past this.

    Raises:
        InvitationInvalid: it is not open any more.
        EmailTaken: the address has got an account in the meantime.
        QuotaExceeded: the tenant is full.
    """
    await _use_up(work, offer)
    user = await accounts.create_user(
        work,
        email=offer.email,
        name=name,
        password_hash=password_hash,
        tenant_id=offer.tenant_id,
        role=offer.role,
    )
    _note_accepted(work, offer, user)
    return user


async def accept_as(work: SystemWork, offer: Offer, account: Found) -> User:
    """Use the offer up for the account that its address has and whose password was right.

    Raises:
        InvitationInvalid: it is not open any more.
        WrongCredentials: the account has changed in the meantime.
        AlreadyMember: the account is in the tenant already.
        QuotaExceeded: the tenant is full.
    """
    # The account before the offer, as whoever takes both away from somebody does (decision 0008).
    user = await work.session.get(User, account.id, with_for_update=True)
    await _use_up(work, offer)
    if user is None or not user.active or user.password_hash != account.password_hash:
        raise WrongCredentials
    await accounts.join(work, user, offer.tenant_id, offer.role)
    _note_accepted(work, offer, user)
    return user


async def _use_up(work: SystemWork, offer: Offer) -> None:
    accepted = await work.session.scalar(
        update(Invitation)
        .where(Invitation.id == offer.id, *_open(work))
        .values(accepted_at=work.now)
        .returning(Invitation.id)
    )
    if accepted is None:
        raise InvitationInvalid


def _note_accepted(work: SystemWork, offer: Offer, user: User) -> None:
    caller = accounts.as_caller(work, user, offer.tenant_id)
    record_for(work, offer.tenant_id, "invitation.accepted", "invitation", offer.id, access=caller)


def _require_for(work: Work, role: Role) -> None:
    if role is Role.ADMIN:
        work.require(Permission.ADMIN_APPOINT)


def _open(work: Work | SystemWork) -> tuple[ColumnElement[bool], ...]:
    return (
        Invitation.accepted_at.is_(None),
        Invitation.revoked_at.is_(None),
        Invitation.expires_at > work.now,
    )


async def _offer(
    work: Work | SystemWork, access: Access, tenant_id: UUID, email: str, role: Role
) -> NewInvitation:
    token = tokens.mint(tokens.INVITATION)
    invitation = Invitation(
        email=email,
        email_norm=emails.normal(email),
        role=role,
        token_hash=tokens.digest(token),
        created_at=work.now,
        expires_at=work.now + LIFETIME,
    )
    invitation.tenant_id = tenant_id
    work.session.add(invitation)
    await work.session.flush()
    record_for(
        work,
        tenant_id,
        "invitation.created",
        "invitation",
        invitation.id,
        access=access,
        role=role,
    )
    view = InvitationView.model_validate(invitation)
    return NewInvitation(**view.model_dump(), token=token)
