"""`maestro db`, done here: on the database that the settings name."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from maestro_ml.cli.output import Refused, give, give_json, say
from maestro_ml.cli.process import folder
from maestro_ml.cli.process.failures import run
from maestro_ml.cli.process.settings import load
from maestro_ml.core.settings import Settings
from maestro_ml.migrations import run as migrations


def upgrade(revision: str, *, data: Path | None, dev: bool) -> None:
    settings = load(data=data, dev=dev)
    _prepare(settings)
    after = run(migrations.upgrade(settings.database_url, revision))
    say(f"The database is at revision {after.current}.")


def downgrade(revision: str, *, data: Path | None, dev: bool) -> None:
    settings = load(data=data, dev=dev)
    _prepare(settings)
    after = run(migrations.downgrade(settings.database_url, revision))
    say(f"The database is at revision {after.current}." if after.current else "It is empty.")


def show(*, data: Path | None, dev: bool, as_json: bool) -> None:
    found = run(migrations.status(load(data=data, dev=dev).database_url))
    if as_json:
        give_json({"current": found.current, "head": found.head, "up_to_date": found.up_to_date})
    elif found.current is None:
        say("There is no database yet. `maestro serve` or `maestro db upgrade` makes it.")
    elif found.up_to_date:
        give(f"{found.current} (up to date)")
    else:
        give(f"{found.current} (this version needs {found.head})")
        say("`maestro db upgrade` brings it there.")


def print_grants(login: str | None) -> None:
    name = login or _login(load())
    give(migrations.grants_sql(name).rstrip())


def _login(settings: Settings) -> str:
    name = urlsplit(settings.database_url).username
    if not name:
        raise Refused("The database's address names no login: give one with --login.")
    return unquote(name)


def _prepare(settings: Settings) -> None:
    if settings.database.url is None:
        folder.prepare(settings.data)
