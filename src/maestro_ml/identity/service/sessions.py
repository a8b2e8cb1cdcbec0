"""Sign-ins: how one begins, goes on and ends. Every token points to one, and ends with it."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import delete, event, select, update

from maestro_ml.audit.service import record_for
from maestro_ml.core.access import Access, Permission
from maestro_ml.core.context import origin
from maestro_ml.db.work import AccountWork, SystemWork
from maestro_ml.identity import tokens
from maestro_ml.identity.keys import LIFETIME
from maestro_ml.identity.lookup import IDLE
from maestro_ml.identity.models import RefreshToken, Session, SessionKind, User
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.schemas import SignedIn, SignedInWeb
from maestro_ml.identity.service.accounts import as_caller, describe
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID

ABSOLUTE = timedelta(days=30)
MOST_SESSIONS = 20
_KEPT = timedelta(days=30)  # ended sessions, for whoever looks into what happened
_USER_AGENT = 300


@dataclass(frozen=True, slots=True)
class Tokens:
    session_id: UUID
    access_token: str
    refresh_token: str
    expires_in: int


async def start(
    work: SystemWork,
    identity: Identity,
    user: User,
    tenant_id: UUID | None,
    *,
    kind: SessionKind = SessionKind.API,
) -> Tokens:
    """A new session with its first pair of tokens."""
    session = await _open(work, identity, user, tenant_id, kind)
    refresh_token = _add_refresh(work, session)
    await work.session.flush()
    return await _tokens(work, identity, session, refresh_token)


async def start_web(
    work: SystemWork, identity: Identity, user: User, tenant_id: UUID | None
) -> tuple[UUID, str]:
    """A new session for a browser: its id and the cookie's value."""
    cookie = tokens.mint(tokens.COOKIE)
    session = await _open(work, identity, user, tenant_id, SessionKind.WEB)
    session.cookie_hash = tokens.digest(cookie)
    await work.session.flush()
    return session.id, cookie


async def sign_in(
    work: SystemWork, identity: Identity, user: User, tenant_id: UUID | None
) -> SignedIn:
    """Start a session, and answer with its tokens and with who signed in."""
    begun = await start(work, identity, user, tenant_id)
    return await _answer(work, begun, user, tenant_id)


async def sign_in_web(
    work: SystemWork, identity: Identity, user: User, tenant_id: UUID | None
) -> tuple[SignedInWeb, str]:
    """The same for a browser; beside the answer the cookie's value."""
    id, cookie = await start_web(work, identity, user, tenant_id)
    view = await describe(work, user, tenant_id)
    return SignedInWeb(csrf_token=identity.csrf_token(id), user=view), cookie


async def refresh(work: SystemWork, identity: Identity, token: str) -> SignedIn | None:
    """Trade a refresh token for a new pair. None: it is not good, and if it was used before, its
    session has ended; the caller commits that before refusing."""
    used = await work.session.scalar(
        update(RefreshToken)
        .where(
            RefreshToken.hash == tokens.digest(token),
            RefreshToken.used_at.is_(None),
            RefreshToken.expires_at > work.now,
        )
        .values(used_at=work.now)
        .returning(RefreshToken.session_id)
    )
    if used is None:
        await _end_if_reused(work, identity, token)
        return None
    alive = await identity.lookup.session(used, work.now)
    session = await work.session.get(Session, used)
    if alive is None or session is None or session.revoked_at is not None:
        return None
    user = await work.session.get_one(User, session.user_id)
    session.last_seen_at = work.now
    new = _add_refresh(work, session)
    await work.session.execute(
        update(RefreshToken)
        .where(RefreshToken.hash == tokens.digest(token))
        .values(replaced_by=tokens.digest(new))
    )
    _record(work, session.tenant_id, "session.refreshed", used, alive.access)
    begun = await _tokens(work, identity, session, new)
    return await _answer(work, begun, user, alive.access.tenant_id)


async def logout(work: AccountWork, identity: Identity) -> None:
    """End the session that asks."""
    work.require(Permission.SESSION_END)
    if work.access.session_id is not None:
        await end(work, identity, work.access.session_id, "logout")


async def logout_all(work: AccountWork, identity: Identity) -> None:
    """End every session of the caller. API keys stay."""
    work.require(Permission.SESSION_END)
    await end_all(work, identity, work.access.actor_id, "logout_all")


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
    work: SystemWork, identity: Identity, user: User, tenant_id: UUID | None, kind: SessionKind
) -> Session:
    # The user's row first: sign-ins of one person wait for each other, and count right.
    user.last_login_at = work.now
    await work.session.flush()
    await _make_room(work, identity, user)
    here = origin.get()
    session = Session(
        user_id=user.id,
        tenant_id=tenant_id,
        kind=kind,
        created_at=work.now,
        auth_time=work.now,
        last_seen_at=work.now,
        expires_at=work.now + ABSOLUTE,
        ip=here.ip if here else None,
        user_agent=(here.user_agent or "")[:_USER_AGENT] if here else None,
    )
    work.session.add(session)
    await work.session.flush()
    _record(
        work,
        tenant_id,
        "session.started",
        session.id,
        as_caller(work, user, tenant_id),
        kind=kind.value,
    )
    return session


async def _make_room(work: SystemWork, identity: Identity, user: User) -> None:
    await work.session.execute(
        delete(Session).where(Session.user_id == user.id, Session.expires_at < work.now - _KEPT)
    )
    surplus = await work.session.scalars(
        select(Session.id)
        .where(
            Session.user_id == user.id,
            Session.revoked_at.is_(None),
            Session.expires_at > work.now,
        )
        .order_by(Session.created_at.desc(), Session.id.desc())
        .offset(MOST_SESSIONS - 1)
    )
    for id in surplus.all():
        await end(work, identity, id, "too_many")


def _add_refresh(work: SystemWork, session: Session) -> str:
    token = tokens.mint(tokens.REFRESH)
    row = RefreshToken(
        hash=tokens.digest(token),
        session_id=session.id,
        issued_at=work.now,
        expires_at=min(work.now + IDLE, session.expires_at),
    )
    work.session.add(row)
    return token


async def _tokens(
    work: SystemWork, identity: Identity, session: Session, refresh_token: str
) -> Tokens:
    access_token = identity.ring.issue(
        await identity.signing_kid(work),
        user=session.user_id,
        session=session.id,
        tenant=session.tenant_id,
        now=work.now,
    )
    return Tokens(session.id, access_token, refresh_token, int(LIFETIME.total_seconds()))


async def _answer(work: SystemWork, begun: Tokens, user: User, tenant_id: UUID | None) -> SignedIn:
    return SignedIn(
        access_token=begun.access_token,
        refresh_token=begun.refresh_token,
        expires_in=begun.expires_in,
        user=await describe(work, user, tenant_id),
    )


async def _end_if_reused(work: SystemWork, identity: Identity, token: str) -> None:
    session_id = await work.session.scalar(
        select(RefreshToken.session_id).where(
            RefreshToken.hash == tokens.digest(token), RefreshToken.used_at.is_not(None)
        )
    )
    if session_id is not None and await end(work, identity, session_id, "refresh_reused"):
        tenant_id = (await work.session.get_one(Session, session_id)).tenant_id
        _record(work, tenant_id, "session.refresh_reused", session_id)


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
