"""Changing a password or an address, and getting back in without the password, step by step.

As in `signin`, hashing happens outside of any unit of work.
"""

from base64 import b64encode
from contextlib import suppress
from uuid import UUID

from maestro_ml.audit.service import record
from maestro_ml.core.access import Access, Permission
from maestro_ml.core.context import origin
from maestro_ml.core.errors import Unauthenticated
from maestro_ml.db.work import SystemWork, Work, open_account_work, open_system_work, open_work
from maestro_ml.identity import attempts, emails, letters, tokens
from maestro_ml.identity.entering import Entered, begin
from maestro_ml.identity.errors import (
    EmailInvalid,
    LinkRefused,
    PasswordRefused,
    UserNotFound,
    WrongPassword,
)
from maestro_ml.identity.models import Purpose, User, UserKind
from maestro_ml.identity.passwords import WITH_SECOND_FACTOR, normal
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.schemas_self_service import (
    EmailChange,
    Forgot,
    PasswordChange,
    Reset,
    Verify,
)
from maestro_ml.identity.service import addresses, factors, links, members, password_changes
from maestro_ml.identity.service.places import place_of
from maestro_ml.jobs.service import enqueue_internal
from maestro_ml.limits.errors import TooManyAttempts
from maestro_ml.limits.rates import Rate

SEND_RESET = "identity.send_reset"
_ATTEMPTS = 5
RESETS = Rate(3, 60 * 60)  # mails to an address


async def change_password(
    identity: Identity, access: Access, command: PasswordChange, *, web: bool
) -> Entered:
    """Replace the caller's password. The session goes on as a new one; the others end.

    Raises:
        WrongPassword: the current password is another.
        PasswordRefused: the new one breaks a rule, or is the old one.
    """
    access.require(Permission.ACCOUNT_WRITE)
    stored, words = await _known(identity, access, command.current_password)
    if normal(command.new_password) == normal(command.current_password):
        raise PasswordRefused("same", "This is the password that you have: choose another one.")
    async with open_account_work(identity.sessions, access, read_only=True) as work:
        two = await factors.has_factor(work, access.actor_id)
    identity.passwords.check(
        command.new_password, words=words, least=WITH_SECOND_FACTOR if two else None
    )
    hashed = await identity.passwords.hash(command.new_password)
    async with open_account_work(identity.sessions, access, clock=identity.clock) as work:
        user, session = await password_changes.change_password(
            work, identity, before=stored, password_hash=hashed
        )
        place = await place_of(work, user.id, session.tenant_id)
        return await begin(work, identity, place, web=web, amr=session.amr)


async def forgot(identity: Identity, command: Forgot) -> None:
    """Have a link for a new password mailed, if the address has an account. That is for the worker
    to find out: here it is one and the same row for every address. More than three an hour are
    dropped without a word.

    Raises:
        TooManyAttempts: there were too many from this client.
    """
    await identity.limits.wrong("password-forgot")
    with suppress(TooManyAttempts):
        await identity.limits.take("password-forgot", RESETS, of=_one_address(command.email))
        async with open_system_work(identity.sessions, clock=identity.clock) as work:
            await _send_link(work, identity, command.email)


def _one_address(email: str) -> str:
    """The same for every way to write it."""
    try:
        return emails.normal(email)
    except EmailInvalid:
        return email.casefold()


async def start_reset(identity: Identity, access: Access, user_id: UUID) -> None:
    """Have a link for a new password mailed to one of the tenant's people: they alone see it.

    Raises:
        UserNotFound: the tenant has no such person.
        TooManyAttempts: three were sent within the hour.
    """
    access.require(Permission.USER_WRITE)
    async with open_work(identity.sessions, access, read_only=True) as work:
        member = await members.get(work, user_id)
    if member.kind is not UserKind.PERSON:
        raise UserNotFound
    await identity.limits.take("password-forgot", RESETS, of=emails.normal(member.email))
    async with open_work(identity.sessions, access, clock=identity.clock) as work:
        record(work, "member.reset_started", "user", user_id)
        await _send_link(work, identity, member.email, by_admin=True)


async def _send_link(
    work: SystemWork | Work, identity: Identity, email: str, *, by_admin: bool = False
) -> None:
    token, here = tokens.mint(tokens.LINK), origin.get()
    link = letters.link(identity, letters.PASSWORD_PAGE, token)
    payload = {
        "email": email,
        "token_hash": tokens.digest(token).hex(),
        "link": b64encode(link).decode(),
        "asked_at": work.now.isoformat(),
        "ip": here.ip if here else None,
        "by_admin": by_admin,
    }
    await enqueue_internal(work, SEND_RESET, payload, max_attempts=_ATTEMPTS)


async def reset(identity: Identity, command: Reset) -> None:
    """Set a new password by the right of a mailed link. It signs nobody in.

    Raises:
        LinkRefused: the link is not good, or not any more.
        PasswordRefused: the password breaks a rule; the link stays good.
    """
    try:
        async with open_system_work(
            identity.sessions, read_only=True, clock=identity.clock
        ) as work:
            user_id = await links.owner(work, Purpose.RESET, command.token)
            words = await password_changes.words(work, user_id)
    except LinkRefused:
        await identity.limits.wrong("link")
        raise
    identity.passwords.check(command.new_password, words=words)
    hashed = await identity.passwords.hash(command.new_password)
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        await password_changes.reset_password(work, identity, command.token, hashed)


async def verify_email(identity: Identity, command: Verify, *, caller: UUID | None) -> None:
    """Prove an address by the right of a mailed link.

    Raises:
        LinkRefused: the link is not good, or not any more, or the caller is somebody else.
        EmailTaken: the address has got another account.
    """
    if not tokens.well_formed(command.token, tokens.LINK):
        raise LinkRefused
    try:
        async with open_system_work(identity.sessions, clock=identity.clock) as work:
            await addresses.confirm(work, command.token, caller=caller)
    except LinkRefused:
        await identity.limits.wrong("link")
        raise


async def change_email(identity: Identity, access: Access, command: EmailChange) -> None:
    """Begin to change the caller's address.

    Raises:
        WrongPassword: the current password is missing, or another.
        Invalid: the account has the address already.
        TooManyMails: it was asked for within the last minute.
    """
    access.require(Permission.ACCOUNT_WRITE)
    if command.current_password is None:
        raise WrongPassword
    stored, _ = await _known(identity, access, command.current_password)
    async with open_account_work(identity.sessions, access, clock=identity.clock) as work:
        await addresses.ask_change(work, identity, command.new_email, password_hash=stored)


async def _known(identity: Identity, access: Access, password: str) -> tuple[str, list[str]]:
    """The hash that this is the password of, and the words around the account.

    Raises:
        WrongPassword: it is not.
    """
    async with open_account_work(identity.sessions, access, read_only=True) as work:
        user = await work.session.get(User, access.actor_id)
        if user is None:
            raise Unauthenticated
        email, stored = user.email, user.password_hash
        words = await password_changes.words(work, user.id)
    await attempts.prove(identity, email, stored, password)
    assert stored is not None
    return stored, words
