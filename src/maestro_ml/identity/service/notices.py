"""Mails that tell the owner of an account what happened to it (ASVS 6.3.5 and 6.3.7).

They hold no link and nothing that whoever caused them has written, except for where they came from.
"""

from ipaddress import IPv6Address, ip_address, ip_network

from sqlalchemy import select

from maestro_ml.core.context import origin
from maestro_ml.db.work import SystemWork
from maestro_ml.identity.models import Session, User
from maestro_ml.identity.service.places import Place
from maestro_ml.mail.service import one_line, send

_AGENT = 100
_NOT_YOU = (
    "If it was not you, somebody else may know your password: choose a new one at once with\n"
    "`maestro password forgot`, which ends every session, and tell an admin.\n"
)


async def new_device(work: SystemWork, place: Place) -> None:
    """A sign-in from an address or a device that the account was not used from before."""
    here, user = origin.get(), place.user
    if user.last_login_at is None or here is None or place.known_device:
        return
    query = select(Session.ip).where(
        Session.user_id == user.id, Session.user_agent == (here.user_agent or "")
    )
    seen = {_network(ip) for ip in await work.session.scalars(query.distinct())}
    if _network(here.ip) not in seen:
        await _tell(
            work, user, "sign_in.new", "A new sign-in", "Somebody signed in to your account."
        )


async def refresh_reused(work: SystemWork, user: User) -> None:
    """A refresh token came a second time: somebody may have copied it."""
    what = (
        "A session of yours was ended, because its refresh token was used twice: a copy is about."
    )
    await _tell(work, user, "session.refresh_reused", "A session was ended", what)


async def password_changed(work: SystemWork, user: User) -> None:
    what = "Your password was changed. Your other sessions have ended."
    await _tell(work, user, "password.changed", "Your password was changed", what)


async def password_reset(work: SystemWork, user: User) -> None:
    what = "Your password was replaced by a new one. Your sessions and API keys have ended."
    await _tell(work, user, "password.reset", "Your password was reset", what)


async def password_login_off(work: SystemWork, user: User) -> None:
    """Too many wrong passwords in a row."""
    what = (
        "So many wrong passwords were tried that signing in with your password is off now. What\n"
        "is signed in already goes on. A new password turns it on again: `maestro password forgot`."
    )
    await _tell(work, user, "password.login_off", "Signing in with your password is off", what)


async def second_factor_changed(work: SystemWork, user: User) -> None:
    what = (
        "How you prove a sign-in with a second factor was changed. Your other sessions have ended."
    )
    await _tell(work, user, "mfa.changed", "Your second factor was changed", what)


async def email_change_asked(work: SystemWork, user: User) -> None:
    """To the address that the account still has."""
    what = "Somebody asked to give your account another e-mail address, which they have to verify."
    await _tell(work, user, "email.change_asked", "A change of your e-mail address", what)


async def email_changed(work: SystemWork, user: User, before: str) -> None:
    """To the address that the account had."""
    what = "Your account has another e-mail address now. This one is no longer used."
    await _tell(work, user, "email.changed", "Your e-mail address was changed", what, to=before)


async def address_tried(work: SystemWork, user: User) -> None:
    """Somebody wanted an account, or their own account's mail, at this address."""
    await send(
        work,
        to=user.email,
        kind="email.tried",
        subject="Your e-mail address was given at Maestro ML",
        text="Somebody gave this e-mail address for an account. You have one already, and nothing\n"
        "was changed. If it was you: sign in, or ask for a new password with\n"
        "`maestro password forgot`. If it was not, there is nothing to do.\n",
    )


async def _tell(
    work: SystemWork, user: User, kind: str, subject: str, what: str, *, to: str | None = None
) -> None:
    here = origin.get()
    ip = (here.ip if here else None) or "an unknown address"
    agent = one_line(here.user_agent or "")[:_AGENT] if here else ""
    when = f"{work.now:%Y-%m-%d %H:%M} UTC"
    text = f"{what}\n\n  when  {when}\n  from  {ip}\n  with  {agent or 'an unknown device'}\n"
    await send(
        work,
        to=to or user.email,
        kind=kind,
        subject=f"Maestro ML: {subject[0].lower()}{subject[1:]}",
        text=f"{text}\n{_NOT_YOU}",
    )


def _network(ip: str | None) -> str:
    """An address; of IPv6 the half that stays when a device changes the other one every day."""
    try:
        address = ip_address(ip or "")
    except ValueError:
        return ip or ""
    return str(ip_network((address, 64), strict=False) if isinstance(address, IPv6Address) else ip)
