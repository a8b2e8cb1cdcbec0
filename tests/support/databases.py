"""One template database per test run, made once; each test works on its own copy and commits."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from maestro_ml.core.ids import new_id
from maestro_ml.db.engine import make_engines
from maestro_ml.db.work import Sessions
from maestro_ml.migrations.run import upgrade
from support.world import a_world

POSTGRES = os.environ.get(
    "MAESTRO_TEST_POSTGRES_URL", "postgresql+asyncpg://postgres@127.0.0.1:5432/postgres"
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
    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.template = f"maestro_template_{new_id().hex}"

    async def make_template(self) -> None:
        await self._run(f"CREATE DATABASE {self.template}")
        await _fill(self._named(self.template))

    async def drop_template(self) -> None:
        await self._run(f"DROP DATABASE {self.template} WITH (FORCE)")

    def copy(self) -> AbstractAsyncContextManager[str]:
        return self._made(f"TEMPLATE {self.template}")

    def empty(self) -> AbstractAsyncContextManager[str]:
        """A database without a schema."""
        return self._made("TEMPLATE template0")

    @asynccontextmanager
    async def _made(self, how: str) -> AsyncIterator[str]:
        name = f"maestro_test_{new_id().hex}"
        await self._run(f"CREATE DATABASE {name} {how}")
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


async def _fill(url: str) -> None:
    """The schema and the tiny world."""
    await upgrade(url)
    engines = make_engines(url)
    await a_world(Sessions(engines))
    await engines.dispose()
