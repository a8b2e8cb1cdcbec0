"""Accounts: one for each normalised address, and what it is in a tenant."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from maestro_ml.audit.service import record_for
from maestro_ml.core.access import Access, Permission, Role
from maestro_ml.core.errors import Unauthenticated
from maestro_ml.db.work import AccountWork, SystemWork
from maestro_ml.identity import emails
from maestro_ml.identity.errors import AlreadyMember, EmailInvalid, EmailTaken
from maestro_ml.identity.models import Membership, User, UserKind
from maestro_ml.identity.schemas import AccountView, TenantOfAccount
from maestro_ml.tenancy import service as tenancy
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID, Tenant, TenantStatus


async def create_user(
    work: SystemWork,
    *,
    email: str,
    name: str,
    password_hash: str | None,
    tenant_id: UUID | None,
    role: Role | None,
    kind: UserKind = UserKind.PERSON,
    platform_admin: bool = False,
    verified: bool = False,
) -> User:
    """An account and, with a tenant, its place there.

    Raises:
        EmailInvalid: this is no address.
        EmailTaken: the address has an account.
        QuotaExceeded: the tenant is full.
    """
    user = User(
        email=emails.address(email),
        email_norm=emails.normal(email),
        name=name,
        kind=kind,
        password_hash=password_hash,
        platform_admin=platform_admin,
        verified=verified,
        created_at=work.now,
        updated_at=work.now,
    )
    work.session.add(user)
    await work.flush_or(EmailTaken())
    record_for(
        work,
        tenant_id or DEFAULT_TENANT_ID,
        "user.created",
        "user",
        user.id,
        access=as_caller(work, user, tenant_id),
        kind=kind.value,
        platform_admin=platform_admin,
    )
    if tenant_id is not None and role is not None:
        await join(work, user, tenant_id, role)
    return user


async def join(work: SystemWork, user: User, tenant_id: UUID, role: Role) -> Membership:
    """Give a user a place and a role in a tenant.

    Raises:
        AlreadyMember: they have one.
        QuotaExceeded: the tenant is full.
    """
    await tenancy.take_user_seat(work, tenant_id)
    membership = Membership(user_id=user.id, role=role, created_at=work.now)
    membership.tenant_id = tenant_id
    work.session.add(membership)
    await work.flush_or(AlreadyMember())
    record_for(
        work,
        tenant_id,
        "member.joined",
        "user",
        user.id,
        access=as_caller(work, user, tenant_id),
        role=role.value,
    )
    return membership


@dataclass(frozen=True, slots=True)
class Found:
    """What a sign-in is decided on. No more is read: an unknown address must not be told from a
    known one by the time it takes."""

    id: UUID
    password_hash: str | None
    may_enter: bool


async def find(work: SystemWork, email: str) -> Found | None:
    """The account of an address; None also for what is no address."""
    try:
        normal = emails.normal(email)
    except EmailInvalid:
        return None
    query = select(User.id, User.password_hash, User.active, User.kind)
    row = (await work.session.execute(query.where(User.email_norm == normal))).one_or_none()
    if row is None:
        return None
    return Found(row[0], row[1], row[2] and row[3] is UserKind.PERSON)


async def home(work: SystemWork, user: User, slug: str | None = None) -> UUID | None:
    """The tenant a sign-in opens: the named one, or the one they joined first. Suspended ones,
    and those they are no member of, do not count."""
    query = (
        select(Tenant.id)
        .join(Membership, Membership.tenant_id == Tenant.id)
        .where(Membership.user_id == user.id, Tenant.status == TenantStatus.ACTIVE)
        .order_by(Membership.created_at, Membership.id)
        .limit(1)
    )
    if slug is not None:
        query = query.where(Tenant.slug == slug)
    found: UUID | None = await work.session.scalar(query)
    return found


async def describe(work: SystemWork, user: User, tenant_id: UUID | None) -> AccountView:
    """A user as they stand in a tenant."""
    row = (
        await work.session.execute(
            select(Tenant, Membership.role)
            .join(Membership, Membership.tenant_id == Tenant.id)
            .where(Tenant.id == tenant_id, Membership.user_id == user.id)
        )
    ).one_or_none()
    tenant, role = (None, None) if row is None else (row[0], row[1])
    return AccountView(
        id=user.id,
        email=user.email,
        name=user.name,
        role=role,
        tenant=tenant and TenantOfAccount.model_validate(tenant),
        platform_admin=user.platform_admin,
        verified=user.verified,
        created_at=user.created_at,
        last_login_at=user.last_login_at,
    )


async def me(work: AccountWork) -> AccountView:
    """The caller's own account, as the database knows it."""
    work.require(Permission.ACCOUNT_READ)
    user = await work.session.get(User, work.access.actor_id)
    if user is None:
        raise Unauthenticated
    return await describe(work, user, work.access.tenant_id)


def as_caller(work: SystemWork, user: User, tenant_id: UUID | None) -> Access:
    """Whom the audit trail names: the caller, or the user who acts before they are one."""
    if isinstance(work, AccountWork):
        return work.access
    return Access(actor_id=user.id, tenant_id=tenant_id, role=None)
