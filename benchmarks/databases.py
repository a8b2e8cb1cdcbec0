"""An empty database of each kind, gone afterwards."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
from sqlalchemy import make_url

from benchmarks import report

POSTGRES = os.environ.get(
    "MAESTRO_TEST_POSTGRES_URL", "postgresql+asyncpg://postgres@127.0.0.1:5432/postgres"
)


@dataclass(frozen=True, slots=True)
class Database:
    kind: str
    url: str
    folder: Path


@contextmanager
def database(kind: str) -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="maestro-bench-") as name:
        folder = Path(name)
        if kind == "sqlite":
            yield Database(kind, f"sqlite+aiosqlite:///{folder / 'bench.db'}", folder)
            return
        made = f"maestro_bench_{uuid4().hex}"
        asyncio.run(_run(f"CREATE DATABASE {made} TEMPLATE template0"))
        try:
            url = make_url(POSTGRES).set(database=made)
            yield Database(kind, url.render_as_string(hide_password=False), folder)
        finally:
            asyncio.run(_run(f"DROP DATABASE {made} WITH (FORCE)"))


def kinds() -> list[str]:
    """What can be measured here; what cannot is said."""
    try:
        asyncio.run(_run("SELECT 1"))
    except (OSError, asyncpg.PostgresError, TimeoutError):
        report.missing("PostgreSQL", repr(make_url(POSTGRES)))
        return ["sqlite"]
    return ["sqlite", "postgresql"]


def plain(url: str) -> str:
    """The address as the driver alone takes it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


async def _run(sql: str) -> None:
    connection = await asyncpg.connect(plain(POSTGRES), timeout=5)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
