"""SQLite's driver, in one step for each statement.

Its connections live in threads. Its own cursor is made, run, fetched from and closed in four of a
thread's answers, and each waits for its turn in the event loop: under load that is what a statement
costs, and what an answer takes.
"""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self, TypeVar

import aiosqlite

T = TypeVar("T")


class Cursor:
    """What SQLAlchemy asks of one. Rows are fetched at once, as its own adapter does."""

    arraysize = 1

    def __init__(self, connection: "SqliteConnection") -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Self:
        await self._connection.in_thread(partial(self._run, "execute", sql, parameters))
        return self

    async def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> Self:
        await self._connection.in_thread(partial(self._run, "executemany", sql, parameters))
        return self

    async def fetchall(self) -> list[Any]:
        return self._rows

    async def close(self) -> None:
        """It was closed when its rows were there."""

    def _run(self, how: str, sql: str, parameters: Any) -> None:
        """In the connection's thread."""
        cursor: sqlite3.Cursor = self._connection._conn.cursor()
        try:
            getattr(cursor, how)(sql, parameters)
            self.description = cursor.description
            self._rows = cursor.fetchall() if cursor.description else []
            self.rowcount = cursor.rowcount  # of RETURNING known only now
            self.lastrowid = cursor.lastrowid
        finally:
            cursor.close()


class SqliteConnection(aiosqlite.Connection):
    """Knows when nothing has been done since its transaction ended: then there is nothing to roll
    back, which a pool does with every connection that comes back to it."""

    _ended = False

    def cursor(self) -> Cursor:  # type: ignore[override]
        return Cursor(self)

    def taken(self) -> bool:
        """Out of the pool. False: it is closed."""
        return self._running and self._connection is not None

    async def in_thread(self, run: Callable[[], None]) -> None:
        self._ended = False
        await self._execute(run)  # type: ignore[no-untyped-call]

    async def transact(self, run: Callable[[sqlite3.Connection], T]) -> T:
        """Something that ends the transaction that it begins."""
        return await self._execute(partial(run, self._conn))  # type: ignore[no-untyped-call,no-any-return]

    async def commit(self) -> None:
        await super().commit()
        self._ended = True

    async def rollback(self) -> None:
        if not self._ended:
            await super().rollback()
            self._ended = True


def connect(file: str, **options: Any) -> SqliteConnection:
    """As the driver's own, which has no place for another class of connections."""
    return SqliteConnection(lambda: sqlite3.connect(file, **options), iter_chunk_size=64)
