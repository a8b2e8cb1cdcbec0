"""`maestro db`: what it says is so, and nothing is taken from under whoever works with it."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import Connection

from maestro_ml.cli.codes import Exit
from maestro_ml.db.engine import make_engines
from maestro_ml.db.installation import claim_mode
from maestro_ml.db.work import Sessions
from maestro_ml.migrations import postgres
from maestro_ml.migrations.errors import DatabaseInUse, DatabaseLocked
from maestro_ml.migrations.presence import present
from maestro_ml.migrations.run import downgrade, on_connection, status, upgrade
from support.databases import PostgresDatabases, SqliteDatabases
from support.live import LiveServer
from support.starts import is_one_sentence, run

Databases = PostgresDatabases | SqliteDatabases


@pytest.fixture
async def empty(databases: Databases) -> AsyncIterator[str]:
    async with databases.empty() as url:
        yield url


async def test_the_state_of_a_newer_schema_is_told_as_it_is(empty: str) -> None:
    await upgrade(empty)

    def age(connection: Connection) -> None:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()

    await on_connection(empty, age)
    done = run("db", "status", MAESTRO_DATABASE__URL=empty)
    assert done.returncode == Exit.SCHEMA
    assert "9999" in done.stdout
    assert "newer version" in done.stderr
    assert "upgrade" not in done.stderr
    shown = run("db", "status", "--json", MAESTRO_DATABASE__URL=empty)
    assert (shown.returncode, '"known": false' in shown.stdout) == (Exit.SCHEMA, True)


async def test_a_change_to_where_it_does_not_lead_is_one_sentence(empty: str) -> None:
    await upgrade(empty, "0002")
    for change, said in (
        (["upgrade", "0001"], "maestro db downgrade 0001"),
        (["downgrade", "0003", "--yes"], "maestro db upgrade 0003"),
        (["upgrade", "nope"], "0001 to 0"),
        (["downgrade", "nope", "--yes"], "0001 to 0"),
    ):
        done = run("db", *change, MAESTRO_DATABASE__URL=empty)
        assert (done.returncode, is_one_sentence(done.stderr)) == (Exit.SCHEMA, True), done
        assert said in done.stderr
    assert (await status(empty)).current == "0002"


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)  # SQLite's folder is locked
async def test_a_running_postgres_server_keeps_its_schema(empty: str, tmp_path: Path) -> None:
    with LiveServer(tmp_path / "data", {"MAESTRO_DATABASE__URL": empty}) as server:
        done = run("db", "downgrade", "base", "--yes", MAESTRO_DATABASE__URL=empty)
        assert (done.returncode, is_one_sentence(done.stderr)) == (Exit.LOCKED, True), done
        assert httpx2.get(f"{server.url}/api/v1/auth/health").status_code == 200
        assert (await status(empty)).up_to_date
    done = run("db", "downgrade", "base", "--yes", MAESTRO_DATABASE__URL=empty)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)  # SQLite's folder is locked
async def test_whoever_is_present_keeps_the_schema_and_the_other_way_round(empty: str) -> None:
    await upgrade(empty)
    async with present(empty), present(empty):
        with pytest.raises(DatabaseInUse):
            await downgrade(empty, "0001")
        assert (await upgrade(empty)).up_to_date
    engines = make_engines(empty)
    async with engines.writing.begin() as connection:
        await connection.run_sync(postgres.keep_others_out)
        with pytest.raises(DatabaseLocked):
            async with present(empty):
                raise AssertionError("came in")
    await engines.dispose()
    assert (await downgrade(empty, "0001")).current == "0001"


async def test_going_back_says_what_goes_before_it_asks(empty: str) -> None:
    await upgrade(empty)
    engines = make_engines(empty)
    await claim_mode(Sessions(engines), dev=False)
    await engines.dispose()
    done = run("db", "downgrade", "0002", MAESTRO_DATABASE__URL=empty)
    assert (done.returncode, is_one_sentence(done.stderr)) == (1, True), done
    assert "installation 1" in done.stderr
    assert "jobs 0" in done.stderr
    assert "--yes" in done.stderr
    assert (await status(empty)).up_to_date
    done = run("db", "downgrade", "0002", "--yes", MAESTRO_DATABASE__URL=empty)
    assert done.returncode == 0, done
    assert "installation 1" in done.stderr
    assert (await status(empty)).current == "0002"
