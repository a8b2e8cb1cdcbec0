"""The settings in force: the environment's, and the command line's before them."""

from pathlib import Path
from typing import Any

from maestro_ml.cli.codes import Exit
from maestro_ml.cli.output import Refused, give, give_json, say
from maestro_ml.cli.process.failures import told
from maestro_ml.core.hosts import is_loopback
from maestro_ml.core.settings import PREFIX, Settings, describe, read
from maestro_ml.identity.secret import check_secret
from maestro_ml.storage.blobs import Blobs

DEV_DATA = Path("maestro-dev-data")


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
    with told():
        settings = read(**given)
        if settings.dev and "data" not in settings.model_fields_set:
            settings = read(**given, data=DEV_DATA)
    if settings.dev and not is_loopback(settings.server.host):
        raise Refused(
            f"Dev mode listens on loopback only and {settings.server.host} is not: anybody who "
            "reaches it knows its admin's password. Use `--host 127.0.0.1`, or leave out `--dev`.",
            Exit.SETTING,
        )
    return settings


def warn_of_plain(settings: Settings) -> None:
    """What an operator may not have thought of, and need not be wrong."""
    if not is_loopback(settings.server.host) and settings.server.ssl_certfile is None:
        say(
            f"Warning: {settings.server.host} is answered without encryption. Give a certificate "
            f"with {PREFIX}SERVER__SSL_CERTFILE and {PREFIX}SERVER__SSL_KEYFILE, or put a proxy "
            "with TLS before it."
        )


def show(*, as_json: bool) -> None:
    """What is in force, secrets hidden."""
    settings = load()
    with told():
        Blobs.open(settings)
        check_secret(settings)
    warn_of_plain(settings)
    lines = describe(settings)
    if as_json:
        give_json(lines)
        return
    for name, value in lines.items():
        give(f"{name}={value}")
    say("The settings are valid.")
