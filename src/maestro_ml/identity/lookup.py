"""Who a credential belongs to, as the database knows them now: one statement for each request.

What it asks for is what makes logout, disabling, demotion and suspension count on the very next
request: the session or key is alive, the user active, the tenant active, the membership there.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, and_, bindparam, column, select, table

from maestro_ml.core.access import Access, ActorKind, Role, Scope
from maestro_ml.db.base import UtcDateTime
from maestro_ml.db.engine import Engines
from maestro_ml.db.fast import FastReader, Prepared, Row
from maestro_ml.identity.models import ApiKey, Membership, Session, SessionKind, User, UserKind
from maestro_ml.tenancy.models import Tenant, TenantStatus

IDLE = timedelta(days=7)
# Projects stand above accounts, so their table is named here and not imported.
_TEAM = table(
    "project_members",
    column("tenant_id", Uuid()),
    column("user_id", Uuid()),
    column("project_id", Uuid()),
    column("role"),
)
_NOW = bindparam("now", type_=UtcDateTime())
_IN_TEAM = and_(_TEAM.c.tenant_id == Membership.tenant_id, _TEAM.c.user_id == Membership.user_id)


def _of_session(which: ColumnElement[bool]) -> Prepared:
    return Prepared(
        select(
            User.id,
            User.kind,
            User.platform_admin,
            Session.id,
            Session.kind,
            Membership.tenant_id,
            Membership.role,
            _TEAM.c.project_id,
            _TEAM.c.role,
        )
        .select_from(Session)
        .join(User, and_(User.id == Session.user_id, User.active))
        .outerjoin(
            Tenant, and_(Tenant.id == Session.tenant_id, Tenant.status == TenantStatus.ACTIVE)
        )
        .outerjoin(
            Membership,
            and_(Membership.tenant_id == Tenant.id, Membership.user_id == Session.user_id),
        )
        .outerjoin(_TEAM, _IN_TEAM)
        .where(
            which,
            Session.revoked_at.is_(None),
            Session.expires_at > _NOW,
            Session.last_seen_at > bindparam("idle_since", type_=UtcDateTime()),
        )
    )


_BY_ID = _of_session(Session.id == bindparam("id", type_=Uuid()))
_BY_COOKIE = _of_session(Session.cookie_hash == bindparam("hash"))
_BY_KEY = Prepared(
    select(
        User.id,
        User.kind,
        User.platform_admin,
        ApiKey.id,
        ApiKey.scopes,
        ApiKey.project_ids,
        ApiKey.default_project_id,
        Membership.tenant_id,
        Membership.role,
        _TEAM.c.project_id,
        _TEAM.c.role,
    )
    .select_from(ApiKey)
    .join(User, and_(User.id == ApiKey.user_id, User.active))
    .join(Tenant, and_(Tenant.id == ApiKey.tenant_id, Tenant.status == TenantStatus.ACTIVE))
    .join(
        Membership,
        and_(Membership.tenant_id == ApiKey.tenant_id, Membership.user_id == ApiKey.user_id),
    )
    .outerjoin(_TEAM, _IN_TEAM)
    .where(ApiKey.hash == bindparam("hash"), ApiKey.revoked_at.is_(None), ApiKey.expires_at > _NOW)
)


@dataclass(frozen=True, slots=True)
class Found:
    access: Access
    kind: SessionKind


class Lookup:
    """Raises Unavailable when the database does not answer: nobody is let in unasked."""

    def __init__(self, engines: Engines) -> None:
        self._reader = FastReader.open(engines, system=True)

    async def close(self) -> None:
        await self._reader.close()

    async def session(self, id: UUID, now: datetime) -> Found | None:
        return _signed_in(await self._reader.all(_BY_ID, id=id, now=now, idle_since=now - IDLE))

    async def cookie(self, hash: bytes, now: datetime) -> Found | None:
        return _signed_in(
            await self._reader.all(_BY_COOKIE, hash=hash, now=now, idle_since=now - IDLE)
        )

    async def api_key(self, hash: bytes, now: datetime) -> Access | None:
        rows = await self._reader.all(_BY_KEY, hash=hash, now=now)
        if not rows:
            return None
        user, kind, platform_admin, key, scopes, projects, default, tenant, role, *_ = rows[0]
        return Access(
            actor_id=user,
            kind=_actor(kind),
            platform_admin=platform_admin,
            tenant_id=tenant,
            role=role,
            scopes=frozenset(Scope(scope) for scope in scopes),
            api_key_id=key,
            default_project_id=default,
            only_projects=None if projects is None else frozenset(map(UUID, projects)),
            project_roles=_team(rows),
        )


def _signed_in(rows: list[Row]) -> Found | None:
    if not rows:
        return None
    user, kind, platform_admin, session, session_kind, tenant, role, *_ = rows[0]
    if tenant is None and not platform_admin:
        return None  # the tenant is suspended, or the user is no longer in it
    access = Access(
        actor_id=user,
        kind=_actor(kind),
        platform_admin=platform_admin,
        tenant_id=tenant,
        role=role,
        session_id=session,
        project_roles=_team(rows),
    )
    return Found(access, session_kind)


def _team(rows: list[Row]) -> dict[UUID, Role]:
    return {row[-2]: Role(row[-1]) for row in rows if row[-2] is not None}


def _actor(kind: Any) -> ActorKind:
    return ActorKind.SERVICE if kind is UserKind.SERVICE else ActorKind.USER
