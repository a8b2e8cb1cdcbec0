"""All that a database holds, whoever's it is: read past the tenants' walls, as its owner."""

import asyncio
import sqlite3
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import make_url

from support.databases import POSTGRES

# What the server keeps count of by itself, at any time.
BY_ITSELF = {
    *("audit_events", "audit_seals", "jobs", "schedules", "sessions", "outbox"),
    *("rate_counters", "oidc_flows", "device_logins", "mfa_challenges", "account_tokens"),
}


@dataclass(frozen=True)
class Table:
    columns: list[str]
    rows: list[tuple[Any, ...]]

    def owner(self, name: str, row: tuple[Any, ...]) -> str | None:
        """The tenant that a row is of, as SQLite writes ids; none above tenants."""
        column = "id" if name == "tenants" else "tenant_id"
        if column not in self.columns:
            return None
        return str(row[self.columns.index(column)]).replace("-", "")


def tables(url: str) -> dict[str, Table]:
    """Every table by its name; none, if the database is no longer there."""
    at = make_url(url)
    if at.get_backend_name() == "sqlite":
        return _sqlite(Path(str(at.database)))
    owner = make_url(POSTGRES)
    at = at.set(drivername="postgresql", username=owner.username, password=owner.password)
    with ThreadPoolExecutor(1) as beside_any_loop:
        address = at.render_as_string(hide_password=False)
        return beside_any_loop.submit(lambda: asyncio.run(_postgres(address))).result()


def _sqlite(file: Path) -> dict[str, Table]:
    if not file.exists():
        return {}
    with closing(sqlite3.connect(file, timeout=30)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        found: dict[str, Table] = {}
        for (name,) in names:
            cursor = connection.execute(f'SELECT * FROM "{name}"')
            columns = [column[0] for column in cursor.description]
            found[name] = Table(columns, cursor.fetchall())
        return found


async def _postgres(address: str) -> dict[str, Table]:
    try:
        connection = await asyncpg.connect(address)
    except (OSError, asyncpg.InvalidCatalogNameError, asyncpg.CannotConnectNowError):
        return {}
    try:
        query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        names = await connection.fetch(query)
        found: dict[str, Table] = {}
        for (name,) in names:
            every = await connection.prepare(f'SELECT * FROM "{name}"')
            columns = [attribute.name for attribute in every.get_attributes()]
            found[name] = Table(columns, [tuple(row) for row in await every.fetch()])
        return found
    finally:
        await connection.close()


def kept(url: str, *tenants: UUID) -> Mapping[str, frozenset[str]]:
    """The rows that only a caller's deed changes: of these tenants, and what lies above tenants."""
    ids = {tenant.hex for tenant in tenants}
    return {
        name: frozenset(repr(row) for row in table.rows if table.owner(name, row) in {None, *ids})
        for name, table in tables(url).items()
        if name not in BY_ITSELF
    }


def beside(url: str) -> list[Path]:
    """The files of an SQLite database."""
    at = make_url(url)
    if at.get_backend_name() != "sqlite":
        return []
    file = Path(str(at.database))
    return [file.with_name(file.name + end) for end in ("", "-wal", "-shm")]
