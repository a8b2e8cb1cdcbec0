"""A PostgreSQL login as an operator makes one: no superuser, member of both roles, NOINHERIT."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from maestro_ml.core.ids import new_id


async def as_superuser(url: str, *statements: str) -> None:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


@asynccontextmanager
async def a_login(url: str) -> AsyncIterator[tuple[str, str]]:
    """The name of a new login that has no rights yet, and the database's address with it."""
    name, password = f"maestro_login_{new_id().hex}", new_id().hex
    await as_superuser(url, f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    try:
        own = make_url(url).set(username=name, password=password)
        yield name, own.render_as_string(hide_password=False)
    finally:
        await as_superuser(
            url,
            f"REASSIGN OWNED BY {name} TO CURRENT_USER",
            f"DROP OWNED BY {name}",
            f"DROP ROLE {name}",
        )
