"""The way out: one SMTP server, spoken to over verified TLS and in no other way."""

import asyncio
import smtplib
import ssl
import time
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP

import email_validator

from maestro_ml.core.errors import MaestroError
from maestro_ml.core.settings_groups import Mail as MailSettings
from maestro_ml.core.settings_groups import MailSecurity
from maestro_ml.mail.errors import MailDelayed, MailRefused
from maestro_ml.mail.models import Mail
from maestro_ml.mail.ports import Box

LINK = "{link}"  # where a mail's text has its link, which is sealed beside it
SEALED_AS = "mail link"
FROM = "Maestro ML"
PATIENCE = 15.0  # seconds for each answer of the mail server
PAUSE = 30.0  # seconds for which nobody waits for one that could not be used a moment ago
_HIDDEN = "(the link is in the mail alone)"
_FOR_GOOD = range(500, 600)


class Post:
    """Puts mails together and hands them to the SMTP server of the settings, if one is named."""

    def __init__(self, settings: MailSettings, box: Box) -> None:
        self._settings = settings
        self._box = box
        self._paused_until = 0.0

    @property
    def leaves(self) -> bool:
        """Mail leaves the house; else the outbox is where it is read."""
        return self._settings.host is not None

    def shown(self, mail: Mail) -> str | None:
        """The text as the outbox shows it. Links that travel by SMTP are for their owners only.

        Raises:
            MailRefused: its link was sealed with another secret key.
        """
        if self.leaves and mail.text is not None:
            return mail.text.replace(LINK, _HIDDEN)
        return self._whole(mail)

    async def hand_over(self, mail: Mail) -> None:
        """Have the SMTP server take a mail.

        Raises:
            MailDelayed: it cannot be reached or does not take it now.
            MailRefused: it will never take it.
        """
        await asyncio.to_thread(self._hand_over, self.message(mail))

    def message(self, mail: Mail) -> EmailMessage:
        """As it goes over the wire. A second try has the same id, so that readers see one mail.

        Raises:
            MailRefused: an address or the subject cannot stand in a header.
        """
        sender = str(self._settings.sender)
        message = EmailMessage(policy=SMTP)
        try:
            message["From"] = f"{FROM} <{sender}>"
            message["To"] = _wire_address(mail.recipient)
            message["Subject"] = mail.subject
        except ValueError:
            raise MailRefused("Its address or its subject cannot stand in a mail.") from None
        message["Date"] = mail.created_at
        message["Message-ID"] = f"<{mail.id}@{sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        text = self._whole(mail) or ""
        # The usual encoding breaks lines, and so links, for whoever reads the mail as it came.
        message.set_content(text, cte="7bit" if text.isascii() else "quoted-printable")
        return message

    def _whole(self, mail: Mail) -> str | None:
        if mail.text is None or mail.link_sealed is None:
            return mail.text
        try:
            link = self._box.unseal(mail.link_sealed, SEALED_AS).decode()
        except MaestroError:
            raise MailRefused("Its link was sealed with another secret key.") from None
        return mail.text.replace(LINK, link)

    def _hand_over(self, message: EmailMessage) -> None:
        if time.monotonic() < self._paused_until:  # the worker has other things to do
            raise MailDelayed("The mail server could not be used a moment ago.")
        try:
            smtp = self._connected()
        except (OSError, smtplib.SMTPException) as failed:
            self._paused_until = time.monotonic() + PAUSE
            raise MailDelayed(f"The mail server cannot be used: {_why(failed)}.") from None
        try:
            smtp.send_message(message)
        except smtplib.SMTPNotSupportedError:
            raise MailRefused("The mail server takes no addresses beyond ASCII.") from None
        except (OSError, smtplib.SMTPException) as failed:
            if _status(failed) in _FOR_GOOD:
                raise MailRefused(f"The mail server refuses it: {_why(failed)}.") from None
            raise MailDelayed(f"The mail server did not take it: {_why(failed)}.") from None
        else:
            with suppress(OSError, smtplib.SMTPException):  # it has the mail, however it says so
                smtp.quit()
        finally:
            smtp.close()

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        trusted = ssl.create_default_context(cafile=settings.ca_file)
        host, port = str(settings.host), settings.used_port
        if settings.security is MailSecurity.TLS:
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=PATIENCE, context=trusted)
        else:
            smtp = smtplib.SMTP(host, port, timeout=PATIENCE)
        try:
            if settings.security is MailSecurity.STARTTLS:
                smtp.starttls(
                    context=trusted
                )  # refused if it is not offered: nothing goes in clear
            if settings.username is not None and settings.password is not None:
                smtp.login(settings.username, settings.password.get_secret_value())
        except BaseException:
            smtp.close()
            raise
        return smtp


def _wire_address(recipient: str) -> str:
    """With the domain as name servers know it; a server without SMTPUTF8 takes that, too."""
    try:
        found = email_validator.validate_email(
            recipient, check_deliverability=False, test_environment=True
        )
    except email_validator.EmailNotValidError:
        raise ValueError(recipient) from None
    return f"{found.local_part}@{found.ascii_domain}"


def _status(failed: Exception) -> int | None:
    match failed:
        case smtplib.SMTPRecipientsRefused():
            return max(code for code, _ in failed.recipients.values())
        case smtplib.SMTPDataError():
            return failed.smtp_code
    return None


def _why(failed: Exception) -> str:
    """For the platform's admin. What a server says may be long, and holds no secret of ours."""
    if isinstance(failed, smtplib.SMTPRecipientsRefused):
        words = "; ".join(f"{code} {_text(said)}" for code, said in failed.recipients.values())
    elif isinstance(failed, smtplib.SMTPResponseException):
        words = f"{failed.smtp_code} {_text(failed.smtp_error)}"
    else:
        words = str(failed) or type(failed).__name__
    return " ".join(words.split())[:200].rstrip(".")


def _text(said: bytes | str) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said
