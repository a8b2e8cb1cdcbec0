"""Where a session is about to begin or go on: all that is asked of it, in one statement."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import String, Uuid, bindparam, exists, func, select

from maestro_ml.core.access import Role
from maestro_ml.core.context import origin
from maestro_ml.db.base import UtcDateTime
from maestro_ml.db.work import SystemWork
from maestro_ml.identity.lifetimes import Lifetime, lifetime_in
from maestro_ml.identity.models import Membership, Session, TotpFactor, User
from maestro_ml.identity.schemas import AccountView, TenantOfAccount
from maestro_ml.identity.service.accounts import MAY_ACT, view_of
from maestro_ml.identity.service.signing_keys import ACTIVE_KID
from maestro_ml.tenancy.models import Tenant

_SESSIONS = (
    select(func.count(Session.id))
    .where(
        Session.user_id == User.id,
        Session.revoked_at.is_(None),
        Session.expires_at > bindparam("now", type_=UtcDateTime()),
    )
    .scalar_subquery()
)
_SAME_DEVICE = exists().where(
    Session.user_id == User.id,
    Session.user_agent == bindparam("agent", type_=String()),
    Session.ip == bindparam("ip", type_=String()),
)
_PLACE = (
    select(
        User,
        Tenant.id,
        Tenant.slug,
        Tenant.name,
        Tenant.mfa_required,
        Tenant.session_profile,
        Membership.role,
        exists().where(TotpFactor.user_id == User.id, TotpFactor.sealed.is_not(None)),
        _SAME_DEVICE,
        _SESSIONS,
        ACTIVE_KID,
    )
    .select_from(User)
    .outerjoin(Tenant, Tenant.id == bindparam("tenant", type_=Uuid()))
    .outerjoin(Membership, MAY_ACT)
    .where(User.id == bindparam("user", type_=Uuid()))
)


@dataclass(frozen=True, slots=True)
class Place:
    """A user in a tenant, or above all of them."""

    user: User
    tenant_id: UUID | None
    tenant: TenantOfAccount | None  # that they may act in
    role: Role | None
    lifetime: Lifetime
    asks_second_factor: bool  # theirs, or the tenant's wish
    known_device: bool  # there was a session from this address with this program
    sessions: int  # that have not ended
    kid: str  # of the key that signs

    @property
    def view(self) -> AccountView:
        return view_of(self.user, self.tenant, self.role)


async def place_of(work: SystemWork, user_id: UUID, tenant_id: UUID | None) -> Place:
    """As it is now. Who is about to write has locked the user's row before: then it stays so."""
    here = origin.get()
    asked = {
        "user": user_id,
        "tenant": tenant_id,
        "now": work.now,
        "ip": here.ip if here else None,
        "agent": (here.user_agent or "") if here else None,
    }
    user, id, slug, name, mfa, profile, role, factor, known, count, kid = (
        await work.session.execute(_PLACE, asked)
    ).one()
    return Place(
        user=user,
        tenant_id=tenant_id,
        tenant=None if role is None else TenantOfAccount(id=id, slug=slug, name=name),
        role=role,
        lifetime=lifetime_in(profile),
        asks_second_factor=bool(mfa) or factor,
        known_device=known,
        sessions=count,
        kid=kid,
    )
