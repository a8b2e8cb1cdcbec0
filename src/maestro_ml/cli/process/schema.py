"""`maestro db`, done here: on the database that the settings name."""

from dataclasses import asdict
from pathlib import Path
from urllib.parse import unquote, urlsplit

from maestro_ml.cli.codes import Exit
from maestro_ml.cli.output import Refused, confirm, give, give_json, say
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


def downgrade(revision: str, *, data: Path | None, dev: bool, yes: bool) -> None:
    settings = load(data=data, dev=dev)
    _prepare(settings)
    what = _told(run(migrations.loss(settings.database_url, revision)))
    if yes:
        say(what)
    confirm(f"Bring the database back to {revision}? What is newer is lost. {what}", yes=yes)
    after = run(migrations.downgrade(settings.database_url, revision))
    say(f"The database is at revision {after.current}." if after.current else "It is empty.")


def show(*, data: Path | None, dev: bool, as_json: bool) -> None:
    found = run(migrations.status(load(data=data, dev=dev).database_url))
    if as_json:
        give_json(asdict(found) | {"up_to_date": found.up_to_date})
    elif found.current is None:
        say("There is no database yet. `maestro serve` or `maestro db upgrade` makes it.")
    elif found.up_to_date:
        give(f"{found.current} (up to date)")
    elif found.known:
        give(f"{found.current} (this version needs {found.head})")
        say("`maestro db upgrade` brings it there.")
    else:
        give(f"{found.current} (this version ends at {found.head})")
    if found.current is not None and not found.known:
        raise Refused("A newer version of Maestro ML wrote it: start that one.", Exit.SCHEMA)


def print_grants(login: str | None) -> None:
    name = login or _login(load())
    give(migrations.grants_sql(name).rstrip())


def _login(settings: Settings) -> str:
    name = urlsplit(settings.database_url).username
    if not name:
        raise Refused("The database's address names no login: give one with --login.")
    return unquote(name)


def _told(lost: migrations.Loss) -> str:
    tables, rows = (
        ", ".join(f"{name} {count}" for name, count in what.items())
        for what in (lost.tables, lost.rows)
    )
    told = (
        f"These tables go, with so many rows: {tables}."
        if tables
        else "No table goes, columns may."
    )
    return f"{told} Of tables that stay, so many rows go: {rows}." if rows else told


def _prepare(settings: Settings) -> None:
    if settings.database.url is None:
        folder.take(settings.data)
