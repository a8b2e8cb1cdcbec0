"""Prepared selects above tenants, for the lookups that every request pays for.

    KEY = Prepared(select(ApiKey.id, ApiKey.scopes).where(ApiKey.hash == bindparam("hash")))

    reader = FastReader.open(engines)
    row = await reader.one(KEY, hash=digest)              # a tuple of Python values, or None
    rows = await reader.all(KEY, hash=digest)
    await reader.close()

Values go in and come out as in a session: UUIDs, aware datetimes, lists; the column types see to
it. A commit is seen by the next call.

On SQLite a connection of its own, in the event loop: a lookup takes less time than a thread's
answer. On PostgreSQL a few connections of asyncpg's own, whose role is `maestro_system` from the
start, so that a lookup is one round trip.
"""

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import asyncpg
from sqlalchemy import URL, Dialect

from maestro_ml.db.engine import CONNECT_TIMEOUT, SEEN_AT_ONCE, Engines
from maestro_ml.db.faults import meaning
from maestro_ml.db.prepared import Compiled, Prepared, Row

_CONNECTIONS = 4
FAILURES = (
    *(sqlite3.Error, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError),
    OSError,
)


class _Driver(Protocol):
    async def fetch(self, sql: str, values: list[Any]) -> Sequence[Sequence[Any]]: ...

    async def close(self) -> None: ...


class FastReader:
    """Runs prepared selects beside any unit of work, across tenants: what is committed is there."""

    def __init__(self, driver: _Driver, dialect: Dialect) -> None:
        self._driver = driver
        self._dialect = dialect

    @classmethod
    def open(cls, engines: Engines) -> "FastReader":
        """No connection is made before the first call."""
        engine = engines.reading
        driver: _Driver = (
            _Sqlite(Path(engine.url.database or ""))
            if engine.dialect.name == "sqlite"
            else _Postgres(engine.url, engine.dialect)
        )
        return cls(driver, engine.dialect)

    async def one(self, prepared: Prepared, **arguments: Any) -> Row | None:
        """The first row, or None.

        Raises:
            Unavailable: the database does not answer.
        """
        compiled, found = await self._fetch(prepared, arguments)
        return compiled.row(found[0]) if found else None

    async def all(self, prepared: Prepared, **arguments: Any) -> list[Row]:
        """Every row.

        Raises:
            Unavailable: the database does not answer.
        """
        compiled, found = await self._fetch(prepared, arguments)
        return [compiled.row(raw) for raw in found]

    async def close(self) -> None:
        await self._driver.close()

    async def _fetch(
        self, prepared: Prepared, arguments: dict[str, Any]
    ) -> tuple[Compiled, Sequence[Sequence[Any]]]:
        compiled = prepared.on(self._dialect)
        try:
            return compiled, await self._driver.fetch(compiled.sql, compiled.values(arguments))
        except FAILURES as error:
            told = meaning(error)
            if told is None:
                raise
            raise told from error


class SqliteReader:
    """A connection of its own, in the event loop, to whatever file has the name now."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def connection(self) -> sqlite3.Connection:
        inode = self._file.stat().st_ino
        if self._connection is None or inode != self._inode:
            self._connection = self._open()
            self._inode = inode
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        self.close()
        # `rw`, for the shared memory of the write-ahead log: it never makes a missing file anew.
        connection = sqlite3.connect(
            f"{self._file.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=0.1
        )
        connection.execute("PRAGMA query_only = ON")
        connection.execute(f"PRAGMA mmap_size = {SEEN_AT_ONCE}")
        return connection


class _Sqlite:
    def __init__(self, file: Path) -> None:
        self._reader = SqliteReader(file)

    async def fetch(self, sql: str, values: list[Any]) -> list[Row]:
        # Not awaited on purpose: the answer is there before a thread would have woken up.
        return self._reader.connection().execute(sql, values).fetchall()

    async def close(self) -> None:
        self._reader.close()


class _Postgres:
    def __init__(self, url: URL, dialect: Dialect) -> None:
        _, options = dialect.create_connect_args(url)
        self._options = {k: v for k, v in options.items() if not k.startswith("prepared_statement")}
        self._free: list[asyncpg.Connection] = []
        self._turns = asyncio.Semaphore(_CONNECTIONS)

    # Not the driver's pool: to give a connection back there takes longer than to ask it.
    async def fetch(self, sql: str, values: list[Any]) -> Any:
        async with self._turns:
            connection = self._free.pop() if self._free else await self._open()
            if connection.is_closed():
                connection = await self._open()
            try:
                return await connection.fetch(sql, *values)
            except asyncio.CancelledError:
                connection.terminate()  # nobody knows how far it went
                raise
            finally:
                if not connection.is_closed():
                    self._free.append(connection)

    async def _open(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(
            **self._options,
            timeout=CONNECT_TIMEOUT,
            server_settings={"role": "maestro_system", "default_transaction_read_only": "on"},
        )
        for kind in ("json", "jsonb"):
            await connection.set_type_codec(
                kind, schema="pg_catalog", encoder=json.dumps, decoder=json.loads
            )
        return connection

    async def close(self) -> None:
        while self._free:
            await self._free.pop().close()
