"""The schema's history, from an empty database up, down and up again, on both databases."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, insert, make_url, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.sql import column, table
from sqlalchemy.types import Boolean, DateTime, String, Uuid

from maestro_ml.core.ids import new_id
from maestro_ml.migrations.drift import drift
from maestro_ml.migrations.errors import (
    DatabaseLocked,
    DatabaseUnreachable,
    MigrationRefused,
    RolesMissing,
    SchemaTooNew,
    SchemaTooOld,
)
from maestro_ml.migrations.run import (
    LOCK,
    downgrade,
    grants_sql,
    on_connection,
    require_head,
    status,
    upgrade,
)
from support.databases import PostgresDatabases, SqliteDatabases
from support.logins import a_login, as_superuser

Databases = PostgresDatabases | SqliteDatabases
THEN = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ANN, BOB, OLD, TRIAL, RUN = (new_id() for _ in range(5))


@pytest.fixture
async def empty(databases: Databases) -> AsyncIterator[str]:
    async with databases.empty() as url:
        yield url


def before(name: str, /, **columns: Any) -> Any:
    return table(name, *(column(key, kind) for key, kind in columns.items()))


MOMENT = DateTime(timezone=True)
COMMON = {"id": Uuid(), "name": String(), "created_at": MOMENT}
TABLES = {
    "users": before(
        "users",
        **COMMON,
        email=String(),
        email_norm=String(),
        password_hash=String(),
        role=String(),
        active=Boolean(),
        updated_at=MOMENT,
    ),
    "projects": before(
        "projects",
        **COMMON,
        slug=String(),
        description=String(),
        visibility=String(),
        status=String(),
        updated_at=MOMENT,
    ),
    "project_members": before(
        "project_members",
        id=Uuid(),
        project_id=Uuid(),
        user_id=Uuid(),
        role=String(),
        created_at=MOMENT,
    ),
    "experiments": before("experiments", **COMMON, project_id=Uuid(), updated_at=MOMENT),
    "runs": before(
        "runs",
        **COMMON,
        project_id=Uuid(),
        experiment_id=Uuid(),
        status=String(),
        start_time=MOMENT,
        end_time=MOMENT,
    ),
}


def a_user(id: UUID, name: str, role: str) -> dict[str, Any]:
    email = f"{name}@old.test"
    return {
        "id": id,
        "name": name,
        "created_at": THEN,
        "email": email,
        "email_norm": email,
        "password_hash": "$2b$12$old",
        "role": role,
        "active": True,
        "updated_at": THEN,
    }


ROWS: dict[str, list[dict[str, Any]]] = {
    "users": [a_user(ANN, "ann", "admin"), a_user(BOB, "bob", "viewer")],
    "projects": [
        {
            "id": OLD,
            "name": "old",
            "created_at": THEN,
            "slug": "old",
            "description": "before",
            "visibility": "private",
            "status": "active",
            "updated_at": THEN,
        }
    ],
    "project_members": [
        {"id": new_id(), "project_id": OLD, "user_id": BOB, "role": "admin", "created_at": THEN}
    ],
    "experiments": [
        {"id": TRIAL, "name": "trial", "created_at": THEN, "project_id": OLD, "updated_at": THEN}
    ],
    "runs": [
        {
            "id": RUN,
            "name": "first",
            "created_at": THEN,
            "project_id": OLD,
            "experiment_id": TRIAL,
            "status": "FINISHED",
            "start_time": THEN,
            "end_time": None,
        }
    ],
}


def fill(connection: Connection) -> None:
    for name, rows in ROWS.items():
        connection.execute(insert(TABLES[name]), rows)
    connection.commit()


def contents(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    def whole(row: dict[str, Any]) -> dict[str, Any]:
        return {
            key: value.replace(tzinfo=UTC)
            if isinstance(value, datetime) and value.tzinfo is None
            else value
            for key, value in row.items()
        }

    return {
        name: [
            whole(dict(row))
            for row in connection.execute(select(shape).order_by(shape.c.id)).mappings()
        ]
        for name, shape in TABLES.items()
    }


async def run(url: str, sql: str, **values: Any) -> list[Any]:
    def send(connection: Connection) -> list[Any]:
        result = connection.execute(text(sql), values)
        rows = list(result) if result.returns_rows else []
        connection.commit()
        return rows

    return await on_connection(url, send)


async def test_up_down_and_up_again(empty: str) -> None:
    assert (await status(empty)).current is None
    assert (await upgrade(empty)).up_to_date
    assert await drift(empty) == []
    assert (await downgrade(empty, "base")).current is None
    assert (await upgrade(empty)).up_to_date
    assert (await upgrade(empty)).up_to_date
    assert await drift(empty) == []
    await require_head(empty)


async def test_rows_from_before_tenancy_go_to_the_default_tenant_and_back(empty: str) -> None:
    await upgrade(empty, "0001")
    await on_connection(empty, fill)
    await upgrade(empty)
    tenants = await run(empty, "SELECT slug, n_users, n_projects FROM tenants")
    assert tenants == [("default", 2, 1)]
    for name in ("projects", "project_members", "experiments", "runs"):
        held = await run(
            empty,
            f"SELECT count(*), count(t.slug) FROM {name} x"
            " LEFT JOIN tenants t ON t.id = x.tenant_id",
        )
        assert held == [(1, 1)], name
    roles = await run(
        empty,
        "SELECT u.name, m.role FROM users u JOIN memberships m ON m.user_id = u.id ORDER BY 1",
    )
    assert roles == [("ann", "admin"), ("bob", "viewer")]
    kinds = await run(empty, "SELECT kind, verified, platform_admin FROM users ORDER BY name")
    assert [tuple(kind) for kind in kinds] == [("person", False, False)] * 2
    await downgrade(empty, "0001")
    assert await on_connection(empty, contents) == ROWS | {
        "users": sorted(ROWS["users"], key=lambda user: user["id"])
    }
    assert (await upgrade(empty)).up_to_date


async def test_going_back_is_refused_while_another_tenant_exists(empty: str) -> None:
    await upgrade(empty, "0001")
    await on_connection(empty, fill)
    await upgrade(empty)
    await run(
        empty,
        "INSERT INTO tenants (id, name, slug, status, created_at, max_users, max_projects,"
        " max_artifacts, max_storage_bytes, max_concurrent_jobs, max_requests_per_minute,"
        " n_users, n_projects) SELECT :id, 'Other', 'other', status, created_at, max_users,"
        " max_projects, max_artifacts, max_storage_bytes, max_concurrent_jobs,"
        " max_requests_per_minute, 0, 0 FROM tenants",
        id=new_id().hex if empty.startswith("sqlite") else new_id(),
    )
    with pytest.raises(MigrationRefused, match="more than the default tenant"):
        await downgrade(empty, "0001")
    assert (await status(empty)).up_to_date
    assert await drift(empty) == []
    assert await run(empty, "SELECT count(*) FROM runs") == [(1,)]


async def test_processes_that_start_at_once_take_turns(empty: str) -> None:
    found = await asyncio.gather(*(upgrade(empty) for _ in range(3)))
    assert all(one.up_to_date for one in found)


DIES = """
import asyncio, os, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from maestro_ml.migrations.run import upgrade

@event.listens_for(Engine, "before_cursor_execute")
def die(connection, cursor, sql, *rest):
    if "CREATE TABLE jobs" in sql:
        os._exit(9)

asyncio.run(upgrade(sys.argv[1]))
"""


async def test_a_change_killed_in_the_middle_has_not_happened(empty: str) -> None:
    await upgrade(empty, "0001")
    await on_connection(empty, fill)
    command = [sys.executable, "-c", DIES, empty]
    killed = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
    assert killed.returncode == 9, killed.stderr.decode()
    assert (await status(empty)).current == "0001"
    assert (await on_connection(empty, contents))["runs"] == ROWS["runs"]
    assert (await upgrade(empty)).up_to_date


async def test_a_newer_schema_is_left_alone(empty: str) -> None:
    await upgrade(empty)
    await run(empty, "UPDATE alembic_version SET version_num = '9999'")
    for refused in (upgrade(empty), downgrade(empty, "0001"), require_head(empty)):
        with pytest.raises(SchemaTooNew, match="start the newer version"):
            await refused


async def test_an_older_schema_does_not_start(empty: str) -> None:
    with pytest.raises(SchemaTooOld, match="maestro db upgrade"):
        await require_head(empty)
    await upgrade(empty, "0002")
    with pytest.raises(SchemaTooOld):
        await require_head(empty)


async def test_a_revision_that_does_not_exist_is_refused(empty: str) -> None:
    with pytest.raises(MigrationRefused):
        await upgrade(empty, "0815")


async def test_a_locked_database_says_so(empty: str) -> None:
    await upgrade(empty, "0001")
    if empty.startswith("sqlite"):
        holder = sqlite3.connect(make_url(empty).database or "", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseLocked):
            await upgrade(empty, wait=0.05)
        holder.close()
    else:
        taken, done = asyncio.Event(), asyncio.Event()

        async def holder_of_the_lock() -> None:
            engine = create_async_engine(empty)
            async with engine.begin() as connection:
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
                taken.set()
                await done.wait()
            await engine.dispose()

        task = asyncio.create_task(holder_of_the_lock())
        await taken.wait()
        with pytest.raises(DatabaseLocked):
            await upgrade(empty, wait=0.05)
        done.set()
        await task
    assert (await upgrade(empty)).up_to_date


async def test_asking_for_the_state_makes_no_file(tmp_path: Path) -> None:
    file = tmp_path / "none.db"
    assert (await status(f"sqlite+aiosqlite:///{file}")).current is None
    assert not file.exists()


async def test_a_database_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "words.db").write_text("This is not a database, whatever its name says. " * 50)
    for url in (
        f"sqlite+aiosqlite:///{tmp_path}/no/such/folder/maestro.db",
        f"sqlite+aiosqlite:///{tmp_path}/words.db",
        "postgresql+asyncpg://nobody:secret@127.0.0.1:1/none",
    ):
        with pytest.raises(DatabaseUnreachable) as told:
            await upgrade(url)
        assert "secret" not in told.value.detail


async def test_databases_of_one_server_are_made_at_the_same_time(databases: Databases) -> None:
    if isinstance(databases, SqliteDatabases):
        pytest.skip("roles are shared by the databases of a PostgreSQL server")
    async with databases.empty() as one, databases.empty() as two, databases.empty() as three:
        found = await asyncio.gather(*(upgrade(url) for url in (one, two, three)))
    assert all(made.up_to_date for made in found)


async def test_a_login_without_the_roles_is_told_what_to_do(databases: Databases) -> None:
    if isinstance(databases, SqliteDatabases):
        pytest.skip("SQLite has no roles")
    async with databases.empty() as url, a_login(url) as (name, own):
        await upgrade(url)
        for refused in (upgrade(own), require_head(own)):
            with pytest.raises(RolesMissing, match="maestro db grants"):
                await refused
        statements = [s for s in grants_sql(name).split(";\n") if s.strip()]
        await as_superuser(url, *statements)
        await require_head(own)


async def test_a_login_that_owns_its_database_migrates_it(databases: Databases) -> None:
    if isinstance(databases, SqliteDatabases):
        pytest.skip("SQLite has no roles")
    async with databases.empty() as url, a_login(url) as (name, own):
        await as_superuser(url, *grants_sql(name).strip().split(";\n"))
        await as_superuser(url, f'ALTER DATABASE "{make_url(url).database}" OWNER TO {name}')
        assert (await upgrade(own)).up_to_date
        assert await run(own, "SELECT count(*) FROM tenants") == [(0,)]  # forced on its owner too
        assert (await downgrade(own, "base")).current is None
