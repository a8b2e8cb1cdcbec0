"""Accounts: one for each normalised address, and what it is in a tenant."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, Select, String, Uuid, and_, bindparam, func, select

from maestro_ml.audit.service import record_for
from maestro_ml.core.access import Access, Permission, Role
from maestro_ml.core.errors import Unauthenticated
from maestro_ml.db.work import AccountWork, SystemWork
from maestro_ml.identity import emails
from maestro_ml.identity.errors import AlreadyMember, EmailInvalid, EmailTaken
from maestro_ml.identity.models import Membership, User, UserKind
from maestro_ml.identity.schemas import AccountView, TenantOfAccount
from maestro_ml.identity.schemas_self_service import Rename
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
        EmailDomainRefused: the tenant takes no people with their mail domain.
        QuotaExceeded: the tenant is full.
    """
    await tenancy.take_user_seat(work, tenant_id)
    if user.kind is UserKind.PERSON:
        tenant = await work.session.get_one(Tenant, tenant_id, populate_existing=True)
        emails.check_domain(user.email, tenant.allowed_domains)
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


# A place that counts, of a query that has the user and the tenant.
MAY_ACT = and_(
    Membership.tenant_id == Tenant.id,
    Membership.user_id == User.id,
    Membership.active,
    Tenant.status == TenantStatus.ACTIVE,
)


def _open_to(user_id: UUID | BindParameter[UUID]) -> Select[Tenant]:
    return (
        select(Tenant)
        .join(Membership, Membership.tenant_id == Tenant.id)
        .where(
            Membership.user_id == user_id,
            Membership.active,
            Tenant.status == TenantStatus.ACTIVE,
        )
    )


_HOME = (
    _open_to(bindparam("user", type_=Uuid()))
    .where(Tenant.slug == func.coalesce(bindparam("slug", type_=String()), Tenant.slug))
    .order_by(Membership.created_at, Membership.id)
    .limit(1)
    .with_only_columns(Tenant.id)
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a sign-in is decided on. No more is read: an unknown address must not be told from a
    known one by the time it takes."""

    id: UUID
    password_hash: str | None
    may_enter: bool

    @classmethod
    def of(cls, row: Sequence[Any]) -> "Found":
        """Of the columns id, password_hash, active and kind."""
        id, password_hash, active, kind = row
        return cls(id, password_hash, active and kind is UserKind.PERSON)


async def find(work: SystemWork, email: str) -> Found | None:
    """The account of an address; None also for what is no address."""
    try:
        normal = emails.normal(email)
    except EmailInvalid:
        return None
    query = select(User.id, User.password_hash, User.active, User.kind)
    row = (await work.session.execute(query.where(User.email_norm == normal))).one_or_none()
    return None if row is None else Found.of(row)


async def home(work: SystemWork, user: User, slug: str | None = None) -> UUID | None:
    """The tenant a sign-in opens: the named one, or the one they joined first. Suspended ones,
    and those they are no active member of, do not count."""
    return await work.session.scalar(_HOME, {"user": user.id, "slug": slug})


async def belongs(work: SystemWork, user: User, tenant_id: UUID) -> bool:
    """Whether a user may act in the tenant: a member of one that is active."""
    query = _open_to(user.id).where(Tenant.id == tenant_id)
    return await work.session.scalar(query) is not None


async def tenants(work: AccountWork, *, only: UUID | None = None) -> list[Tenant]:
    """Those that the caller may act in, in the order they joined them; or the one that is named."""
    work.require(Permission.SESSION_READ)
    query = _open_to(work.access.actor_id).order_by(Membership.created_at, Membership.id)
    if only is not None:
        query = query.where(Tenant.id == only)
    return list(await work.session.scalars(query))


async def describe(work: SystemWork, user: User, tenant_id: UUID | None) -> AccountView:
    """A user as they stand in a tenant."""
    row = (
        await work.session.execute(
            select(Tenant, Membership.role)
            .join(Membership, Membership.tenant_id == Tenant.id)
            .where(Tenant.id == tenant_id, Membership.user_id == user.id, Membership.active)
        )
    ).one_or_none()
    if row is None:
        return view_of(user, None, None)
    return view_of(user, TenantOfAccount.model_validate(row[0]), row[1])


def view_of(user: User, tenant: TenantOfAccount | None, role: Role | None) -> AccountView:
    return AccountView(
        id=user.id,
        email=user.email,
        name=user.name,
        role=role,
        tenant=tenant,
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


async def rename(work: AccountWork, command: Rename) -> AccountView:
    """Give the caller's own account another name."""
    work.require(Permission.ACCOUNT_WRITE)
    user = await locked(work, work.access.actor_id)
    user.name, user.updated_at = command.name, work.now
    await note(work, user, "user.renamed")
    return await describe(work, user, work.access.tenant_id)


async def locked(work: SystemWork, user_id: UUID) -> User:
    """A user's row as it is now: whoever else would change it waits.

    Raises:
        Unauthenticated: it is gone.
    """
    user = await work.session.get(User, user_id, with_for_update=True, populate_existing=True)
    if user is None:
        raise Unauthenticated
    return user


async def note(work: SystemWork, user: User, action: str, **facts: str | int | None) -> None:
    """Write down what happened to an account, in the tenant that it is at home in."""
    tenant_id = await home(work, user) or DEFAULT_TENANT_ID
    caller = as_caller(work, user, tenant_id)
    record_for(work, tenant_id, action, "user", user.id, access=caller, **facts)


def as_caller(work: SystemWork, user: User, tenant_id: UUID | None) -> Access:
    """Whom the audit trail names: the caller, or the user who acts before they are one."""
    if isinstance(work, AccountWork):
        return work.access
    return Access(actor_id=user.id, tenant_id=tenant_id, role=None)
