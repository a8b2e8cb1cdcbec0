"""Sign-ins: how one begins, goes on and ends. Every token points to one, and ends with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, bindparam, delete, event, select, update

from maestro_ml.audit.service import record_for
from maestro_ml.core.access import Access, Permission
from maestro_ml.core.context import origin
from maestro_ml.core.errors import Unauthenticated
from maestro_ml.db.base import UtcDateTime
from maestro_ml.db.work import AccountWork, SystemWork
from maestro_ml.identity import tokens
from maestro_ml.identity.amr import PASSWORD, SINGLE_SIGN_ON
from maestro_ml.identity.keys import LIFETIME
from maestro_ml.identity.models import (
    DeviceLogin,
    DeviceState,
    MfaChallenge,
    RefreshToken,
    Session,
    SessionKind,
    User,
)
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.schemas import SignedIn, SignedInWeb
from maestro_ml.identity.service import notices
from maestro_ml.identity.service.accounts import as_caller
from maestro_ml.identity.service.places import Place, place_of
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID

MOST_SESSIONS = 20
_USER_AGENT = 300
# One of many at once spends a token.
_SPEND = (
    update(RefreshToken)
    .where(
        RefreshToken.hash == bindparam("token"),
        RefreshToken.used_at.is_(None),
        RefreshToken.expires_at > bindparam("now", type_=UtcDateTime()),
    )
    .values(used_at=bindparam("now", type_=UtcDateTime()), replaced_by=bindparam("new"))
    .returning(RefreshToken.session_id)
    .execution_options(synchronize_session=False)
)
_SEE = (
    update(Session)
    .where(Session.id == bindparam("session", type_=Uuid()), Session.revoked_at.is_(None))
    .values(last_seen_at=bindparam("now", type_=UtcDateTime()))
    .returning(Session.user_id, Session.tenant_id, Session.expires_at)
    .execution_options(synchronize_session=False)
)


@dataclass(frozen=True, slots=True)
class Tokens:
    session_id: UUID
    access_token: str
    refresh_token: str
    expires_in: int


async def start(
    work: SystemWork,
    identity: Identity,
    place: Place,
    amr: Sequence[str] = (PASSWORD,),
    *,
    auth_time: datetime | None = None,
) -> Tokens:
    """A new session with its first pair of tokens."""
    session = await _open(work, identity, place, amr, kind=SessionKind.API, at=auth_time)
    refresh_token = tokens.mint(tokens.REFRESH)
    _keep_refresh(work, place, session.id, session.expires_at, refresh_token)
    return await _tokens(work, identity, place, session.id, refresh_token)


async def start_web(
    work: SystemWork,
    identity: Identity,
    place: Place,
    amr: Sequence[str] = (PASSWORD,),
    *,
    auth_time: datetime | None = None,
) -> tuple[UUID, str]:
    """A new session for a browser: its id and the cookie's value."""
    cookie = tokens.mint(tokens.COOKIE)
    session = await _open(
        work, identity, place, amr, kind=SessionKind.WEB, at=auth_time, cookie=cookie
    )
    return session.id, cookie


async def sign_in(
    work: SystemWork,
    identity: Identity,
    place: Place,
    amr: Sequence[str] = (PASSWORD,),
    *,
    auth_time: datetime | None = None,
) -> SignedIn:
    """Start a session, and answer with its tokens and with who signed in."""
    return _answer(await start(work, identity, place, amr, auth_time=auth_time), place)


async def sign_in_web(
    work: SystemWork,
    identity: Identity,
    place: Place,
    amr: Sequence[str] = (PASSWORD,),
    *,
    auth_time: datetime | None = None,
) -> tuple[SignedInWeb, str]:
    """The same for a browser; beside the answer the cookie's value."""
    id, cookie = await start_web(work, identity, place, amr, auth_time=auth_time)
    return SignedInWeb(csrf_token=identity.csrf_token(id), user=place.view), cookie


async def refresh(
    work: SystemWork, identity: Identity, token: str, session_id: UUID
) -> SignedIn | None:
    """Trade a refresh token of the session for a new pair. None: it is not good, and if it was used
    before, its session has ended; the caller commits that before refusing."""
    alive = await identity.lookup.session(session_id, work.now)
    if alive is None:  # not spent: the tenant may only be suspended
        await _end_if_reused(work, identity, token)
        return None
    new = tokens.mint(tokens.REFRESH)
    spent = {"token": tokens.digest(token), "new": tokens.digest(new), "now": work.now}
    if await work.session.scalar(_SPEND, spent) is None:
        await _end_if_reused(work, identity, token)
        return None
    seen = {"session": session_id, "now": work.now}
    session = (await work.session.execute(_SEE, seen)).one_or_none()
    if session is None:  # it has ended at this moment
        return None
    user_id, tenant_id, expires_at = session
    place = await place_of(work, user_id, tenant_id)
    _keep_refresh(work, place, session_id, expires_at, new)
    _record(work, tenant_id, "session.refreshed", session_id, alive.access)
    return _answer(await _tokens(work, identity, place, session_id, new), place)


async def logout(work: AccountWork, identity: Identity) -> None:
    """End the session that asks."""
    work.require(Permission.SESSION_END)
    if work.access.session_id is not None:
        await end(work, identity, work.access.session_id, "logout")


async def logout_all(work: AccountWork, identity: Identity) -> None:
    """End every session of the caller. API keys stay."""
    work.require(Permission.SESSION_END)
    tenant_id = await confined_to(work)
    if tenant_id is None:
        await end_all(work, identity, work.access.actor_id, "logout_all")
    else:
        await end_in_tenant(work, identity, work.access.actor_id, tenant_id, "logout_all")


async def confined_to(work: AccountWork) -> UUID | None:
    """The one tenant that the caller's session may speak for: an identity provider vouches for
    people in its own tenant, and is believed nowhere else."""
    work.require(Permission.ACCOUNT_READ)
    session = await work.session.get(Session, work.access.session_id)
    return session.tenant_id if session is not None and SINGLE_SIGN_ON in session.amr else None


async def end_in_tenant(
    work: SystemWork, identity: Identity, user_id: UUID, tenant_id: UUID, reason: str
) -> None:
    """End every session that a user has in a tenant, and what would become one."""
    # The user's row first: a sign-in that is under way is waited for, and ends with the others.
    await work.session.execute(select(User.id).where(User.id == user_id).with_for_update())
    mine = (Session.user_id == user_id) & (Session.tenant_id == tenant_id)
    await work.session.execute(
        delete(MfaChallenge).where(
            MfaChallenge.user_id == user_id, MfaChallenge.tenant_id == tenant_id
        )
    )
    await _turn_devices_away(work, mine)
    open_ones = await work.session.scalars(
        select(Session.id).where(mine, Session.revoked_at.is_(None))
    )
    for session_id in open_ones.all():
        await end(work, identity, session_id, reason)


async def _turn_devices_away(work: SystemWork, approved_in: ColumnElement[bool]) -> None:
    """A terminal that was approved and has not come back yet would begin a session after all."""
    await work.session.execute(
        update(DeviceLogin)
        .where(
            DeviceLogin.session_id.in_(select(Session.id).where(approved_in)),
            DeviceLogin.used_at.is_(None),
        )
        .values(state=DeviceState.DENIED)
        .execution_options(synchronize_session=False)
    )


async def hold(work: AccountWork) -> None:
    """Nobody takes away what the caller's sessions have made before this unit of work ends: so a
    password reset sees what is made here, or this sees that the session has ended.

    Raises:
        Unauthenticated: it has ended already.
    """
    work.require(Permission.ACCOUNT_READ)
    caller = select(User.id).where(User.id == work.access.actor_id)
    await work.session.scalar(caller.with_for_update(key_share=True))
    alive = select(Session.id).where(
        Session.id == work.access.session_id, Session.revoked_at.is_(None)
    )
    if await work.session.scalar(alive) is None:
        raise Unauthenticated


async def end(work: SystemWork, identity: Identity, session_id: UUID, reason: str) -> bool:
    """End one session. False: it had ended before."""
    ended = (
        await work.session.execute(
            update(Session)
            .where(Session.id == session_id, Session.revoked_at.is_(None))
            .values(revoked_at=work.now, revoke_reason=reason)
            .returning(Session.tenant_id)
        )
    ).one_or_none()
    if ended is None:
        return False
    _record(work, ended[0], "session.ended", session_id, reason=reason)
    _after_commit(work, partial(identity.revocations.session_ended, session_id))
    return True


async def end_all(
    work: SystemWork,
    identity: Identity,
    user_id: UUID,
    reason: str,
    *,
    keep: UUID | None = None,
) -> int:
    """End every session of a user, or all but one. Gives how many."""
    # Sign-ins that wait for a code end as well: what they were begun with may be known to others.
    await work.session.execute(delete(MfaChallenge).where(MfaChallenge.user_id == user_id))
    await _turn_devices_away(work, Session.user_id == user_id)
    query = update(Session).where(Session.user_id == user_id, Session.revoked_at.is_(None))
    if keep is not None:
        query = query.where(Session.id != keep)
    ended = (
        await work.session.execute(
            query.values(revoked_at=work.now, revoke_reason=reason).returning(
                Session.id, Session.tenant_id
            )
        )
    ).all()
    for id, tenant_id in ended:
        _record(work, tenant_id, "session.ended", id, reason=reason)
        _after_commit(work, partial(identity.revocations.session_ended, id))
    if keep is None:
        _after_commit(work, partial(identity.revocations.user_ended, user_id, work.now))
    return len(ended)


async def _open(
    work: SystemWork,
    identity: Identity,
    place: Place,
    amr: Sequence[str],
    *,
    kind: SessionKind,
    at: datetime | None,
    cookie: str | None = None,
) -> Session:
    user = place.user
    await notices.new_device(work, place)
    await _make_room(work, identity, place)
    user.last_login_at = work.now
    here = origin.get()
    proved_at = at or work.now
    session = Session(
        user_id=user.id,
        tenant_id=place.tenant_id,
        kind=kind,
        created_at=work.now,
        auth_time=proved_at,
        last_seen_at=work.now,
        expires_at=proved_at + place.lifetime.absolute,
        cookie_hash=tokens.digest(cookie) if cookie else None,
        ip=here.ip if here else None,
        user_agent=(here.user_agent or "")[:_USER_AGENT] if here else None,
        amr=list(amr),
    )
    work.session.add(session)
    await work.session.flush()
    caller = as_caller(work, user, place.tenant_id)
    _record(work, place.tenant_id, "session.started", session.id, caller, kind=kind.value)
    facts = {"session_id": str(session.id), "user_id": str(user.id), "kind": kind.value}
    await work.tell(place.tenant_id, "session.started", **facts)
    return session


async def _make_room(work: SystemWork, identity: Identity, place: Place) -> None:
    if place.sessions < MOST_SESSIONS:
        return
    surplus = await work.session.scalars(
        select(Session.id)
        .where(
            Session.user_id == place.user.id,
            Session.revoked_at.is_(None),
            Session.expires_at > work.now,
        )
        .order_by(Session.created_at.desc(), Session.id.desc())
        .offset(MOST_SESSIONS - 1)
    )
    for id in surplus.all():
        await end(work, identity, id, "too_many")


def _keep_refresh(
    work: SystemWork, place: Place, session_id: UUID, session_ends: datetime, token: str
) -> None:
    row = RefreshToken(
        hash=tokens.digest(token),
        session_id=session_id,
        issued_at=work.now,
        expires_at=min(work.now + place.lifetime.idle, session_ends),
    )
    work.session.add(row)


async def _tokens(
    work: SystemWork, identity: Identity, place: Place, session_id: UUID, refresh_token: str
) -> Tokens:
    access_token = identity.ring.issue(
        await identity.signing_kid(work, place.kid),
        user=place.user.id,
        session=session_id,
        tenant=place.tenant_id,
        now=work.now,
    )
    return Tokens(session_id, access_token, refresh_token, int(LIFETIME.total_seconds()))


def _answer(begun: Tokens, place: Place) -> SignedIn:
    return SignedIn(
        access_token=begun.access_token,
        refresh_token=begun.refresh_token,
        expires_in=begun.expires_in,
        user=place.view,
    )


async def _end_if_reused(work: SystemWork, identity: Identity, token: str) -> None:
    session_id = await work.session.scalar(
        select(RefreshToken.session_id).where(
            RefreshToken.hash == tokens.digest(token), RefreshToken.used_at.is_not(None)
        )
    )
    if session_id is not None and await end(work, identity, session_id, "refresh_reused"):
        session = await work.session.get_one(Session, session_id)
        _record(work, session.tenant_id, "session.refresh_reused", session_id)
        facts = {"session_id": str(session_id), "user_id": str(session.user_id)}
        await work.tell(session.tenant_id, "session.stolen", **facts)
        await notices.refresh_reused(work, await work.session.get_one(User, session.user_id))


def _record(
    work: SystemWork,
    tenant_id: UUID | None,
    action: str,
    session_id: UUID,
    access: Access | None = None,
    **facts: str,
) -> None:
    if access is None and isinstance(work, AccountWork):
        access = work.access
    tenant_id = tenant_id or DEFAULT_TENANT_ID
    record_for(work, tenant_id, action, "session", session_id, access=access, **facts)


def _after_commit(work: SystemWork, tell: partial[None]) -> None:
    """Redis hears of it when it is true, and outside the transaction."""
    event.listen(work.session.sync_session, "after_commit", lambda _: tell(), once=True)
