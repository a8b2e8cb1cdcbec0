"""The unit of work keeps its promises: atomicity, reads that cannot write, writers that queue."""

import asyncio

import pytest
from sqlalchemy import Executable, delete, event, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from maestro_ml.core.access import Access
from maestro_ml.core.clock import utc_now
from maestro_ml.core.errors import Conflict, Forbidden, NotFound
from maestro_ml.core.ids import new_id
from maestro_ml.db.work import Sessions, Work, open_account_work, open_system_work, open_work
from maestro_ml.jobs.models import Job
from maestro_ml.projects.models import Project
from support import ACME, LAB, caller

WRITES: list[Executable] = [
    update(Job).values(kind="x"),
    delete(Job),
    insert(Job).values(id=new_id(), tenant_id=ACME, kind="x", payload={}, run_at=utc_now()),
]


def a_job(work: Work, **changes: object) -> Job:
    return Job(kind="a.job", payload={}, run_at=work.now, created_at=work.now, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("statement", WRITES, ids=lambda s: type(s).__name__)
async def test_reading_refuses_every_statement_that_writes(
    sessions: Sessions, statement: Executable
) -> None:
    with pytest.raises(DBAPIError, match=r"(?i)read-?only"):
        async with open_work(sessions, caller(), read_only=True) as work:
            await work.session.execute(statement)


async def test_reading_refuses_to_flush(sessions: Sessions) -> None:
    with pytest.raises(DBAPIError, match=r"(?i)read-?only"):
        async with open_work(sessions, caller(), read_only=True) as work:
            work.session.add(a_job(work))


async def test_writing_works_on_a_connection_that_was_reading(sessions: Sessions) -> None:
    async with open_work(sessions, caller(), read_only=True) as work:
        assert (await work.session.scalars(select(Job))).all() == []
    async with open_work(sessions, caller()) as work:
        work.session.add(a_job(work))


async def test_a_writer_takes_its_turn_when_it_begins(sessions: Sessions) -> None:
    if sessions.engines.dialect != "sqlite":
        pytest.skip("only SQLite has one writer")
    begun: list[str] = []
    for engine in (sessions.engines.reading, sessions.engines.writing):

        @event.listens_for(engine.sync_engine, "before_cursor_execute")
        def heard(_: object, __: object, sql: str, *___: object) -> None:
            if sql.startswith("BEGIN"):
                begun.append(sql)

    for read_only in (True, False):
        async with open_work(sessions, caller(), read_only=read_only) as work:
            await work.session.scalars(select(Job))
    assert begun == ["BEGIN", "BEGIN IMMEDIATE"]


async def test_writers_are_served_in_the_order_they_came(sessions: Sessions) -> None:
    if sessions.engines.dialect != "sqlite":
        pytest.skip("only SQLite has one writer")
    served: list[int] = []

    async def write(turn: int) -> None:
        async with open_work(sessions, caller()) as work:
            await work.session.scalars(select(Job))
            served.append(turn)

    async def write_often(turn: int) -> None:
        for _ in range(3):
            await write(turn)

    greedy = asyncio.create_task(write_often(0))
    await asyncio.gather(greedy, *(write(turn) for turn in range(1, 6)))
    assert served == [0, 1, 2, 3, 4, 5, 0, 0]


async def test_a_writer_that_gives_up_waiting_loses_nothing_for_the_others(
    sessions: Sessions,
) -> None:
    async def write() -> int:
        async with open_work(sessions, caller()) as work:
            work.session.add(a_job(work))
            await work.session.flush()
            await asyncio.sleep(0)
        return 1

    tasks = [asyncio.create_task(write()) for _ in range(8)]
    await asyncio.sleep(0)
    for task in tasks[1::2]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(1 for one in done if one == 1) >= 4
    assert await write() == 1


async def test_postgres_knows_the_tenant_of_each_transaction(sessions: Sessions) -> None:
    if sessions.engines.dialect != "postgresql":
        pytest.skip("only PostgreSQL has row-level security")
    told = select(func.current_setting("app.tenant_id", True), func.current_user())
    async with open_work(sessions, caller()) as work:
        assert (await work.session.execute(told)).one() == (str(ACME), "maestro_app")
    async with open_system_work(sessions) as above:
        assert (await above.session.execute(told)).one() == ("", "maestro_system")
    async with sessions.engines.writing.connect() as connection:
        tenant, login = (await connection.execute(told)).one()
    assert not tenant
    assert login not in {"maestro_app", "maestro_system"}


async def test_a_failed_work_leaves_nothing_behind(sessions: Sessions) -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_work(sessions, caller()) as work:
            work.session.add(a_job(work))
            await work.session.flush()
            raise ZeroDivisionError
    async with open_work(sessions, caller()) as work:
        assert (await work.session.scalars(select(Job))).all() == []


async def test_a_broken_unique_rule_is_the_verbs_own_error(sessions: Sessions) -> None:
    with pytest.raises(Conflict, match="taken"):
        async with open_work(sessions, caller()) as work:
            now = work.now
            work.session.add(Project(name="lab", slug="new", created_at=now, updated_at=now))
            await work.flush_or(Conflict("taken"))


async def test_a_reference_to_nothing_is_not_found(sessions: Sessions) -> None:
    with pytest.raises(NotFound):
        async with open_work(sessions, caller()) as work:
            work.session.add(a_job(work, project_id=new_id()))
            await work.flush_or(Conflict("taken"))
    async with open_work(sessions, caller()) as work:
        work.session.add(a_job(work, project_id=LAB))
        await work.flush_or(Conflict("taken"))


async def test_who_is_in_no_tenant_works_in_none(sessions: Sessions) -> None:
    nobody = Access(actor_id=new_id(), tenant_id=None, role=None, platform_admin=True)
    with pytest.raises(Forbidden):
        async with open_work(sessions, nobody):
            raise AssertionError("opened")
    async with open_account_work(sessions, nobody, read_only=True) as work:
        assert (await work.session.scalars(select(Job))).all() == []
