"""A real server for each database, and everybody in it, made once per run through the API."""

from collections.abc import AsyncIterator, Iterator

import pytest

from maestro_ml.db.engine import make_engines
from maestro_ml.db.work import Sessions
from support.databases import REDIS, PostgresDatabases, SqliteDatabases
from support.live import METRICS_TOKEN, Cast, LiveServer, a_cast


@pytest.fixture(scope="session")
async def live(
    databases: PostgresDatabases | SqliteDatabases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveServer]:
    """`maestro serve` on an empty database of its own, with Redis."""
    data = tmp_path_factory.mktemp("live") / "data"
    async with databases.empty() as url:
        env = {
            "MAESTRO_DATABASE__URL": url,
            "MAESTRO_REDIS__URL": REDIS,
            "MAESTRO_SERVER__METRICS_TOKEN": METRICS_TOKEN,
        }
        with LiveServer(data, env) as server:
            yield server


@pytest.fixture(scope="session")
async def truth(live: LiveServer) -> AsyncIterator[Sessions]:
    """The server's own database."""
    engines = make_engines(live.database)
    yield Sessions(engines)
    await engines.dispose()


@pytest.fixture(scope="session")
def cast(live: LiveServer) -> Cast:
    return a_cast(live)


@pytest.fixture(autouse=True)
def _nothing_broke(live: LiveServer) -> Iterator[None]:
    """No test may leave a trace of a bug in the server's log."""
    before = live.logged.stat().st_size
    yield
    with live.logged.open() as log:
        log.seek(before)
        assert "Traceback" not in log.read()
