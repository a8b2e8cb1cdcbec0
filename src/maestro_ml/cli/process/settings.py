"""The settings in force: the environment's, and the command line's before them."""

from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from maestro_ml.cli.codes import Exit
from maestro_ml.cli.output import Refused, give, give_json, say
from maestro_ml.cli.process.failures import told
from maestro_ml.core.settings import PREFIX, Settings, describe
from maestro_ml.storage.blobs import Blobs

DEV_DATA = Path("maestro-dev-data")
DIALECTS = ("sqlite+aiosqlite://", "postgresql+asyncpg://")


def load(
    *,
    host: str | None = None,
    port: int | None = None,
    data: Path | None = None,
    dev: bool = False,
) -> Settings:
    """What is given goes before the environment. Dev mode has a data folder of its own.

    Raises:
        Refused: a setting is invalid; the sentence names it.
    """
    listen = {k: v for k, v in {"host": host, "port": port}.items() if v is not None}
    given: dict[str, Any] = {"server": listen} if listen else {}
    given |= {"data": data} if data is not None else {}
    given |= {"dev": True} if dev else {}
    settings = _valid(given)
    if settings.dev and "data" not in settings.model_fields_set:
        settings = _valid({**given, "data": DEV_DATA})
    if settings.dev and not is_loopback(settings.server.host):
        raise Refused(
            f"Dev mode listens on loopback only and {settings.server.host} is not: anybody who "
            "reaches it knows its admin's password. Use `--host 127.0.0.1`, or leave out `--dev`.",
            Exit.SETTING,
        )
    if not is_loopback(settings.server.host) and settings.server.ssl_certfile is None:
        say(
            f"Warning: {settings.server.host} is answered without encryption. Give a certificate "
            f"with {PREFIX}SERVER__SSL_CERTFILE and {PREFIX}SERVER__SSL_KEYFILE, or put a proxy "
            "with TLS before it."
        )
    if not settings.database_url.startswith(DIALECTS):
        raise Refused(
            f"{PREFIX}DATABASE__URL must begin with `sqlite+aiosqlite://` or `postgresql+asyncpg://`.",
            Exit.SETTING,
        )
    return settings


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def show(*, as_json: bool) -> None:
    """What is in force, secrets hidden."""
    settings = load()
    with told():
        Blobs.open(settings)
    lines = describe(settings)
    if as_json:
        give_json(lines)
        return
    for name, value in lines.items():
        give(f"{name}={value}")
    say("The settings are valid.")


def _valid(given: dict[str, Any]) -> Settings:
    try:
        return Settings(**given)
    except ValidationError as invalid:
        faults = " ".join(_fault(error) for error in invalid.errors(include_url=False))
        raise Refused(faults, Exit.SETTING) from None
    except ValueError as invalid:  # a file that a setting names
        raise Refused(str(invalid), Exit.SETTING) from None


def _fault(error: Any) -> str:
    why = error["msg"].removeprefix("Value error, ").rstrip(".")
    if not error["loc"]:
        return f"{why}."
    name = PREFIX + "__".join(map(str, error["loc"])).upper()
    return f"{name} is invalid: {why[0].lower()}{why[1:]}."
