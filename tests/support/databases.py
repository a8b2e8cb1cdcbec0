"""One template database per test run, made once; each test works on its own copy and commits."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from maestro_ml.core.ids import new_id
from maestro_ml.db.engine import make_engines
from maestro_ml.db.work import Sessions
from maestro_ml.migrations.run import upgrade
from support.world import a_world

POSTGRES = os.environ.get(
    "MAESTRO_TEST_POSTGRES_URL", "postgresql+asyncpg://postgres@127.0.0.1:5432/postgres"
)
_NO_ROWS = 21  # bytes of COPY's binary head and tail
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
_ALONE = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""
# Each thing in the schema, and the transaction that made or changed it.
_SCHEMA = "SELECT " + " || ".join(
    f"(SELECT md5(coalesce(string_agg({key} || ':' || xmin, ',' ORDER BY {key}), '')) FROM {table})"
    for table, key in {
        "pg_class": "oid::text",
        "pg_attribute": "attrelid || '.' || attnum",
        "pg_attrdef": "oid::text",
        "pg_constraint": "oid::text",
        "pg_trigger": "oid::text",
        "pg_policy": "oid::text",
        "pg_proc": "oid::text",
        "pg_namespace": "oid::text",
    }.items()
)
REDIS = os.environ.get("MAESTRO_TEST_REDIS_URL", "redis://127.0.0.1:6379/15")


class SqliteDatabases:
    def __init__(self, folder: Path) -> None:
        self.template = folder / "template.db"

    async def make_template(self) -> None:
        await _fill(self._url(self.template))

    async def drop_template(self) -> None:
        self.template.unlink()

    @asynccontextmanager
    async def copy(self) -> AsyncIterator[str]:
        file = self.template.with_name(f"{new_id().hex}.db")
        shutil.copy(self.template, file)
        yield self._url(file)

    @asynccontextmanager
    async def empty(self) -> AsyncIterator[str]:
        """A database without a schema."""
        yield self._url(self.template.with_name(f"{new_id().hex}.db"))

    def _url(self, file: Path) -> str:
        return f"sqlite+aiosqlite:///{file}"


class PostgresDatabases:
    """Making and dropping a database takes longer than most tests: one that a test is done with is
    filled anew for the next, unless its schema was changed."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.template = f"maestro_template_{new_id().hex}"
        self._free: list[_PostgresDatabase] = []

    async def make_template(self) -> None:
        await self._run(f"CREATE DATABASE {self.template}")
        await _fill(self._named(self.template))

    async def drop_template(self) -> None:
        for database in self._free:
            await self._run(f"DROP DATABASE {database.name} WITH (FORCE)")
        await self._run(f"DROP DATABASE {self.template} WITH (FORCE)")

    @asynccontextmanager
    async def copy(self) -> AsyncIterator[str]:
        database = self._free.pop() if self._free else await self._another()
        try:
            yield self._named(database.name)
        finally:
            if await database.filled_anew():
                self._free.append(database)
            else:
                await self._run(f"DROP DATABASE {database.name} WITH (FORCE)")

    async def _another(self) -> "_PostgresDatabase":
        name = f"maestro_test_{new_id().hex}"
        await self._run(f"CREATE DATABASE {name} TEMPLATE {self.template}")
        return await _PostgresDatabase.made(name, self.url.set(database=name))

    @asynccontextmanager
    async def empty(self) -> AsyncIterator[str]:
        """A database without a schema."""
        name = f"maestro_test_{new_id().hex}"
        await self._run(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            yield self._named(name)
        finally:
            await self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def _named(self, database: str) -> str:
        return self.url.set(database=database).render_as_string(hide_password=False)

    async def _run(self, sql: str) -> None:
        engine = create_async_engine(self.url, isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            await connection.execute(text(sql))
        await engine.dispose()


@dataclass
class _PostgresDatabase:
    name: str
    url: URL
    rows: dict[str, bytes]  # of each table, as the template has them
    schema: str

    @classmethod
    async def made(cls, name: str, url: URL) -> "_PostgresDatabase":
        async with _connected(url) as connection:
            tables = [row["tablename"] for row in await connection.fetch(_TABLES)]
            rows = {}
            for table in tables:
                kept = BytesIO()
                await connection.copy_from_table(table, output=kept, format="binary")
                rows[table] = kept.getvalue()
            return cls(name, url, rows, await connection.fetchval(_SCHEMA))

    async def filled_anew(self) -> bool:
        """False: a test has changed more than rows."""
        async with _connected(self.url) as connection:
            await connection.execute(_ALONE)
            if await connection.fetchval(_SCHEMA) != self.schema:
                return False
            async with connection.transaction():
                await connection.execute("SET LOCAL session_replication_role = replica")
                await connection.execute("".join(f'DELETE FROM "{t}";' for t in self.rows))
                for table, rows in self.rows.items():
                    if len(rows) > _NO_ROWS:
                        await connection.copy_to_table(table, source=BytesIO(rows), format="binary")
        return True


@asynccontextmanager
async def _connected(url: URL) -> AsyncIterator[Any]:
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(plain)
    try:
        yield connection
    finally:
        await connection.close()


async def _fill(url: str) -> None:
    """The schema and the tiny world."""
    await upgrade(url)
    engines = make_engines(url)
    await a_world(Sessions(engines))
    await engines.dispose()
