"""Statements compiled once, and the ways to run them.

    KEY = Prepared(select(ApiKey.id, ApiKey.scopes).where(ApiKey.hash == bindparam("hash")))
    TAG = Upsert(RunTag, key=("run_id", "key"), change=("value",))

    row = await work.prepared.one(KEY, hash=digest)
    await work.prepared.put(TAG, rows)

Every name of `bindparam` is an argument; a list of ids is one by `db.among`. Inside a tenant each
tenant table of a statement must be held by `tenant_id == bindparam("tenant_id")`, and the tenant is
the caller's, whatever the arguments say.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    CompoundSelect,
    Delete,
    Dialect,
    Float,
    Select,
    Table,
    Update,
    Uuid,
    bindparam,
    inspect,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

from maestro_ml.db.base import Base, TenantOwned
from maestro_ml.db.guard import TenantViolation, unheld_tables

Row = tuple[Any, ...]
_Processor = Callable[[Any], Any] | None
_INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
# What becomes of a column, from what it holds and what was sent.
Change = Callable[[Any, Any], Any]


class Statement(ABC):
    """Compiled when it is first run on a database."""

    unheld: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self._compiled: dict[str, Compiled] = {}

    @abstractmethod
    def on_dialect(self, name: str) -> Any:
        """The statement as this database understands it."""

    def on(self, dialect: Dialect) -> "Compiled":
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            statement = self.on_dialect(dialect.name)
            compiled = self._compiled[dialect.name] = Compiled(statement, dialect)
        return compiled


class Prepared(Statement):
    """A select, an update or a delete."""

    def __init__(
        self,
        statement: Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]] | Update | Delete,
    ) -> None:
        super().__init__()
        changed: Any = getattr(statement, "_values", None) or ()
        if "tenant_id" in {getattr(column, "key", column) for column in changed}:
            raise TenantViolation("a row never changes its tenant")
        self.statement = statement
        self.unheld = unheld_tables(statement)

    def on_dialect(self, name: str) -> Any:
        return self.statement


class Upsert(Statement):
    """Adds rows of a tenant; one that is there already, by `key`, takes what `change` says. The
    tenant is part of both, so the only row that can be met is the tenant's own. Without a key a
    row that is there already is an error."""

    def __init__(
        self,
        model: type[Base],
        *,
        key: Sequence[str] = (),
        change: Sequence[str] | Mapping[str, Change] = (),
    ) -> None:
        super().__init__()
        if not issubclass(model, TenantOwned) or "tenant_id" in change:
            raise TenantViolation("an upsert above tenants, or of the tenant itself")
        table = inspect(model).local_table
        assert isinstance(table, Table)
        self._table = table
        self._key = ("tenant_id", *key) if key else ()
        self.parts = (self,)
        named = change if isinstance(change, Mapping) else dict.fromkeys(change, _the_new)
        self._change: Mapping[str, Change] = named

    def on_dialect(self, name: str) -> Any:
        table = self._table
        insert = _INSERT[name](table).values(
            {c.key: bindparam(c.key, type_=c.type) for c in table.c}
        )
        if not self._key:
            return insert
        if not self._change:
            return insert.on_conflict_do_nothing(index_elements=self._key)
        new = {
            name: change(table.c[name], insert.excluded[name])
            for name, change in self._change.items()
        }
        return insert.on_conflict_do_update(index_elements=self._key, set_=new)


class Both(Statement):
    """Two upserts of the same rows, each of which takes the columns that it knows."""

    def __init__(self, first: Upsert, second: Upsert) -> None:
        super().__init__()
        self.parts = (first, second)

    def on_dialect(self, name: str) -> Any:
        """One statement, where a statement may hold another that writes."""
        first, second = (part.on_dialect(name) for part in self.parts)
        return second.add_cte(first.cte("first"))


def _the_new(_: Any, new: Any) -> Any:
    return new


class Compiled:
    __slots__ = ("_binds", "_results", "sql")

    def __init__(self, statement: Any, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        if compiled.post_compile_params:
            raise TypeError("a list of values cannot be compiled once: write among(), not in_()")
        self.sql = compiled.string
        binds = [compiled.binds[name] for name in compiled.positiontup or ()]
        self._binds: list[tuple[str | None, Any, _Processor]] = [
            (bind.key, None, _bound(bind.type, dialect))
            if bind.required
            else (None, _fixed(bind, dialect), None)
            for bind in binds
        ]
        reads = isinstance(statement, Select | CompoundSelect)
        columns = statement.selected_columns if reads else ()
        self._results = [
            (i, process)
            for i, column in enumerate(columns)
            if (process := _result(column.type, dialect)) is not None
        ]

    def values(self, arguments: Mapping[str, Any]) -> list[Any]:
        return [
            fixed if name is None else process(arguments[name]) if process else arguments[name]
            for name, fixed, process in self._binds
        ]

    def row(self, raw: Sequence[Any]) -> Row:
        values = list(raw)
        for i, process in self._results:
            values[i] = process(values[i])
        return tuple(values)


class Runner(ABC):
    """Runs prepared statements inside one tenant."""

    __slots__ = ("tenant",)

    def __init__(self, tenant: UUID) -> None:
        self.tenant = tenant

    async def one(self, prepared: Prepared, **arguments: Any) -> Row | None:
        """The first row, or None."""
        found = await self.all(prepared, **arguments)
        return found[0] if found else None

    async def all(self, prepared: Prepared, **arguments: Any) -> list[Row]:
        """Every row; none of an update or a delete."""
        if prepared.unheld:
            raise TenantViolation("a prepared statement that does not carry the tenant")
        return await self._all(prepared, {**arguments, "tenant_id": self.tenant})

    async def put(self, upsert: Upsert | Both, rows: Sequence[Mapping[str, Any]]) -> None:
        """Every row names every column but the tenant's."""
        if rows:
            await self._put(upsert, [{**row, "tenant_id": self.tenant} for row in rows])

    @abstractmethod
    async def _all(self, prepared: Prepared, arguments: Mapping[str, Any]) -> list[Row]: ...

    @abstractmethod
    async def _put(self, upsert: Upsert | Both, rows: list[dict[str, Any]]) -> None: ...


class SessionRunner(Runner):
    """In a session's transaction, beside what the session itself does."""

    __slots__ = ("_session",)

    def __init__(self, session: AsyncSession, tenant: UUID) -> None:
        super().__init__(tenant)
        self._session = session

    async def _all(self, prepared: Prepared, arguments: Mapping[str, Any]) -> list[Row]:
        await self._session.flush()
        return await self._session.run_sync(_fetch, prepared, arguments)

    async def _put(self, upsert: Upsert | Both, rows: list[dict[str, Any]]) -> None:
        await self._session.flush()
        for part in upsert.parts:
            await self._session.run_sync(_put, part, rows)


# `Session.connection` is the session's own way to its connection, closed to everybody else.
def _fetch(session: Session, prepared: Prepared, arguments: Mapping[str, Any]) -> list[Row]:
    connection = Session.connection(session)
    compiled = prepared.on(connection.dialect)
    result = connection.exec_driver_sql(compiled.sql, tuple(compiled.values(arguments)))
    return [compiled.row(row) for row in result] if result.returns_rows else []


def _put(session: Session, upsert: Upsert, rows: list[dict[str, Any]]) -> None:
    connection = Session.connection(session)
    compiled = upsert.on(connection.dialect)
    connection.exec_driver_sql(compiled.sql, [tuple(compiled.values(row)) for row in rows])


def _fixed(bind: BindParameter[Any], dialect: Dialect) -> Any:
    process = _bound(bind.type, dialect)
    value = bind.effective_value
    return process(value) if process else value


def _bound(kind: TypeEngine[Any], dialect: Dialect) -> _Processor:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _result(kind: TypeEngine[Any], dialect: Dialect) -> _Processor:
    if isinstance(kind, Float):
        return None  # both drivers give a float; the type would ask which number was sent
    process = kind.dialect_impl(dialect).result_processor(dialect, None)
    # The same few ids come in every request, and making one of a text takes as long as a statement.
    return lru_cache(maxsize=1024)(process) if process and isinstance(kind, Uuid) else process
