"""SQLite's driver, in one step for each statement."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select, update
from sqlalchemy.exc import IntegrityError

from maestro_ml.db.engine import Engines, make_engines

NUMBERS = Table(
    "numbers", MetaData(), Column("id", Integer, primary_key=True), Column("n", Integer)
)


@pytest.fixture
async def engines(tmp_path: Path) -> AsyncIterator[Engines]:
    engines = make_engines(f"sqlite+aiosqlite:///{tmp_path / 'steps.db'}")
    async with engines.writing.begin() as connection:
        await connection.run_sync(NUMBERS.metadata.create_all)
        await connection.execute(insert(NUMBERS), [{"id": id, "n": 1} for id in range(5)])
    yield engines
    await engines.dispose()


async def test_a_transaction_is_a_step_for_each_statement_and_two_around_them(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[object] = []
    real = aiosqlite.Connection._execute

    async def noted(self: aiosqlite.Connection, run: Any, *words: Any, **more: Any) -> Any:
        steps.append(run)
        return await real(self, run, *words, **more)  # type: ignore[no-untyped-call]

    async with engines.writing.begin() as connection:  # which is open from now on
        await connection.execute(select(NUMBERS))
    monkeypatch.setattr(aiosqlite.Connection, "_execute", noted)
    async with engines.writing.begin() as connection:
        await connection.execute(update(NUMBERS).values(n=2))
        assert len((await connection.execute(select(NUMBERS))).all()) == 5
    assert len(steps) == 4  # BEGIN and COMMIT are the two


async def test_what_changed_is_counted_and_given_back(engines: Engines) -> None:
    async with engines.writing.begin() as connection:
        done = await connection.execute(update(NUMBERS).where(NUMBERS.c.id > 2).values(n=7))
        assert done.rowcount == 2
        changed = update(NUMBERS).where(NUMBERS.c.n == 7).values(n=8).returning(NUMBERS.c.id)
        assert sorted((await connection.scalars(changed)).all()) == [3, 4]
        assert (await connection.scalars(changed)).all() == []


async def test_a_refused_statement_leaves_the_connection_as_it_was(engines: Engines) -> None:
    async with engines.writing.begin() as connection:
        with pytest.raises(IntegrityError):
            await connection.execute(insert(NUMBERS).values(id=1, n=1))
        await connection.execute(insert(NUMBERS).values(id=9, n=1))
    async with engines.reading.connect() as connection:
        assert len((await connection.execute(select(NUMBERS))).all()) == 6


async def test_what_was_not_committed_is_gone_when_the_connection_comes_back(
    engines: Engines,
) -> None:
    async with engines.writing.connect() as connection:
        await connection.execute(update(NUMBERS).values(n=2))
        await connection.commit()
        await connection.execute(update(NUMBERS).values(n=3))
    async with engines.reading.connect() as connection:
        assert set(await connection.scalars(select(NUMBERS.c.n))) == {2}
