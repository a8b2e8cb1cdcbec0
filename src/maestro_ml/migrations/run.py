"""Bring a database to a version of the schema, tell which one it has, and print grants.

`upgrade`, `downgrade` and `status` take the same URL as the server. A change is one transaction,
whatever the number of revisions: killed in the middle, it has not happened. Two processes that
start at once take turns.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, event, func, inspect, make_url, select, table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from maestro_ml.migrations import postgres
from maestro_ml.migrations.errors import (
    DatabaseLocked,
    DatabaseUnreachable,
    MigrationRefused,
    RolesMissing,
    SchemaTooNew,
    SchemaTooOld,
)

HERE = Path(__file__).parent
LOCK = 0x6D61657374726F  # the advisory lock of whoever migrates: "maestro"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Status:
    """Where a database stands. `current` is None while it is empty."""

    current: str | None
    head: str
    known: bool = True  # False when a newer version of the program wrote it

    @property
    def up_to_date(self) -> bool:
        return self.current == self.head


async def upgrade(url: str, revision: str = "head", *, wait: float = 30.0) -> Status:
    """Bring the database up to a revision. Another process's change is waited for.

    Raises:
        SchemaTooNew, DatabaseLocked, DatabaseUnreachable, RolesMissing, MigrationRefused
    """

    def up(config: Config, now: str | None) -> None:
        order = _order(revision)
        if now is not None and order.index(revision) < order.index(now):
            raise MigrationRefused(
                f"The database is at revision {now}, beyond {revision}: `maestro db downgrade "
                f"{revision}` takes it back."
            )
        command.upgrade(config, revision)

    return await _change(url, wait, up)


async def downgrade(url: str, revision: str, *, wait: float = 30.0) -> Status:
    """Bring the database back to a revision, or to `base`: empty.

    Raises:
        SchemaTooNew, DatabaseLocked, DatabaseUnreachable, RolesMissing
        MigrationRefused: what the older schema cannot hold would be lost.
    """
    return await _change(url, wait, lambda config, now: _back(config, now, revision))


@dataclass(frozen=True, slots=True)
class Loss:
    """What goes, by table and number of rows: whole tables, and rows of tables that stay."""

    tables: dict[str, int]
    rows: dict[str, int]


async def loss(url: str, revision: str, *, wait: float = 30.0) -> Loss:
    """What `downgrade` would lose. It is tried out in a transaction that is not kept.

    Raises: what `downgrade` raises.
    """

    def rehearse(config: Config, now: str | None) -> None:
        connection: Connection = config.attributes["connection"]
        rows = _rows(connection)
        _back(config, now, revision)
        left = _rows(connection)
        fewer = {name: count - left.get(name, 0) for name, count in rows.items()}
        raise _Rehearsed(
            Loss(
                tables={name: count for name, count in rows.items() if name not in left},
                rows={name: count for name, count in fewer.items() if count > 0 and name in left},
            )
        )

    try:
        await _change(url, wait, rehearse)
    except _Rehearsed as rehearsed:
        return rehearsed.lost
    return Loss({}, {})


class _Rehearsed(Exception):
    def __init__(self, lost: Loss) -> None:
        super().__init__()
        self.lost = lost


def _rows(connection: Connection) -> dict[str, int]:
    names = sorted(inspect(connection).get_table_names())
    with postgres.seeing_all(connection):
        return {
            name: connection.scalar(select(func.count()).select_from(table(name))) or 0
            for name in names
            if name != "alembic_version"
        }


def _back(config: Config, now: str | None, revision: str) -> None:
    order = _order(revision)
    if order.index(revision) > order.index(now or "base"):
        raise MigrationRefused(
            f"The database is at revision {now or 'none'}, before {revision}: `maestro db upgrade "
            f"{revision}` brings it there."
        )
    postgres.keep_others_out(config.attributes["connection"])
    command.downgrade(config, revision)


async def status(url: str) -> Status:
    """Where the database stands. Nothing is written, no file is created.

    Raises:
        DatabaseUnreachable, DatabaseLocked
    """
    if _is_missing(make_url(url)):
        return Status(None, _head())
    return await on_connection(url, _status)


async def require_head(url: str) -> None:
    """Refuse a database that this version of the program does not fit.

    Raises:
        SchemaTooNew, SchemaTooOld, RolesMissing, DatabaseUnreachable, DatabaseLocked
    """
    if not url.startswith("sqlite"):
        login = await on_connection(url, postgres.login_without_roles)
        if login is not None:
            raise RolesMissing(login)
    found = await status(url)
    if found.current is not None and not found.known:
        raise SchemaTooNew(found.current, found.head)
    if not found.up_to_date:
        raise SchemaTooOld(found.current, found.head)


def grants_sql(login: str) -> str:
    """What a PostgreSQL administrator runs once for the login that the server uses."""
    return postgres.grants_sql(login)


def config_for(connection: Connection | None = None) -> Config:
    """Alembic's configuration, without a file."""
    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _is_missing(url: URL) -> bool:
    return url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file()


def _may_write(url: URL) -> bool:
    return url.get_backend_name() != "sqlite" or os.access(url.database or "", os.W_OK)


def _head() -> str:
    head = ScriptDirectory.from_config(config_for()).get_current_head()
    assert head is not None
    return head


def _revisions() -> list[str]:
    """The oldest first."""
    script = ScriptDirectory.from_config(config_for())
    return [one.revision for one in script.walk_revisions()][::-1]


def _order(wanted: str) -> list[str]:
    """Raises:
    MigrationRefused: what is wanted is none of them.
    """
    known = _revisions()
    if wanted not in {"base", "head", *known}:
        raise MigrationRefused(
            f"There is no revision {wanted!r}: this version knows {known[0]} to {known[-1]}."
        )
    return ["base", *known, "head"]


def _status(connection: Connection) -> Status:
    current = MigrationContext.configure(connection).get_current_revision()
    return Status(current, _head(), current is None or current in _revisions())


async def _change(url: str, wait: float, act: Callable[[Config, str | None], None]) -> Status:
    def change(connection: Connection) -> Status:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{int(wait * 1000)}ms'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
            login = postgres.login_without_roles(connection)
            if login is not None:
                raise RolesMissing(login)
            postgres.create_roles(connection)
        before = _status(connection)
        if before.current is not None and not before.known:
            raise SchemaTooNew(before.current, before.head)
        try:
            act(config_for(connection), before.current)
        except CommandError as refused:
            raise MigrationRefused(str(refused)) from refused
        if connection.dialect.name == "sqlite":
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            if broken:
                raise MigrationRefused(
                    f"The change would leave {len(broken)} rows that refer to nothing, the first "
                    f"in the table {broken[0][0]!r}."
                )
        after = _status(connection)
        if connection.dialect.name == "postgresql":
            # Logins that do not own the tables ask for the revision, too, before they serve.
            connection.exec_driver_sql("GRANT SELECT ON alembic_version TO PUBLIC")
        connection.commit()
        return after

    parsed = make_url(url)
    if not _is_missing(parsed) and not _may_write(parsed):
        # SQLite would open it all the same, and refuse the first row that a server writes.
        where = parsed.render_as_string(hide_password=True)
        raise DatabaseUnreachable(where, "its file cannot be written")
    async with _one_at_a_time():
        return await on_connection(url, change, wait=wait)


def _one_at_a_time() -> asyncio.Lock:
    """Alembic's `op` and `context` are the process's: two changes in it would share them."""
    return _CHANGING.setdefault(asyncio.get_running_loop(), asyncio.Lock())


_CHANGING: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def on_connection(url: str, act: Callable[[Connection], T], *, wait: float = 5.0) -> T:
    """Run something on a connection as the login itself; it commits what it wants to keep."""
    parsed = make_url(url)
    engine = engine_for(parsed, wait)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(act)
    except (DBAPIError, asyncpg.PostgresError, OSError, TimeoutError) as error:
        raise explained(parsed, error) from error
    finally:
        await engine.dispose()


def engine_for(url: URL, wait: float) -> AsyncEngine:
    if url.get_backend_name() != "sqlite":
        return create_async_engine(
            url, poolclass=NullPool, hide_parameters=True, connect_args={"timeout": 10}
        )
    engine = create_async_engine(url, poolclass=NullPool, hide_parameters=True)

    @event.listens_for(engine.sync_engine, "connect")
    def open_sqlite(dbapi: Any, _: Any) -> None:
        dbapi.isolation_level = None
        dbapi.execute(f"PRAGMA busy_timeout = {int(wait * 1000)}")
        dbapi.execute("PRAGMA journal_mode = WAL")
        # A table is rebuilt by dropping it: with foreign keys on, that deletes its children.
        dbapi.execute("PRAGMA foreign_keys = OFF")

    @event.listens_for(engine.sync_engine, "begin")
    def begin_sqlite(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _in_words(failed: OSError | TimeoutError) -> str:
    """Why nobody answered, without the number that only programs know it by."""
    if isinstance(failed, ConnectionRefusedError):
        return "nobody listens there"
    return (failed.strerror or str(failed)).rstrip(".") or "no answer"


def explained(url: URL, error: BaseException) -> Exception:
    cause: Any = getattr(error, "driver_exception", None) or getattr(error, "orig", None) or error
    if isinstance(cause, sqlite3.OperationalError) and "locked" in str(cause):
        return DatabaseLocked()
    if isinstance(cause, asyncpg.LockNotAvailableError):
        return DatabaseLocked()
    where = url.render_as_string(hide_password=True)
    if isinstance(cause, OSError | TimeoutError | asyncio.TimeoutError):
        return DatabaseUnreachable(where, _in_words(cause))
    if isinstance(cause, sqlite3.OperationalError | sqlite3.DatabaseError) and any(
        sign in str(cause) for sign in ("unable to open", "not a database", "readonly", "disk")
    ):
        return DatabaseUnreachable(where, str(cause))
    if isinstance(
        cause,
        asyncpg.InvalidAuthorizationSpecificationError
        | asyncpg.InvalidCatalogNameError
        | asyncpg.CannotConnectNowError
        | asyncpg.TooManyConnectionsError
        | asyncpg.ConnectionDoesNotExistError
        | asyncpg.InsufficientPrivilegeError,
    ):
        return DatabaseUnreachable(where, str(cause).rstrip("."))
    assert isinstance(error, Exception)
    return error
