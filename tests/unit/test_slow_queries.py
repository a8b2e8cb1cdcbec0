"""One who asks for much waits for themselves: a limit on each read, and half of the readers."""

import asyncio

import pytest
from sqlalchemy import select
from sqlalchemy.orm import aliased

from maestro_ml.core.ids import new_id
from maestro_ml.db.engine import make_engines
from maestro_ml.db.faults import QueryTooSlow
from maestro_ml.db.work import Sessions, open_system_work, open_work
from maestro_ml.identity.models import User
from maestro_ml.jobs.models import Job
from support import OTHER, caller


async def _all_with_all(sessions: Sessions) -> int:
    """Every job beside every other, four deep: far more rows than anybody waits for."""
    a, b, c, d = (aliased(Job) for _ in range(4))
    async with open_work(sessions, caller(), read_only=True) as work:
        none = select(a.id, b.id, c.id, d.id).where(
            a.kind >= b.kind, b.kind >= c.kind, c.kind >= d.kind, d.kind + a.kind == ""
        )
        found = await work.session.scalars(none)
        return len(found.all())


@pytest.fixture
async def impatient(database: str, sessions: Sessions) -> Sessions:
    """Of the same database, with little time for each statement."""
    async with open_work(sessions, caller()) as work:
        now = work.now
        for _ in range(100):
            work.session.add(Job(kind="x", payload={}, run_at=now, created_at=now))
    return Sessions(make_engines(database, read_limit=0.2, pool_size=4))


async def test_what_takes_too_long_to_find_is_told_so(impatient: Sessions) -> None:
    try:
        with pytest.raises(QueryTooSlow, match="Narrow it"):
            await _all_with_all(impatient)
        async with open_work(impatient, caller(), read_only=True) as work:
            assert len((await work.session.scalars(select(Job.id))).all()) == 100
        async with open_system_work(impatient, read_only=True) as system:
            assert len((await system.session.scalars(select(User.id))).all()) > 0
    finally:
        await impatient.engines.dispose()


async def test_a_tenant_that_asks_for_much_leaves_readers_to_others(impatient: Sessions) -> None:
    inside, most = 0, 0
    release = asyncio.Event()

    async def read() -> None:
        nonlocal inside, most
        async with open_work(impatient, caller(), read_only=True) as work:
            inside += 1
            most = max(most, inside)
            await work.session.get(Job, new_id())
            await release.wait()
            inside -= 1

    many = [asyncio.create_task(read()) for _ in range(10)]
    try:
        async with open_work(impatient, caller(tenant=OTHER), read_only=True) as work:
            await work.session.scalars(select(Job.id))
        release.set()
        await asyncio.gather(*many)
        assert most == 2
    finally:
        await impatient.engines.dispose()
