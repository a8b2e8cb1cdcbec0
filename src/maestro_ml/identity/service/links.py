"""One-time links that were mailed to somebody: the newest of its kind is good, once."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, select, update

from maestro_ml.db.work import SystemWork
from maestro_ml.identity import tokens
from maestro_ml.identity.errors import LinkRefused
from maestro_ml.identity.models import AccountToken, Purpose, User

LIFETIME = {Purpose.RESET: timedelta(hours=1), Purpose.EMAIL: timedelta(days=1)}


async def add(
    work: SystemWork,
    user: User,
    purpose: Purpose,
    hash: bytes,
    *,
    email: str,
    asked_at: datetime | None = None,
) -> bool:
    """Note a link by its token's hash, in place of older ones; the user's row is locked.

    False: it is there already, or a newer one is.
    """
    asked_at = asked_at or work.now
    known = select(AccountToken.id).where(
        (AccountToken.hash == hash)
        | (
            _of(user, purpose)
            & AccountToken.spent_at.is_(None)
            & (AccountToken.created_at > asked_at)
        )
    )
    if await work.session.scalar(known.limit(1)) is not None:
        return False
    await drop(work, user, purpose)
    token = AccountToken(
        user_id=user.id,
        purpose=purpose,
        hash=hash,
        email=email,
        created_at=asked_at,
        expires_at=work.now + LIFETIME[purpose],
    )
    work.session.add(token)
    await work.session.flush()
    return True


async def drop(work: SystemWork, user: User, *purposes: Purpose) -> None:
    """End the links that the user has for these purposes."""
    await work.session.execute(
        update(AccountToken)
        .where(
            AccountToken.user_id == user.id,
            AccountToken.purpose.in_(purposes),
            AccountToken.spent_at.is_(None),
        )
        .values(spent_at=work.now)
    )


async def owner(work: SystemWork, purpose: Purpose, token: str) -> UUID:
    """Whose the link is.

    Raises:
        LinkRefused: it is none, or no longer good.
    """
    if not tokens.well_formed(token, tokens.LINK):
        raise LinkRefused
    query = select(AccountToken.user_id).where(*_open(work, purpose, token))
    found: UUID | None = await work.session.scalar(query)
    if found is None:
        raise LinkRefused
    return found


async def spend(work: SystemWork, purpose: Purpose, token: str) -> tuple[User, str]:
    """Use a link up; its owner, whose row is locked, and the address that it was mailed to. Of
    many at once, one gets past this.

    Raises:
        LinkRefused: it is none, it is no longer good, or its owner is disabled.
    """
    # The user first, as everywhere: whoever comes second waits, and finds it spent.
    user = await work.session.get(User, await owner(work, purpose, token), with_for_update=True)
    email = await work.session.scalar(
        update(AccountToken)
        .where(*_open(work, purpose, token))
        .values(spent_at=work.now)
        .returning(AccountToken.email)
    )
    if user is None or email is None or not user.active:
        raise LinkRefused
    return user, email


async def pending(work: SystemWork, user: User, purpose: Purpose) -> AccountToken | None:
    """The link of that kind which is still good."""
    query = select(AccountToken).where(
        _of(user, purpose), AccountToken.spent_at.is_(None), AccountToken.expires_at > work.now
    )
    return (await work.session.scalars(query)).first()


def _of(user: User, purpose: Purpose) -> ColumnElement[bool]:
    return (AccountToken.user_id == user.id) & (AccountToken.purpose == purpose)


def _open(work: SystemWork, purpose: Purpose, token: str) -> tuple[ColumnElement[bool], ...]:
    return (
        AccountToken.hash == tokens.digest(token),
        AccountToken.purpose == purpose,
        AccountToken.spent_at.is_(None),
        AccountToken.expires_at > work.now,
    )
