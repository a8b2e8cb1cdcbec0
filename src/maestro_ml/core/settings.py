"""Settings, read once at start-up and passed down. Nothing else reads the environment."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import (
    BaseModel,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from maestro_ml.core.errors import Invalid
from maestro_ml.core.settings_groups import (
    Auth,
    Database,
    Group,
    Jobs,
    Log,
    Mail,
    OutboundSettings,
    Redis,
    Server,
    Storage,
)

PREFIX = "MAESTRO_"
# Read by the command line client, not by the server.
OTHERS = frozenset({"MAESTRO_TOKEN", "MAESTRO_URL", "MAESTRO_CONFIG_DIR"})
OTHERS_PREFIX = "MAESTRO_TEST_"


class SettingsInvalid(Invalid):
    """Said at the start: a setting is missing, misspelt or makes no sense."""

    code = "settings-invalid"


class Settings(BaseSettings):
    """Every setting of the server. Any `NAME` may come as `NAME_FILE`, the path of its value."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,  # a misspelt name's value may be a secret
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
    mail: Mail = Mail()
    outbound: OutboundSettings = OutboundSettings()
    jobs: Jobs = Jobs()
    log: Log = Log()

    @property
    def database_url(self) -> str:
        if self.database.url is not None:
            return self.database.url.get_secret_value()
        return f"sqlite+aiosqlite:///{self.data / 'maestro.db'}"

    @property
    def url(self) -> str:
        """Where people find the server. Never what a request says of it."""
        server = self.server
        if server.public_url is not None:
            return server.public_url.rstrip("/")
        scheme = "https" if server.ssl_certfile is not None else "http"
        host = f"[{server.host}]" if ":" in server.host else server.host
        return f"{scheme}://{host}:{server.port}"

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


def read(**given: Any) -> Settings:
    """The settings in force: those given, and the environment's.

    Raises:
        SettingsInvalid: the sentence names the setting, and never its value.
    """
    try:
        return Settings(**given)
    except ValidationError as invalid:
        faults = invalid.errors(include_url=False, include_input=False)
        raise SettingsInvalid(" ".join(map(_fault, faults))) from None
    except ValueError as invalid:  # a file that a setting names
        raise SettingsInvalid(str(invalid)) from None


def _fault(error: ErrorDetails) -> str:
    why = error["msg"].removeprefix("Value error, ").rstrip(".")
    if not error["loc"]:
        return f"{why}."
    name = PREFIX + "__".join(map(str, error["loc"])).upper()
    return f"{name} is invalid: {why[0].lower()}{why[1:]}."


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
            except OSError as failed:
                raise ValueError(
                    f"{name}_FILE names {path}, which cannot be read: {failed.strerror}."
                ) from None
            except UnicodeDecodeError:
                raise ValueError(f"{name}_FILE names {path}, which is no text.") from None
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
