"""Mails that carry a link for somebody to prove themselves with.

The token stands behind `#`, so that no browser sends it on and no server logs it. The address is
the configured one, never what a request says.
"""

from maestro_ml.db.work import SystemWork, Work
from maestro_ml.identity.runtime import Identity
from maestro_ml.mail.post import LINK, SEALED_AS
from maestro_ml.mail.service import one_line, send

PASSWORD_PAGE, EMAIL_PAGE, INVITATION_PAGE = "reset-password", "verify-email", "invitation"


def link(identity: Identity, page: str, token: str) -> bytes:
    """The address of a page with a token for it, sealed until the mail is read."""
    url = f"{identity.settings.url}/{page}#{token}"
    return identity.secret.seal(url.encode(), SEALED_AS)


async def new_password(work: SystemWork, to: str, sealed: bytes) -> None:
    await send(
        work,
        to=to,
        kind="password.forgot",
        subject="A new password for Maestro ML",
        link=sealed,
        text=f"""\
Somebody, we hope you, asked for a new password. Choose one within an hour, here:

    {LINK}

Or in a terminal: `maestro password reset` asks for this link.

If it was not you, do nothing: the link is in this mail alone, and your password stays as it is.
""",
    )


async def verify_email(work: SystemWork, to: str, sealed: bytes) -> None:
    await send(
        work,
        to=to,
        kind="email.verify",
        subject="Verify your e-mail address for Maestro ML",
        link=sealed,
        text=f"""\
Somebody, we hope you, gave this address for an account. If it was you, say so within a day:

    {LINK}

Or in a terminal: `maestro email verify` asks for this link.

If it was not you, do nothing: without the link the address is not used.
""",
    )


async def invitation(
    work: SystemWork | Work, to: str, sealed: bytes, *, tenant: str, role: str
) -> None:
    await send(
        work,
        to=to,
        kind="invitation",
        subject=f"An invitation to {one_line(tenant)} on Maestro ML",
        link=sealed,
        text=f"""\
You are invited to the organisation "{one_line(tenant)}" on Maestro ML, with the role {role}. The
invitation works once, for seven days:

    {LINK}

Or in a terminal: `maestro join` asks for this link.

If you do not know who that is, do nothing.
""",
    )
