"""Settings, read once at start-up and passed down. Nothing else reads the environment."""

import os
from collections.abc import Iterator, Mapping
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

PREFIX = "MAESTRO_"
# Read by the command line client, not by the server.
OTHERS = frozenset({"MAESTRO_TOKEN", "MAESTRO_URL", "MAESTRO_CONFIG_DIR"})
OTHERS_PREFIX = "MAESTRO_TEST_"


class Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _listed(value: object) -> object:
    """A list as the environment has it: comma-separated."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _redis(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    return url


def _network(text: str) -> str:
    ip_network(text, strict=False)
    return text


class Server(Group):
    """Where and how the API listens."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    public_url: str | None = Field(
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

    url: SecretStr | None = Field(
        None,
        description="`postgresql+asyncpg://...` or `sqlite+aiosqlite:///...`. "
        "Default: SQLite in the data folder.",
    )
    pool_size: int = Field(10, ge=1, le=200, description="Connections kept open.")
    busy_timeout: float = Field(
        5.0, gt=0, le=60, description="Seconds to wait for a locked database."
    )


class Redis(Group):
    """A shared cache of revocations. The database stays the truth."""

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
    cookie_insecure: bool = Field(
        False, description="Let the browser cookie travel over plain http on a local network."
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


class Settings(BaseSettings):
    """Every setting of the server. Any `NAME` may come as `NAME_FILE`, the path of its value."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    data: Path = Field(Path("maestro-data"), description="The data folder (mode 0700).")
    dev: bool = Field(False, description="Dev mode. Set by `maestro serve --dev`.")
    secret_key: SecretStr | None = Field(
        None,
        description="Encrypts signing keys at rest, 32 bytes or more. "
        "Default: the file `secret.key` in the data folder, made at first start.",
    )
    server: Server = Server()
    database: Database = Database()
    redis: Redis = Redis()
    storage: Storage = Storage()
    auth: Auth = Auth()
    jobs: Jobs = Jobs()
    log: Log = Log()

    @property
    def database_url(self) -> str:
        if self.database.url is not None:
            return self.database.url.get_secret_value()
        return f"sqlite+aiosqlite:///{self.data / 'maestro.db'}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, _FromFiles(settings_cls), _FromEnvironment(settings_cls))

    @model_validator(mode="after")
    def _no_unknown_names(self) -> Self:
        """A misspelt variable would be ignored in silence: `extra="forbid"` does not see it."""
        ours = {name for name in os.environ if name.upper().startswith(PREFIX)}
        names = {name for name, _ in names_of(type(self))}
        known = OTHERS | names | {f"{name}_FILE" for name in names}
        unknown = sorted(n for n in ours - known if not n.startswith(OTHERS_PREFIX))
        if unknown:
            raise ValueError(
                f"The environment has names that are no setting: {', '.join(unknown)}. "
                "`maestro config check` lists the settings there are."
            )
        return self


class _FromEnvironment(EnvSettingsSource):
    def _load_env_vars(self) -> Mapping[str, str | None]:
        """Without the names of files, which would be taken for settings inside a group."""
        files = {f"{name}_FILE".lower() for name, _ in names_of(self.settings_cls)}
        return {n: v for n, v in super()._load_env_vars().items() if n.lower() not in files}


class _FromFiles(EnvSettingsSource):
    """`MAESTRO_DATABASE__URL_FILE=/run/secrets/url` is `MAESTRO_DATABASE__URL` from that file."""

    def _load_env_vars(self) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for name, _ in names_of(self.settings_cls):
            path = os.environ.get(f"{name}_FILE")
            if path is None:
                continue
            if name in os.environ:
                raise ValueError(f"Both {name} and {name}_FILE are set: keep one.")
            try:
                found[name.lower()] = Path(path).read_text().strip()
            except (OSError, UnicodeDecodeError) as unreadable:
                raise ValueError(f"{name}_FILE names {path}, unreadable: {unreadable}") from None
        return found


def names_of(model: type[BaseModel], prefix: str = PREFIX) -> Iterator[tuple[str, FieldInfo]]:
    """Each setting's environment name and field, groups unfolded."""
    for name, field in model.model_fields.items():
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, Group):
            yield from names_of(kind, f"{prefix}{name}__".upper())
        else:
            yield f"{prefix}{name}".upper(), field


def describe(settings: Settings) -> dict[str, str]:
    """What is in force, by environment name; a secret is only said to be set."""
    told: dict[str, str] = {}
    for name, _ in names_of(type(settings)):
        value: Any = settings
        for part in name.removeprefix(PREFIX).lower().split("__"):
            value = getattr(value, part)
        if name == f"{PREFIX}DATABASE__URL" and value is None:
            told[name] = settings.database_url
        elif isinstance(value, SecretStr):
            told[name] = "(set, not shown)"
        elif isinstance(value, bool):
            told[name] = str(value).lower()
        elif isinstance(value, list):
            told[name] = ",".join(value)
        else:
            told[name] = "" if value is None else str(value)
    return told
