"""Connections: what each database is told when one opens and when a transaction begins."""

from dataclasses import dataclass
from typing import Any

import asyncpg
from sqlalchemy import Connection, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from maestro_ml.db.faults import meaning, translate
from maestro_ml.db.pool import FairPool

CONNECT_TIMEOUT = 5.0
QUEUE_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Engines:
    """Two ways in: `reading` begins transactions that cannot write, the database sees to it."""

    writing: AsyncEngine
    reading: AsyncEngine

    @property
    def dialect(self) -> str:
        return self.writing.dialect.name

    async def dispose(self) -> None:
        await self.reading.dispose()
        await self.writing.dispose()


def make_engines(
    url: str,
    *,
    pool_size: int = 10,
    busy_timeout: float = 5.0,
    queue_timeout: float = QUEUE_TIMEOUT,
) -> Engines:
    """SQLite has one writing connection, and its pool is the fair queue of the writers."""
    pool = {"poolclass": FairPool, "max_overflow": 0, "pool_timeout": queue_timeout}
    pool["hide_parameters"] = True  # errors are logged with their trace
    if not url.startswith("sqlite"):
        options = {"connection_class": PostgresConnection, "timeout": CONNECT_TIMEOUT}
        engine = create_async_engine(url, pool_size=pool_size, connect_args=options, **pool)
        _prepare_postgres(engine)
        return Engines(engine, engine.execution_options(postgresql_readonly=True))
    writing = create_async_engine(url, pool_size=1, **pool)
    reading = create_async_engine(url, pool_size=pool_size, **pool)
    for engine, begin in ((writing, "BEGIN IMMEDIATE"), (reading, "BEGIN")):
        _prepare_sqlite(engine, begin, busy_timeout)
    return Engines(writing, reading)


class PostgresConnection(asyncpg.Connection):  # type: ignore[misc]
    """Can put words behind the next BEGIN, so that they cost no round trip of their own."""

    prelude = ""

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        if not self.prelude or not query.startswith("BEGIN"):
            return await super().execute(query, *args, timeout=timeout)
        words, self.prelude = self.prelude, ""
        try:
            return await super().execute(query + words, *args, timeout=timeout)
        except asyncpg.PostgresError:
            if self.is_in_transaction():
                await super().execute("ROLLBACK")
            raise


def _prepare_postgres(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "do_connect")
    def connect(dialect: Any, _: Any, args: Any, options: Any) -> Any:
        try:
            return dialect.connect(*args, **options)
        except Exception as error:
            away = meaning(error)
            if away is None:
                raise
            raise away from error

    @event.listens_for(engine.sync_engine, "checkout")
    def checkout(dbapi: Any, _: Any, __: Any) -> None:
        connection: PostgresConnection = dbapi.driver_connection
        connection.prelude = ""
        if connection.is_closed():  # the server went away: the pool opens another one
            raise DisconnectionError

    event.listen(engine.sync_engine, "handle_error", translate)


def _prepare_sqlite(engine: AsyncEngine, begin: str, busy_timeout: float) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def open_sqlite(dbapi: Any, _: Any) -> None:
        dbapi.isolation_level = None  # the driver must not begin behind our back
        for pragma in (
            f"busy_timeout = {int(busy_timeout * 1000)}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
        ):
            dbapi.execute(f"PRAGMA {pragma}")
        if begin == "BEGIN":
            dbapi.execute("PRAGMA query_only = ON")
        (enforced,) = dbapi.execute("PRAGMA foreign_keys").fetchone()
        if not enforced:
            raise RuntimeError("this SQLite cannot enforce foreign keys")

    @event.listens_for(engine.sync_engine, "begin")
    def begin_sqlite(connection: Connection) -> None:
        # A deferred transaction that turns to writing fails as "locked" under load: writers queue.
        connection.exec_driver_sql(begin)

    event.listen(engine.sync_engine, "handle_error", translate)
