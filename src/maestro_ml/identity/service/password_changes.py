"""Passwords that are changed by who knows them, or replaced by who has forgotten them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select, update

from maestro_ml.audit.service import record_for
from maestro_ml.core.access import Permission
from maestro_ml.core.errors import Unauthenticated
from maestro_ml.db.work import AccountWork, SystemWork
from maestro_ml.identity import attempts, letters
from maestro_ml.identity.errors import LinkRefused, WrongPassword
from maestro_ml.identity.models import ApiKey, ExternalIdentity, Membership, Purpose, Session, User
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.service import accounts, factors, links, notices, sessions
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID, Tenant


async def words(work: SystemWork, user_id: UUID) -> list[str]:
    """What an attacker would try first: the names around an account."""
    user = await work.session.get_one(User, user_id)
    query = (
        select(Tenant.name, Tenant.slug)
        .join(Membership, Membership.tenant_id == Tenant.id)
        .where(Membership.user_id == user_id)
    )
    around = [word for row in await work.session.execute(query) for word in row]
    return [user.email, user.name, *around]


async def change_password(
    work: AccountWork, identity: Identity, *, before: str, password_hash: str
) -> tuple[User, Session]:
    """Replace the caller's password. Every session ends; the one that asked is given, so that it
    may go on as a new one.

    Raises:
        WrongPassword: the password has changed in the meantime.
    """
    work.require(Permission.ACCOUNT_WRITE)
    user = await accounts.locked(work, work.access.actor_id)
    session = await work.session.get(Session, work.access.session_id)
    if session is None or session.revoked_at is not None:
        raise Unauthenticated
    if user.password_hash != before:
        raise WrongPassword
    user.password_hash, user.updated_at = password_hash, work.now
    await links.drop(work, user, *Purpose)  # whoever knew the old one may have asked for them
    await sessions.end_all(work, identity, user.id, "password_changed")
    await accounts.note(work, user, "user.password_changed")
    await notices.password_changed(work, user)
    return user, session


async def offer_reset(
    work: SystemWork,
    *,
    email: str,
    hash: bytes,
    link: bytes,
    asked_at: datetime,
    ip: str | None,
    by_admin: bool,
) -> None:
    """Mail somebody a link for a new password, if the address has an account of a person: who was
    given one by single sign-on gets hold of it that way, too. Done twice, it is done once."""
    found = await accounts.find(work, email)
    if found is None or not found.may_enter:
        return
    user = await accounts.locked(work, found.id)
    if await links.add(work, user, Purpose.RESET, hash, email=user.email, asked_at=asked_at):
        await letters.new_password(work, user.email, link)
        if by_admin:  # who that was stands in the admin's tenant, as `member.reset_started`
            tenant_id = await accounts.home(work, user) or DEFAULT_TENANT_ID
            record_for(work, tenant_id, "user.reset_mailed", "user", user.id)
        else:
            await accounts.note(work, user, "user.password_forgotten", ip=ip)


async def reset_password(
    work: SystemWork, identity: Identity, token: str, password_hash: str
) -> None:
    """Replace a password by the right of a mailed link. Sessions and API keys end, and nobody is
    signed in.

    Raises:
        LinkRefused: the link is not good, or not any more; of many at once, one is not refused.
    """
    user, email = await links.spend(work, Purpose.RESET, token)
    if email != user.email:
        raise LinkRefused
    if not user.verified:  # whoever made the account may have been a stranger
        if user.password_hash is None:  # else mail alone would do where a code is asked for
            await factors.remove(work, user.id)
        await work.session.execute(
            delete(ExternalIdentity).where(ExternalIdentity.user_id == user.id)
        )
    user.password_hash, user.updated_at = password_hash, work.now
    user.verified = True  # the link was in a mail to this address
    await attempts.reopen(work, user)
    await links.drop(work, user, *Purpose)  # whoever knew the old one may have asked for them
    await sessions.end_all(work, identity, user.id, "password_reset")
    ended = await work.session.scalars(
        update(ApiKey)
        .where(ApiKey.user_id == user.id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=work.now)
        .returning(ApiKey.id)
    )
    await accounts.note(work, user, "user.password_reset", api_keys=len(ended.all()))
    await notices.password_reset(work, user)
