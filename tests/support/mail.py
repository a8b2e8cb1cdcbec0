"""A mail server with a certificate of its own, on loopback; and what a server has mailed."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from ipaddress import ip_address
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from sqlalchemy import select

from maestro_ml.core.clock import Clock, utc_now
from maestro_ml.core.settings_groups import Mail as MailSettings
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.mail.models import Mail
from support.leaks import secret
from support.live import free_port

SENDER = "maestro@maestro.test"
USER, PASSWORD = "maestro", secret("what the mail server knows")


@dataclass
class Inbox:
    """A mail server, as far as it has answered so far."""

    port: int
    ca_file: Path
    got: list[EmailMessage] = field(default_factory=list)
    to: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)  # the next ones; then it takes everything

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name and order
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.answers and self.answers[0].startswith("550"):
            return self.answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.answers:
            return self.answers.pop(0)
        assert isinstance(envelope.content, bytes)
        self.got.append(message_from_bytes(envelope.content, EmailMessage, policy=default))
        self.to += envelope.rcpt_tos
        self.encrypted.append(session.ssl is not None)
        return "250 taken"

    @property
    def settings(self) -> MailSettings:
        return MailSettings(host="localhost", port=self.port, sender=SENDER, ca_file=self.ca_file)


@contextmanager
def a_mail_server(
    folder: Path,
    *,
    name: str = "localhost",
    starttls: bool = True,
    tls: bool = False,
    auth: bool = False,
) -> Iterator[Inbox]:
    """It answers on loopback, under a certificate for that name that only `ca_file` vouches for."""
    certificate, key = _certificate(folder, name)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    inbox = Inbox(free_port(), certificate)
    controller = Controller(
        inbox,
        hostname="127.0.0.1",
        port=inbox.port,
        ssl_context=context if tls else None,
        tls_context=context if starttls and not tls else None,
        require_starttls=starttls and not tls,
        authenticator=_authenticate if auth else None,
        auth_required=auth,
        enable_SMTPUTF8=False,
    )
    controller.start()
    try:
        yield inbox
    finally:
        controller.stop()


async def mails(sessions: Sessions, kind: str | None = None) -> list[Mail]:
    """The outbox, the oldest first."""
    query = select(Mail).order_by(Mail.id)
    async with sessions.begin(SYSTEM, read_only=True) as session:
        found = await session.scalars(query if kind is None else query.where(Mail.kind == kind))
        return list(found)


def _authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
) -> AuthResult:
    known = LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=data == known)


def _certificate(folder: Path, name: str, clock: Clock = utc_now) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    called = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = [x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.2"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(called)
        .issuer_name(called)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(clock() - timedelta(days=1))
        .not_valid_after(clock() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    chain, secret = folder / f"{name}.pem", folder / f"{name}.key"
    chain.write_bytes(made.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return chain, secret
