"""What is sent to the database."""

import sqlite3
from contextlib import closing
from typing import Any

import asyncpg
from sqlalchemy import event, make_url

from maestro_ml.db.work import Sessions


class counted:  # noqa: N801 - reads as a verb
    """The statements that are sent meanwhile, without their values."""

    def __init__(self, sessions: Sessions) -> None:
        self.engine = sessions.engines.writing.sync_engine
        self.sent: list[str] = []

    def _note(self, _: Any, __: Any, statement: str, *___: Any) -> None:
        self.sent.append(" ".join(statement.split()))

    def __enter__(self) -> list[str]:
        event.listen(self.engine, "before_cursor_execute", self._note)
        return self.sent

    def __exit__(self, *_: object) -> None:
        event.remove(self.engine, "before_cursor_execute", self._note)


async def plan_of(database: str, statement: str, values: Any) -> str:
    """How the database would go about it."""
    url = make_url(database)
    if url.get_backend_name() == "sqlite":
        assert url.database is not None
        with closing(sqlite3.connect(url.database)) as file:
            steps = file.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
        return "\n".join(step[-1] for step in steps)
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(plain)
    try:
        rows = await connection.fetch(f"EXPLAIN {statement}", *values)
    finally:
        await connection.close()
    return "\n".join(row[0] for row in rows)


async def know_the_rows(database: str) -> None:
    """What PostgreSQL finds out by itself after a while, and plans by; SQLite does not ask."""
    url = make_url(database)
    if url.get_backend_name() == "sqlite":
        return
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(plain)
    try:
        await connection.execute("ANALYZE")
    finally:
        await connection.close()
