"""`kill -9` at random moments while many write: nothing acknowledged is lost, nothing is half
there, and what was revoked stays so.

A kill shows what a process leaves behind, and not what a disk does when the power goes: for that,
SQLite writes with `synchronous = FULL`, and PostgreSQL as it comes.
"""

import asyncio
import os
import random
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from maestro_ml.core.settings import Settings
from support.crash import Clients, a_crowd
from support.crash_checks import Truth, check_doors
from support.crash_server import Loaded, QuickServer, QuickWorker
from support.databases import PostgresDatabases, SqliteDatabases
from support.live import LiveServer
from support.proof import record, scale
from support.starts import run

ROUNDS = scale(5, 100)
LONGEST = 1.0  # seconds of writing before a kill
SEED = random.randrange(2**32)
pytestmark = [pytest.mark.rows(77), pytest.mark.timeout(scale(240, 3600))]
Databases = PostgresDatabases | SqliteDatabases


@pytest.fixture
async def env(databases: Databases) -> AsyncIterator[dict[str, str]]:
    async with databases.empty() as url:
        yield {"MAESTRO_DATABASE__URL": url, "MAESTRO_SECRET_KEY": os.urandom(32).hex()}


@pytest.fixture
def loaded() -> Iterator[Loaded]:
    with Loaded() as loaded:
        yield loaded


async def a_round(server: LiveServer, clients: Clients, chance: random.Random) -> None:
    """Everybody writes until the server dies in the middle of it."""
    before = clients.acknowledged
    writing = asyncio.create_task(clients.run())
    while clients.acknowledged == before and not writing.done():  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.01)
    await asyncio.wait([writing], timeout=chance.uniform(0, LONGEST))
    server.kill()
    await writing
    assert clients.acknowledged > before


def check_file(url: str) -> None:
    file = make_url(url).database
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []


async def test_what_was_acknowledged_outlives_every_kill(
    env: dict[str, str], loaded: Loaded, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    url, data = env["MAESTRO_DATABASE__URL"], tmp_path / "data"
    embedded = url.startswith("sqlite")
    server, worker = (
        kind(tmp_path / name, env, loaded=loaded)
        for kind, name in ((QuickServer, "data"), (QuickWorker, "worker"))
    )
    truth = Truth(url)
    server.start()
    cast, ledger, project = a_crowd(server)
    clients = Clients(cast, ledger, project)
    for _ in range(ROUNDS):
        if not embedded:
            worker.start()
        await a_round(server, clients, chance)
        if not embedded and chance.random() < 0.5:
            worker.kill()
        server.start()
        await truth.check(ledger)
        await check_doors(ledger, server.url)
        if embedded:
            check_file(url)
    server.kill()
    if not embedded:
        worker.kill()
    assert "Traceback" not in server.logged.read_text()
    settings = Settings(data=data, secret_key=SecretStr(env["MAESTRO_SECRET_KEY"]))
    jobs = await truth.check_jobs_ended(settings)
    await truth.check(ledger)
    await truth.engines.dispose()
    done = run("audit", "verify", "--data", str(data), **env)
    assert done.returncode == 0, done.stderr
    assert "; 0 are not sealed yet" in done.stdout
    record("crash: kills", ROUNDS)
    record("crash: changes acknowledged, none of them lost", clients.acknowledged)
    record("crash: jobs, each ended once", jobs)
