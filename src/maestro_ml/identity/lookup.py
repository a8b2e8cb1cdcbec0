"""Who a credential belongs to, as the database knows them now: one statement for each request.

What it asks for is what makes logout, disabling, demotion and suspension count on the very next
request: the session or key is alive, and the user, the tenant and the membership are active.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, and_, bindparam, case, column, select, table

from maestro_ml.core.access import Access, ActorKind, Role, Scope
from maestro_ml.db.base import UtcDateTime
from maestro_ml.db.engine import Engines
from maestro_ml.db.fast import FastReader
from maestro_ml.db.prepared import Prepared, Row
from maestro_ml.identity import emails, tokens
from maestro_ml.identity.errors import EmailInvalid
from maestro_ml.identity.lifetimes import STANDARD, STRICT
from maestro_ml.identity.models import (
    ApiKey,
    Membership,
    MfaChallenge,
    RefreshToken,
    Session,
    SessionKind,
    User,
    UserKind,
)
from maestro_ml.identity.service.accounts import MAY_ACT
from maestro_ml.identity.service.accounts import Found as Account
from maestro_ml.tenancy.models import SessionProfile, Tenant

# Projects stand above accounts, so their table is named here and not imported.
_TEAM = table(
    "project_members",
    column("tenant_id", Uuid()),
    column("user_id", Uuid()),
    column("project_id", Uuid()),
    column("role"),
)
_NOW = bindparam("now", type_=UtcDateTime())


def _since(what: str) -> ColumnElement[datetime]:
    """The moment before which a session is too old, by the tenant's profile as it is now."""
    strict, standard = (
        bindparam(f"{profile}_{what}", type_=UtcDateTime()) for profile in ("strict", "standard")
    )
    return case((Tenant.session_profile == SessionProfile.STRICT, strict), else_=standard)


def moments(now: datetime) -> dict[str, datetime]:
    """What `alive` is asked with."""
    return {"now": now} | {
        f"{name}_{what}": now - getattr(profile, what)
        for name, profile in (("strict", STRICT), ("standard", STANDARD))
        for what in ("idle", "absolute")
    }


def alive() -> tuple[ColumnElement[bool], ...]:
    """A session that counts, of a query that has joined its tenant."""
    return (
        Session.revoked_at.is_(None),
        Session.expires_at > _NOW,
        Session.last_seen_at > _since("idle"),
        Session.auth_time > _since("absolute"),
    )


_WHO = (User.id, User.kind, User.platform_admin)
_WHERE = (
    *(Membership.tenant_id, Membership.role, Tenant.max_requests_per_minute),
    *(_TEAM.c.project_id, _TEAM.c.role),
)
_IN_TEAM = and_(_TEAM.c.tenant_id == Membership.tenant_id, _TEAM.c.user_id == Membership.user_id)


def _of_session(which: ColumnElement[bool]) -> Prepared:
    return Prepared(
        select(*_WHO, Session.id, Session.kind, *_WHERE)
        .select_from(Session)
        .join(User, and_(User.id == Session.user_id, User.active))
        .outerjoin(Tenant, Tenant.id == Session.tenant_id)
        .outerjoin(Membership, MAY_ACT)
        .outerjoin(_TEAM, _IN_TEAM)
        .where(which, *alive())
    )


_BY_ID = _of_session(Session.id == bindparam("id", type_=Uuid()))
_BY_COOKIE = _of_session(Session.cookie_hash == bindparam("hash"))


def _of_key(which: ColumnElement[bool]) -> Prepared:
    return Prepared(
        select(
            *_WHO,
            *(ApiKey.id, ApiKey.scopes, ApiKey.project_ids, ApiKey.default_project_id),
            *_WHERE,
        )
        .select_from(ApiKey)
        .join(User, and_(User.id == ApiKey.user_id, User.active))
        .join(Tenant, Tenant.id == ApiKey.tenant_id)
        .join(Membership, MAY_ACT)
        .outerjoin(_TEAM, _IN_TEAM)
        .where(which, ApiKey.revoked_at.is_(None), ApiKey.expires_at > _NOW)
    )


_BY_KEY = _of_key(ApiKey.hash == bindparam("hash"))
_BY_KEY_ID = _of_key(ApiKey.id == bindparam("id", type_=Uuid()))

_BY_EMAIL = Prepared(
    select(User.id, User.password_hash, User.active, User.kind).where(
        User.email_norm == bindparam("email")
    )
)
# Whether a token was ever one of ours, dead ones included.
_ISSUED = {
    tokens.API_KEY: Prepared(select(ApiKey.id).where(ApiKey.hash == bindparam("hash"))),
    tokens.COOKIE: Prepared(select(Session.id).where(Session.cookie_hash == bindparam("hash"))),
    tokens.MFA: Prepared(select(MfaChallenge.id).where(MfaChallenge.hash == bindparam("hash"))),
}
_BY_REFRESH = Prepared(
    select(RefreshToken.session_id).where(RefreshToken.hash == bindparam("hash"))
)


@dataclass(frozen=True, slots=True)
class Found:
    access: Access
    kind: SessionKind


class Lookup:
    """Raises Unavailable when the database does not answer: nobody is let in unasked."""

    def __init__(self, engines: Engines) -> None:
        self._reader = FastReader.open(engines)

    async def close(self) -> None:
        await self._reader.close()

    async def session(self, id: UUID, now: datetime) -> Found | None:
        return _signed_in(await self._reader.all(_BY_ID, id=id, **moments(now)))

    async def cookie(self, hash: bytes, now: datetime) -> Found | None:
        return _signed_in(await self._reader.all(_BY_COOKIE, hash=hash, **moments(now)))

    async def account(self, email: str) -> Account | None:
        """What `accounts.find` finds, for a sign-in, which has no transaction yet."""
        try:
            row = await self._reader.one(_BY_EMAIL, email=emails.normal(email))
        except EmailInvalid:
            return None
        return None if row is None else Account.of(row)

    async def session_of(self, refresh: bytes) -> UUID | None:
        """The session of a refresh token, dead or alive. None: it never was one of ours."""
        row = await self._reader.one(_BY_REFRESH, hash=refresh)
        return None if row is None else row[0]

    async def is_made_up(self, kind: str, hash: bytes) -> bool:
        """Whether it never was one of ours. A dead one is no guess: an office with an old key, or
        a browser with an old cookie, is not slowed for it."""
        return await self._reader.one(_ISSUED[kind], hash=hash) is None

    async def api_key(self, hash: bytes, now: datetime) -> Access | None:
        return _with_key(await self._reader.all(_BY_KEY, hash=hash, now=now))

    async def key(self, id: UUID, now: datetime) -> Access | None:
        """As `api_key`, of one that was shown before."""
        return _with_key(await self._reader.all(_BY_KEY_ID, id=id, now=now))


def _with_key(rows: list[Row]) -> Access | None:
    if not rows:
        return None
    row = rows[0]
    user, kind, platform_admin, key, scopes, projects, default, tenant, role, per_minute, *_ = row
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
        max_requests_per_minute=per_minute,
    )


def _signed_in(rows: list[Row]) -> Found | None:
    if not rows:
        return None
    user, kind, platform_admin, session, session_kind, tenant, role, per_minute, *_ = rows[0]
    if tenant is None and not platform_admin:
        return None  # the tenant is suspended, or the user is no longer active in it
    access = Access(
        actor_id=user,
        kind=_actor(kind),
        platform_admin=platform_admin,
        tenant_id=tenant,
        role=role,
        session_id=session,
        project_roles=_team(rows),
        max_requests_per_minute=per_minute,
    )
    return Found(access, session_kind)


def _team(rows: list[Row]) -> dict[UUID, Role]:
    return {row[-2]: Role(row[-1]) for row in rows if row[-2] is not None}


def _actor(kind: Any) -> ActorKind:
    return ActorKind.SERVICE if kind is UserKind.SERVICE else ActorKind.USER
