"""Single sign-on in the database: a way there and back, and whose account is entered."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, delete, or_, select, update

from maestro_ml.audit.service import record_for
from maestro_ml.core.access import Role
from maestro_ml.db.work import SystemWork
from maestro_ml.identity import emails, tokens
from maestro_ml.identity.errors_sso import (
    IdentityProviderNotFound,
    SingleSignOnNoAccount,
    SingleSignOnRefused,
)
from maestro_ml.identity.id_tokens import Vouched
from maestro_ml.identity.models import (
    ApiKey,
    ExternalIdentity,
    IdentityProvider,
    Membership,
    OidcFlow,
    Purpose,
    User,
    UserKind,
)
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.service import accounts, factors, links, sessions
from maestro_ml.tenancy.models import Tenant, TenantStatus

log = structlog.get_logger()
LIFETIME = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider that people may sign in through now, and its tenant."""

    row: IdentityProvider
    tenant: Tenant

    def speaks_for(self, email: str) -> bool:
        domain = emails.normal(email).rpartition("@")[2]
        policy = self.tenant.allowed_domains
        return domain in self.row.allowed_domains and (not policy or domain in policy)

    def role_of(self, vouched: Vouched) -> Role:
        """The highest that a group of theirs gives; for whom none does, the default."""
        groups = vouched.groups(self.row.groups_claim)
        given = [Role(role) for group, role in self.row.group_roles.items() if group in groups]
        return max(given, key=lambda role: role.rank, default=self.row.default_role)


async def named(work: SystemWork, tenant: str, slug: str) -> Provider:
    """Raises:
    IdentityProviderNotFound: nobody can sign in through such a one.
    """
    return await _provider(work, Tenant.slug == tenant, IdentityProvider.slug == slug)


async def get(work: SystemWork, id: UUID) -> Provider:
    """Raises:
    IdentityProviderNotFound: nobody can sign in through it.
    """
    return await _provider(work, IdentityProvider.id == id)


async def _provider(work: SystemWork, *which: ColumnElement[bool]) -> Provider:
    query = (
        select(IdentityProvider, Tenant)
        .join(Tenant, Tenant.id == IdentityProvider.tenant_id)
        .where(*which, IdentityProvider.enabled, Tenant.status == TenantStatus.ACTIVE)
    )
    row = (await work.session.execute(query)).one_or_none()
    if row is None:
        raise IdentityProviderNotFound
    return Provider(row[0], row[1])


async def begin(
    work: SystemWork, provider: UUID, *, state: str, browser: str, next: str
) -> OidcFlow:
    """Remember that this browser has gone to a provider."""
    flow = OidcFlow(
        provider_id=provider,
        state_hash=tokens.digest(state),
        browser_hash=tokens.digest(browser),
        next=next,
        created_at=work.now,
        expires_at=work.now + LIFETIME,
    )
    work.session.add(flow)
    await work.session.flush()
    return flow


async def spend(work: SystemWork, provider: UUID, *, state: str, browser: str) -> str | None:
    """Use a way up that this browser began with this provider: where it wanted to go next.
    None: there is no such way. Of many at once, one gets past this."""
    found: str | None = await work.session.scalar(
        update(OidcFlow)
        .where(
            OidcFlow.state_hash == tokens.digest(state),
            OidcFlow.browser_hash == tokens.digest(browser),
            OidcFlow.provider_id == provider,
            OidcFlow.used_at.is_(None),
            OidcFlow.expires_at > work.now,
        )
        .values(used_at=work.now)
        .returning(OidcFlow.next)
    )
    return found


async def admit(work: SystemWork, identity: Identity, provider: Provider, vouched: Vouched) -> User:
    """The account of somebody that the provider vouches for, as a member of its tenant.

    Raises:
        SingleSignOnRefused: the account is disabled or changed at this moment.
        SingleSignOnNoAccount: there is none, and none is made; or it stands above tenants.
        QuotaExceeded: the tenant is full.
    """
    issuer = provider.row.issuer
    known = await work.session.scalar(
        select(ExternalIdentity).where(
            ExternalIdentity.issuer == issuer, ExternalIdentity.subject == vouched.subject
        )
    )
    if known is None:
        user, places = await _first_time(work, identity, provider, vouched)
    else:
        places = await _hold_places(work, provider, known.user_id)
        user = await work.session.get_one(User, known.user_id, with_for_update=True)
        known.last_used_at = work.now
    if user.platform_admin:  # since the account was linked
        raise SingleSignOnNoAccount
    if not _may_enter(user):
        log.info("identity.sso_refused", user=str(user.id), reason="the account is disabled")
        raise SingleSignOnRefused
    await _take_place(work, provider, user, vouched, places)
    if known is None:
        await _link(work, provider, user, vouched)
    return user


async def _first_time(
    work: SystemWork, identity: Identity, provider: Provider, vouched: Vouched
) -> tuple[User, dict[UUID, Membership]]:
    email = vouched.email
    if email is None or not provider.speaks_for(email):
        raise SingleSignOnNoAccount
    theirs = User.email_norm == emails.normal(email)
    known = await work.session.scalar(select(User.id).where(theirs))
    places = await _hold_places(work, provider, known)
    user = await work.session.scalar(select(User).where(theirs).with_for_update())
    if user is None:
        user = await accounts.create_user(
            work,
            email=email,
            name=vouched.name,
            password_hash=None,
            tenant_id=provider.tenant.id,
            role=provider.role_of(vouched),
            verified=False,  # the provider says so, and its tenant alone believes it
        )
        return user, places
    await _check_ours(work, provider, user)
    if not user.verified:
        await _start_over(work, identity, user)
    return user, places


async def _check_ours(work: SystemWork, provider: Provider, user: User) -> None:
    """A tenant's admin says which provider speaks for which domain. So that nobody gets into
    other tenants that way, it speaks only for accounts that are in this tenant and nowhere else."""
    elsewhere = select(Membership.id).where(
        Membership.user_id == user.id, Membership.tenant_id != provider.tenant.id
    )
    outside = (await work.session.scalars(elsewhere.limit(1))).first() is not None
    if outside or user.platform_admin or not _may_enter(user):
        log.info("identity.sso_refused", user=str(user.id), reason="the account is not ours")
        raise SingleSignOnNoAccount


async def _start_over(work: SystemWork, identity: Identity, user: User) -> None:
    """Nobody had shown that the address is theirs, so whoever made the account may be a stranger:
    what that one knows opens it no more."""
    user.password_hash = None
    user.updated_at = work.now
    await links.drop(work, user, *Purpose)
    await factors.remove(work, user.id)
    others = ExternalIdentity.user_id == user.id
    await work.session.execute(delete(ExternalIdentity).where(others))
    await sessions.end_all(work, identity, user.id, "single_sign_on")
    await work.session.execute(
        update(ApiKey)
        .where(ApiKey.user_id == user.id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=work.now)
    )
    await accounts.note(work, user, "user.taken_over")


async def _link(work: SystemWork, provider: Provider, user: User, vouched: Vouched) -> None:
    work.session.add(
        ExternalIdentity(
            user_id=user.id,
            issuer=provider.row.issuer,
            subject=vouched.subject,
            created_at=work.now,
            last_used_at=work.now,
        )
    )
    await work.flush_or(SingleSignOnRefused())
    record_for(
        work,
        provider.tenant.id,
        "user.linked",
        "user",
        user.id,
        access=accounts.as_caller(work, user, provider.tenant.id),
        issuer=provider.row.issuer,
        subject=vouched.subject,
    )


async def _hold_places(
    work: SystemWork, provider: Provider, user_id: UUID | None
) -> dict[UUID, Membership]:
    """Theirs and the admins', by whose they are: before the account (decision 0008)."""
    held = await work.session.scalars(
        select(Membership)
        .where(
            Membership.tenant_id == provider.tenant.id,
            or_(Membership.user_id == user_id, Membership.role == Role.ADMIN),
        )
        .order_by(Membership.id)
        .with_for_update(key_share=True)
    )
    return {membership.user_id: membership for membership in held}


async def _take_place(
    work: SystemWork,
    provider: Provider,
    user: User,
    vouched: Vouched,
    places: dict[UUID, Membership],
) -> None:
    """Their membership, with the role that their groups give."""
    tenant, role = provider.tenant.id, provider.role_of(vouched)
    membership = places.get(user.id)
    if membership is None:
        if await accounts.belongs(work, user, tenant):  # since just now, and by these groups
            return
        if vouched.email is None or not provider.speaks_for(vouched.email):
            raise SingleSignOnNoAccount
        await accounts.join(work, user, tenant, role)
        return
    if not membership.active:
        raise SingleSignOnNoAccount
    before = membership.role
    if not provider.row.group_roles or role is before:
        return
    others = {
        id for id, one in places.items() if id != user.id and one.role is Role.ADMIN and one.active
    }
    if before is Role.ADMIN and not await _can_enter(work, others):
        log.info("identity.sso_kept_last_admin", user=str(user.id))
        return
    membership.role = role
    await work.session.flush()
    record_for(
        work,
        tenant,
        "member.changed",
        "user",
        user.id,
        access=accounts.as_caller(work, user, tenant),
        before=before,
        role=role,
        by="groups",
    )


async def _can_enter(work: SystemWork, others: set[UUID]) -> bool:
    query = select(User.id).where(User.id.in_(others), User.active, User.kind == UserKind.PERSON)
    return (await work.session.scalars(query.limit(1))).first() is not None


def _may_enter(user: User) -> bool:
    return user.active and user.kind is UserKind.PERSON
