"""Units of work of prepared statements only, for the few calls that are made all the time.

    run = await sessions.hot.read(access, now, lambda work: runs.get(work, run_id))
    await sessions.hot.write(access, now, lambda work: logs.log(work, run_id, told))

A verb asks `work.prepared` and nothing else that takes time. What `write` returns from is durable.

On SQLite a read happens in the event loop: it takes less time than a thread's answer. Writers come
together in the one writing connection's thread: those who wait are one transaction, with one wait
for the disk, each in a savepoint of its own. On PostgreSQL each is a transaction under the tenant's
role, which begins in one round trip.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import UUID

import asyncpg
from sqlalchemy import Dialect

from maestro_ml.core.access import Access, Permission
from maestro_ml.core.errors import Forbidden
from maestro_ml.db.engine import READ_LIMIT, Engines
from maestro_ml.db.fast import FAILURES, SqliteReader
from maestro_ml.db.faults import meaning, meaning_writing
from maestro_ml.db.pool import driver_of
from maestro_ml.db.prepared import Both, Prepared, Row, Runner, Upsert
from maestro_ml.db.tenants import words_for

T = TypeVar("T")
MOST = 64  # units of work of one transaction: others have a turn


@dataclass(frozen=True, slots=True)
class FastWork:
    """A caller inside one tenant, with prepared statements only."""

    prepared: Runner
    access: Access
    now: datetime

    @property
    def tenant_id(self) -> UUID:
        return self.prepared.tenant

    def require(self, permission: Permission, project_id: UUID | None = None) -> None:
        self.access.require(permission, project_id)

    def allows(self, permission: Permission, project_id: UUID | None = None) -> bool:
        return self.access.allows(permission, project_id)


Act = Callable[[FastWork], Awaitable[T]]


class Hot:
    """Opens such units of work. No connection is made before the first."""

    def __init__(self, engines: Engines) -> None:
        units = _Sqlite if engines.dialect == "sqlite" else _Postgres
        self._units: _Units = units(engines)
        engines.closing.append(self._units.close)

    async def read(self, access: Access, now: datetime, act: Act[T]) -> T:
        """Raises:
        Forbidden: the caller is in no tenant.
        Unavailable: the database does not answer.
        """
        try:
            result: T = await self._units.read(_tenant(access), partial(_begun, access, now, act))
        except FAILURES as error:
            told = meaning(error)
            if told is None:
                raise
            raise told from error
        return result

    async def write(self, access: Access, now: datetime, act: Act[T]) -> T:
        """Commits what `act` did before it returns; nothing of it is kept if it raises.

        Raises:
            Forbidden: the caller is in no tenant.
            Unavailable: the database does not answer.
        """
        try:
            result: T = await self._units.write(_tenant(access), partial(_begun, access, now, act))
        except FAILURES as error:
            told = meaning_writing(error)
            if told is None:
                raise
            raise told from error
        return result


def _tenant(access: Access) -> UUID:
    if access.tenant_id is None:
        raise Forbidden("This belongs to a tenant, and your account is a member of none.")
    return access.tenant_id


def _begun(access: Access, now: datetime, act: Act[T], runner: Runner) -> Awaitable[T]:
    return act(FastWork(runner, access, now))


_Run = Callable[[Runner], Any]


class _Units(Protocol):
    async def read(self, tenant: UUID, run: _Run) -> Any: ...

    async def write(self, tenant: UUID, run: _Run) -> Any: ...

    async def close(self) -> None: ...


class _Sqlite:
    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._dialect = engines.writing.dialect
        self._reader = SqliteReader(Path(engines.writing.url.database or ""))
        self._waiting: list[_Waiting] = []
        self._committing: asyncio.Task[None] | None = None

    async def read(self, tenant: UUID, run: _Run) -> Any:
        connection = self._reader.connection()
        connection.execute("BEGIN")  # so that all of it sees the same
        try:
            return _driven(run(_SqliteRunner(connection, self._dialect, tenant)))
        finally:
            connection.execute("ROLLBACK")

    async def write(self, tenant: UUID, run: _Run) -> Any:
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(tenant, run, done))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        return await done

    async def _commit(self) -> None:
        """While somebody waits."""
        group: list[_Waiting] = []
        try:
            while self._waiting:
                async with driver_of(self._engines.writing) as driver:
                    group, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                    outcomes = await driver.transact(partial(_together, self._dialect, group))
                for waiting, outcome in zip(group, outcomes, strict=True):
                    waiting.answer(outcome)
                group = []
        except BaseException as failed:
            for waiting in (*group, *self._waiting):
                waiting.answer(_Outcome(error=failed))
            self._waiting = []
            if not isinstance(failed, Exception):
                raise
        finally:
            self._committing = None

    async def close(self) -> None:
        if self._committing is not None:
            await self._committing
        self._reader.close()


@dataclass(frozen=True, slots=True)
class _Outcome:
    result: Any = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class _Waiting:
    tenant: UUID
    run: _Run
    done: asyncio.Future[Any]

    def answer(self, outcome: _Outcome) -> None:
        if self.done.done():  # who asked is gone
            return
        if outcome.error is None:
            self.done.set_result(outcome.result)
        else:
            self.done.set_exception(outcome.error)


def _together(
    dialect: Dialect, group: Sequence[_Waiting], connection: sqlite3.Connection
) -> list[_Outcome]:
    """In the connection's thread."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        outcomes = [_one(dialect, waiting, connection) for waiting in group]
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return outcomes


def _one(dialect: Dialect, waiting: _Waiting, connection: sqlite3.Connection) -> _Outcome:
    connection.execute("SAVEPOINT one")
    try:
        result = _driven(waiting.run(_SqliteRunner(connection, dialect, waiting.tenant)))
    except Exception as error:
        if not connection.in_transaction:  # the whole of it was given up
            raise
        connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")
        return _Outcome(error=error)
    connection.execute("RELEASE one")
    return _Outcome(result)


def _driven(act: Coroutine[Any, Any, T]) -> T:
    """The result of what never waits."""
    try:
        act.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    act.close()
    raise RuntimeError("a verb of a hot path waits for something else than its statements")


class _SqliteRunner(Runner):
    __slots__ = ("_connection", "_dialect")

    def __init__(self, connection: sqlite3.Connection, dialect: Dialect, tenant: UUID) -> None:
        super().__init__(tenant)
        self._connection = connection
        self._dialect = dialect

    async def _all(self, prepared: Prepared, arguments: Mapping[str, Any]) -> list[Row]:
        compiled = prepared.on(self._dialect)
        found = self._connection.execute(compiled.sql, compiled.values(arguments)).fetchall()
        return [compiled.row(raw) for raw in found]

    async def _put(self, upsert: Upsert | Both, rows: list[dict[str, Any]]) -> None:
        for part in upsert.parts:
            compiled = part.on(self._dialect)
            self._connection.executemany(compiled.sql, [compiled.values(row) for row in rows])


class _Postgres:
    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._dialect = engines.writing.dialect

    async def read(self, tenant: UUID, run: _Run) -> Any:
        limit = f"; SET LOCAL statement_timeout = {int(READ_LIMIT * 1000)}"
        return await self._within(f"BEGIN READ ONLY; {words_for(tenant)}{limit}", tenant, run)

    async def write(self, tenant: UUID, run: _Run) -> Any:
        return await self._within(f"BEGIN; {words_for(tenant)}", tenant, run)

    async def _within(self, begin: str, tenant: UUID, run: _Run) -> Any:
        async with driver_of(self._engines.writing) as driver:
            try:
                await driver.execute(begin)
                result = await run(_PostgresRunner(driver, self._dialect, tenant))
                await driver.execute("COMMIT")
            except asyncio.CancelledError:
                driver.terminate()  # nobody knows how far it went
                raise
            except BaseException:
                if driver.is_in_transaction():
                    try:
                        await driver.execute("ROLLBACK")
                    except FAILURES:
                        driver.terminate()
                raise
            return result

    async def close(self) -> None:
        """The connections are the engines'."""


class _PostgresRunner(Runner):
    __slots__ = ("_connection", "_dialect")

    def __init__(self, connection: asyncpg.Connection, dialect: Dialect, tenant: UUID) -> None:
        super().__init__(tenant)
        self._connection = connection
        self._dialect = dialect

    async def _all(self, prepared: Prepared, arguments: Mapping[str, Any]) -> list[Row]:
        compiled = prepared.on(self._dialect)
        found = await self._connection.fetch(compiled.sql, *compiled.values(arguments))
        return [compiled.row(raw) for raw in found]

    async def _put(self, upsert: Upsert | Both, rows: list[dict[str, Any]]) -> None:
        compiled = upsert.on(self._dialect)
        if len(rows) == 1:
            await self._connection.fetch(compiled.sql, *compiled.values(rows[0]))
        else:
            sent = [compiled.values(row) for row in rows]
            await self._connection.executemany(compiled.sql, sent)
