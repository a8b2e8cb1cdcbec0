"""A database that takes no changes, as a standby that a fail-over left behind."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import bindparam, make_url, select, update
from sqlalchemy.exc import DBAPIError

from maestro_ml.core.clock import utc_now
from maestro_ml.core.errors import Unavailable
from maestro_ml.db.engine import make_engines
from maestro_ml.db.hot import FastWork
from maestro_ml.db.prepared import Prepared
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.jobs import service
from maestro_ml.jobs.models import Job
from support import caller

CHANGE = Prepared(
    update(Job)
    .where(Job.tenant_id == bindparam("tenant_id"))
    .values(message=bindparam("message"))
    .returning(Job.id)
)


# SQLite knows no such thing: these are not asked there at all.
on_postgres = pytest.mark.parametrize("databases", ["postgresql"], indirect=True, scope="session")


@pytest.fixture
async def standby(database: str) -> AsyncIterator[Sessions]:
    url = make_url(database)
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(plain)
    name = f'"{url.database}"'
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    sessions = Sessions(make_engines(database))
    yield sessions
    await sessions.engines.dispose()
    await connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await connection.close()


@on_postgres
async def test_who_wants_to_change_something_is_told_to_try_again(standby: Sessions) -> None:
    """As where the database does not answer: it is no bug, and passes."""
    with pytest.raises(Unavailable):
        async with open_work(standby, caller()) as work:
            await service.enqueue(work, "a.job", {})

    async def change(work: FastWork) -> None:
        await work.prepared.one(CHANGE, message="x")

    with pytest.raises(Unavailable):
        await standby.hot.write(caller(), utc_now(), change)


@on_postgres
async def test_reading_goes_on(standby: Sessions) -> None:
    async with open_work(standby, caller(), read_only=True) as work:
        assert (await work.session.scalars(select(Job))).all() == []


async def test_a_change_where_only_reading_was_meant_stays_a_bug(database: str) -> None:
    """It is ours, so nobody is told to try again."""
    engines = make_engines(database)
    with pytest.raises(DBAPIError):
        async with engines.reading.begin() as connection:
            await connection.execute(update(Job).values(message="x"))
    await engines.dispose()
