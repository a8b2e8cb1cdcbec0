"""E-mail addresses of accounts: proved by a mailed link, and changed only when the new one is."""

from datetime import timedelta
from uuid import UUID

from maestro_ml.core.access import Permission
from maestro_ml.core.errors import Invalid
from maestro_ml.db.work import AccountWork, SystemWork
from maestro_ml.identity import emails, letters, tokens
from maestro_ml.identity.errors import EmailTaken, LinkRefused, TooManyMails, WrongPassword
from maestro_ml.identity.models import Purpose, User
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.service import accounts, links, notices
from maestro_ml.identity.service.accounts import Found

_PAUSE = timedelta(minutes=1)


async def mail_link(work: SystemWork, identity: Identity, user: User, email: str) -> None:
    """Mail a link to an address, which the account gets, or has proved, by opening it."""
    token = tokens.mint(tokens.LINK)
    await links.add(work, user, Purpose.EMAIL, tokens.digest(token), email=email)
    await letters.verify_email(work, email, letters.link(identity, letters.EMAIL_PAGE, token))


async def remind(work: SystemWork, identity: Identity, user: User) -> None:
    """Mail the link again that the account waits for, if it does; at most once a minute."""
    waits = await links.pending(work, user, Purpose.EMAIL)
    if waits is None and not user.verified:
        await mail_link(work, identity, user, user.email)
    elif waits is not None and waits.created_at <= work.now - _PAUSE:
        await mail_link(work, identity, user, waits.email)


async def resend(work: AccountWork, identity: Identity) -> None:
    """The same, for the caller."""
    work.require(Permission.ACCOUNT_WRITE)
    await remind(work, identity, await accounts.locked(work, work.access.actor_id))


async def ask_change(
    work: AccountWork, identity: Identity, email: str, *, password_hash: str
) -> None:
    """Begin a change of the caller's address: the old one stays until the new one is verified, and
    hears of it. Whether the new one has an account is for whoever reads its mail to find out.

    Raises:
        Invalid: the account has the address already.
        WrongPassword: the password has changed in the meantime.
        TooManyMails: it was asked for within the last minute.
    """
    work.require(Permission.ACCOUNT_WRITE)
    user = await accounts.locked(work, work.access.actor_id)
    if user.password_hash != password_hash:
        raise WrongPassword
    if emails.normal(email) == user.email_norm:
        raise Invalid("This is the address of your account already.")
    waits = await links.pending(work, user, Purpose.EMAIL)
    if waits is not None and waits.created_at > work.now - _PAUSE:
        raise TooManyMails(int(_PAUSE.total_seconds()))
    await mail_link(work, identity, user, email)
    await notices.email_change_asked(work, user)
    await accounts.note(work, user, "user.email_change_asked")


async def tell_owner(work: SystemWork, found: Found) -> None:
    """Whose address somebody else gave hears of it."""
    await notices.address_tried(work, await work.session.get_one(User, found.id))


async def confirm(work: SystemWork, token: str, *, caller: UUID | None) -> None:
    """What the link says: the address is proved, or taken over from the old one.

    Raises:
        LinkRefused: the link is not good, or not any more, or somebody else is signed in; of many
            at once, one is not refused.
        EmailTaken: the address has got another account.
    """
    user, email = await links.spend(work, Purpose.EMAIL, token)
    if caller not in {None, user.id}:
        raise LinkRefused
    before, normal = user.email, emails.normal(email)
    user.verified, user.updated_at = True, work.now
    if normal == user.email_norm:
        await accounts.note(work, user, "user.email_verified")
        return
    user.email, user.email_norm = email, normal
    await work.flush_or(EmailTaken())
    await links.drop(work, user, *Purpose)  # what was mailed to the old address
    await notices.email_changed(work, user, before)
    await accounts.note(work, user, "user.email_changed")
