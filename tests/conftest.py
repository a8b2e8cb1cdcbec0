"""Fixtures shared by every suite. Short names, one level deep."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url
from xdist.remote import Producer

from maestro_ml.db.engine import make_engines
from maestro_ml.db.work import Sessions, Work, open_work
from support import caller
from support.absent import absent
from support.databases import POSTGRES, PostgresDatabases, SqliteDatabases
from support.live import LiveServer
from support.sharing import ByFileAndDatabase, in_order

Databases = PostgresDatabases | SqliteDatabases
PROOF = {"security", "reliability"}  # folders


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
        absent(f"no PostgreSQL answers at {make_url(POSTGRES)!r}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFileAndDatabase:
    return ByFileAndDatabase(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """What holds against an attack is part of the proof, and says so in the report. Said before
    tests are chosen by it; put in order after that, and after pytest's own order."""
    for item in items:
        rows = [row for mark in item.iter_markers("rows") for row in mark.args]
        if rows or PROOF & set(item.path.parts):
            item.add_marker("proof")
        item.user_properties += [("row", row) for row in rows]
    yield
    in_order(items)


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
async def server(databases: Databases, tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A server that nobody else uses, on an empty database."""
    async with databases.empty() as url:
        with LiveServer(tmp_path / "data", {"MAESTRO_DATABASE__URL": url}) as server:
            yield server


@pytest.fixture
async def sessions(database: str) -> AsyncIterator[Sessions]:
    engines = make_engines(database)
    yield Sessions(engines)
    await engines.dispose()


@pytest.fixture
async def work(sessions: Sessions) -> AsyncIterator[Work]:
    async with open_work(sessions, caller()) as work:
        yield work
