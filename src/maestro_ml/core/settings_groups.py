"""The groups of settings: what each package may be told."""

import re
from email.errors import MessageError
from email.headerregistry import Address
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)
from pydantic_settings import (
    NoDecode,
)

_HOST = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_DATABASE_URL = re.compile(
    r"[\w+]+://([^:/]*(:[^@]*)?@)?(\[[^/?]+\]|[^/:?]+)?(:\d*)?(/[^?]*)?(\?.*)?"
)


class Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _listed(value: object) -> object:
    """A list as the environment has it: comma-separated."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _redis(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    return url


def _database(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("sqlite+aiosqlite://", "postgresql+asyncpg://")):
        raise ValueError("must begin with sqlite+aiosqlite:// or postgresql+asyncpg://")
    if not _DATABASE_URL.fullmatch(url.get_secret_value()):
        raise ValueError("must read like postgresql+asyncpg://user:password@host:5432/database")
    return url


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must begin with http:// or https:// and name a host")
    return url


def _network(text: str) -> str:
    ip_network(text, strict=False)
    return text


def _destination(text: str) -> str:
    try:
        return _network(text)
    except ValueError:
        if _HOST.fullmatch(text) is None:
            raise ValueError("must be a network or a host name, without scheme or port") from None
        return text


class Server(Group):
    """Where and how the API listens."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    public_url: Annotated[str, AfterValidator(_address)] | None = Field(
        None, description="The URL people use, for links. Default: the address it listens on."
    )
    trusted_proxies: Annotated[
        list[Annotated[str, AfterValidator(_network)]], NoDecode, BeforeValidator(_listed)
    ] = Field(
        [],
        description="Proxy addresses, comma-separated, whose X-Forwarded-For is believed. "
        "Default: none.",
    )
    ssl_certfile: Path | None = Field(None, description="TLS certificate chain (PEM).")
    ssl_keyfile: Path | None = Field(None, description="TLS private key (PEM).")
    docs_public: bool = Field(True, description="Serve /docs and /openapi.json to anybody.")
    metrics_token: SecretStr | None = Field(
        None, description="Bearer token for /metrics. Without one, nobody may read it."
    )

    @model_validator(mode="after")
    def _whole_certificate(self) -> Self:
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            raise ValueError("TLS needs both ssl_certfile and ssl_keyfile")
        for file in (self.ssl_certfile, self.ssl_keyfile):
            if file is not None and not file.is_file():
                raise ValueError(f"TLS: there is no file {file}")
        return self


class Database(Group):
    """Where rows live."""

    url: Annotated[SecretStr, AfterValidator(_database)] | None = Field(
        None,
        description="`postgresql+asyncpg://...` or `sqlite+aiosqlite:///...`. "
        "Default: SQLite in the data folder.",
    )
    pool_size: int = Field(10, ge=1, le=200, description="Connections kept open.")
    busy_timeout: float = Field(
        5.0, gt=0, le=60, description="Seconds to wait for a locked database."
    )


class Redis(Group):
    """A shared cache of revocations, and counter of rates. The database stays the truth."""

    url: Annotated[SecretStr, AfterValidator(_redis)] | None = Field(
        None, description="`redis://...`. Default: none, not needed."
    )


class Storage(Group):
    """Where files live."""

    url: str | None = Field(
        None, description="`s3://bucket/prefix`. Default: the folder `files` in the data folder."
    )
    endpoint: str | None = Field(None, description="URL of an S3-compatible server.")
    region: str = Field("us-east-1", description="S3 region.")
    access_key_id: SecretStr | None = Field(None, description="S3 access key id.")
    secret_access_key: SecretStr | None = Field(None, description="S3 secret access key.")
    max_file_bytes: int = Field(
        50 * 2**30,
        ge=1,
        le=5 * 2**40,
        description="The largest single file; a tenant's own limit is for all of them together.",
    )


class Registration(StrEnum):
    OPEN = "open"
    INVITE = "invite"
    CLOSED = "closed"


class Auth(Group):
    """Accounts and passwords."""

    registration: Registration | None = Field(
        None,
        description="`open`, `invite` or `closed`. Default: open on loopback, else invite.",
    )
    password_min_length: int = Field(
        15, ge=8, le=64, description="Least code points in a password (NIST SP 800-63B-4)."
    )
    verify_email: bool = Field(
        False,
        description="Whoever registers proves the address by a mailed link before they sign in.",
    )
    cookie_insecure: bool = Field(
        False, description="Let the browser cookie travel over plain http on a local network."
    )


class MailSecurity(StrEnum):
    STARTTLS = "starttls"
    TLS = "tls"


def _sender(address: str) -> str:
    try:
        sound = address.isascii() and "@" in Address(addr_spec=address).addr_spec
    except (ValueError, MessageError):
        sound = False
    if not sound:
        raise ValueError("must be an address such as maestro@example.com")
    return address


class Mail(Group):
    """The way out for mail. Without one, mail is kept in the outbox."""

    host: str | None = Field(
        None, description="SMTP server. Default: none; mails are kept in the outbox."
    )
    port: int | None = Field(
        None, ge=1, le=65535, description="Default: 587, and 465 where TLS comes first."
    )
    security: MailSecurity = Field(
        MailSecurity.STARTTLS,
        description="`starttls` or `tls` from the first byte. Certificates are always checked.",
    )
    username: str | None = Field(None, description="SMTP user, if the server asks for one.")
    password: SecretStr | None = Field(None, description="SMTP password.")
    sender: Annotated[str, AfterValidator(_sender)] | None = Field(
        None, description="The address that mails come from. Needed with a host."
    )
    ca_file: Path | None = Field(
        None, description="Authority of the server's certificate (PEM). Default: the system's."
    )

    @property
    def used_port(self) -> int:
        return self.port or (465 if self.security is MailSecurity.TLS else 587)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.host is not None and self.sender is None:
            raise ValueError("mail by SMTP needs a sender: set MAESTRO_MAIL__SENDER")
        if (self.username is None) != (self.password is None):
            raise ValueError("SMTP needs both username and password, or neither")
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ValueError(f"SMTP: there is no file {self.ca_file}")
        return self


class OutboundSettings(Group):
    """Calls that the server makes to others."""

    allow: Annotated[
        list[Annotated[str, AfterValidator(_destination)]], NoDecode, BeforeValidator(_listed)
    ] = Field(
        [],
        description="Networks and host names, comma-separated, that may be called although they "
        "are not on the internet, over plain http too. Default: none.",
    )


class Jobs(Group):
    """Background work."""

    worker: bool = Field(True, description="Run a worker inside `maestro serve`.")
    concurrency: int = Field(2, ge=1, le=64, description="Jobs that one worker runs at a time.")


class LogFormat(StrEnum):
    JSON = "json"
    TEXT = "text"


class Log(Group):
    """What is written to standard error."""

    level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="Least level written."
    )
    format: LogFormat = Field(LogFormat.JSON, description="`json` or `text`.")
