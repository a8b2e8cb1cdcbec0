"""Fixtures shared by every suite. Short names, one level deep."""

import asyncio
import os
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import make_url

from maestro_ml.db.engine import make_engines
from maestro_ml.db.work import Sessions, Work, open_work
from support import caller
from support.databases import POSTGRES, PostgresDatabases, SqliteDatabases

Databases = PostgresDatabases | SqliteDatabases


def _postgres_answers() -> bool:
    url = make_url(POSTGRES).set(drivername="postgresql")

    async def ask() -> None:
        connection = await asyncpg.connect(url.render_as_string(hide_password=False), timeout=5)
        await connection.close()

    try:
        asyncio.run(ask())
    except (OSError, asyncpg.PostgresError, TimeoutError):
        return False
    return True


_HAVE_POSTGRES = _postgres_answers()


def _need_postgres() -> None:
    if not _HAVE_POSTGRES:
        reason = f"no PostgreSQL answers at {make_url(POSTGRES)!r}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
async def databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Databases]:
    """The template, made once for each database."""
    if request.param == "postgresql":
        _need_postgres()
        made: Databases = PostgresDatabases(POSTGRES)
    else:
        made = SqliteDatabases(tmp_path_factory.mktemp("databases"))
    await made.make_template()
    yield made
    await made.drop_template()


@pytest.fixture
async def database(databases: Databases) -> AsyncIterator[str]:
    """The address of this test's own database. Commits are real, so second connections see them."""
    async with databases.copy() as url:
        yield url


@pytest.fixture
async def sessions(database: str) -> AsyncIterator[Sessions]:
    engines = make_engines(database)
    yield Sessions(engines)
    await engines.dispose()


@pytest.fixture
async def work(sessions: Sessions) -> AsyncIterator[Work]:
    async with open_work(sessions, caller()) as work:
        yield work
