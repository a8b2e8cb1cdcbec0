"""Connections: what each database is told when one opens and when a transaction begins."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from sqlalchemy import Connection, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from maestro_ml.db.faults import meaning, translate, translate_postgres, translate_writing
from maestro_ml.db.pool import FairPool
from maestro_ml.db.sqlite import connect

CONNECT_TIMEOUT = 5.0
QUEUE_TIMEOUT = 30.0
READ_LIMIT = 5.0  # seconds for one statement that reads: a search must not keep others out

# Bytes of SQLite's file that are read where the system keeps them, without a call for each page.
SEEN_AT_ONCE = 2**28


@dataclass(frozen=True, slots=True)
class Engines:
    """Two ways in: `reading` begins transactions that cannot write, the database sees to it."""

    writing: AsyncEngine
    reading: AsyncEngine
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)  # what goes first

    @property
    def dialect(self) -> str:
        return self.writing.dialect.name

    @property
    def connections(self) -> int:
        """How many `reading` has at most."""
        return self.reading.pool.size()  # type: ignore[attr-defined,no-any-return]

    async def dispose(self) -> None:
        while self.closing:
            await self.closing.pop()()
        await self.reading.dispose()
        await self.writing.dispose()


def make_engines(
    url: str,
    *,
    pool_size: int = 10,
    busy_timeout: float = 5.0,
    queue_timeout: float = QUEUE_TIMEOUT,
    read_limit: float = READ_LIMIT,
) -> Engines:
    """SQLite has one writing connection, and its pool is the fair queue of the writers."""
    pool = {"poolclass": FairPool, "max_overflow": 0, "pool_timeout": queue_timeout}
    pool["hide_parameters"] = True  # errors are logged with their trace
    if not url.startswith("sqlite"):
        options = {"connection_class": PostgresConnection, "timeout": CONNECT_TIMEOUT}
        engine = create_async_engine(url, pool_size=pool_size, connect_args=options, **pool)
        _prepare_postgres(engine)
        reading = engine.execution_options(postgresql_readonly=True, read_limit=read_limit)
        return Engines(engine, reading)
    pool["connect_args"] = {"async_creator_fn": connect}
    writing = create_async_engine(url, pool_size=1, **pool)
    reading = create_async_engine(url, pool_size=pool_size, **pool)
    for engine, begin in ((writing, "BEGIN IMMEDIATE"), (reading, "BEGIN")):
        _prepare_sqlite(engine, begin, busy_timeout)
    _limit_reading(reading, read_limit)
    return Engines(writing, reading)


class PostgresConnection(asyncpg.Connection):  # type: ignore[misc]
    """Can put words behind the next BEGIN, so that they cost no round trip of their own."""

    prelude = ""

    def taken(self) -> bool:
        """Out of the pool, with nothing left of whoever had it. False: the server went away."""
        self.prelude = ""
        return not self.is_closed()

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
        if not dbapi.driver_connection.taken():  # the pool opens another one
            raise DisconnectionError

    event.listen(engine.sync_engine, "handle_error", translate_postgres)


def _prepare_sqlite(engine: AsyncEngine, begin: str, busy_timeout: float) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def open_sqlite(dbapi: Any, _: Any) -> None:
        dbapi.isolation_level = None  # the driver must not begin behind our back
        for pragma in (
            f"busy_timeout = {int(busy_timeout * 1000)}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "secure_delete = ON",  # what is deleted is overwritten, not only let go
        ):
            dbapi.execute(f"PRAGMA {pragma}")
        if begin == "BEGIN":
            dbapi.execute("PRAGMA query_only = ON")
            dbapi.execute(f"PRAGMA mmap_size = {SEEN_AT_ONCE}")
        (enforced,) = dbapi.execute("PRAGMA foreign_keys").fetchone()
        if not enforced:
            raise RuntimeError("this SQLite cannot enforce foreign keys")

    @event.listens_for(engine.sync_engine, "begin")
    def begin_sqlite(connection: Connection) -> None:
        # A deferred transaction that turns to writing fails as "locked" under load: writers queue.
        connection.exec_driver_sql(begin)

    told = translate if begin == "BEGIN" else translate_writing
    event.listen(engine.sync_engine, "handle_error", told)


def _limit_reading(engine: AsyncEngine, seconds: float) -> None:
    """SQLite knows no time limit, but can be interrupted; PostgreSQL is told with BEGIN."""

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def start(connection: Connection, _: Any, __: Any, ___: Any, context: Any, ____: Any) -> None:
        driver: Any = connection.connection.driver_connection
        loop = asyncio.get_running_loop()
        context.read_limit = loop.call_later(seconds, lambda: loop.create_task(driver.interrupt()))

    @event.listens_for(engine.sync_engine, "after_cursor_execute")
    def end(_: Connection, __: Any, ___: Any, ____: Any, context: Any, _____: Any) -> None:
        context.read_limit.cancel()

    @event.listens_for(engine.sync_engine, "handle_error")
    def fail(failed: ExceptionContext) -> None:
        limit = getattr(failed.execution_context, "read_limit", None)
        if limit is not None:
            limit.cancel()
