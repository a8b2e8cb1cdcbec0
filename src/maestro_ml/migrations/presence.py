"""Servers and workers say that they use a PostgreSQL database for as long as they do, so that its
schema is not taken back from under them. SQLite has one server, which holds the data folder."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import structlog
from sqlalchemy import make_url, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from maestro_ml.migrations import postgres
from maestro_ml.migrations.errors import DatabaseLocked
from maestro_ml.migrations.run import engine_for, explained

log = structlog.get_logger()
LOOK_EVERY = 10.0
_AWAY = (DBAPIError, asyncpg.PostgresError, OSError, TimeoutError)


@asynccontextmanager
async def present(url: str) -> AsyncIterator[None]:
    """Inside, nobody takes the schema back. A connection that breaks is made anew.

    Raises:
        DatabaseLocked: the schema is being taken back right now.
        DatabaseUnreachable: the database does not answer.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        yield
        return
    engine = engine_for(parsed, wait=0)
    try:
        held = await _come_in(engine)
    except _AWAY as error:
        raise explained(parsed, error) from error
    keeping = asyncio.create_task(_keep(engine, held))
    try:
        yield
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


async def _come_in(engine: AsyncEngine) -> AsyncConnection:
    connection = await engine.connect()
    try:
        await connection.run_sync(postgres.come_in)
        await connection.commit()
    except BaseException:
        await connection.close()
        raise
    return connection


async def _keep(engine: AsyncEngine, connection: AsyncConnection | None) -> None:
    """The lock goes with its connection, for instance when the database is started anew."""
    try:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                if connection is None:
                    connection = await _come_in(engine)
                else:
                    await connection.scalar(select(1))
                    await connection.commit()
            except (*_AWAY, DatabaseLocked) as failed:
                log.warning("schema.presence_lost", reason=type(failed).__name__)
                await _closed(connection)
                connection = None
    finally:
        await _closed(connection)


async def _closed(connection: AsyncConnection | None) -> None:
    if connection is not None:
        with suppress(*_AWAY):
            await connection.close()
