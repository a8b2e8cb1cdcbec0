"""Do the migrations lead to the tables that the models describe? `python -m` it and see."""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, Connection, Table, inspect

from maestro_ml.migrations.run import on_connection, upgrade
from maestro_ml.migrations.schema import whole_schema


async def drift(url: str) -> list[str]:
    """What a database at the newest revision has otherwise than the models say."""
    return await on_connection(url, _differences)


def _differences(connection: Connection) -> list[str]:
    schema = whole_schema()
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    found: list[Any] = compare_metadata(context, schema)
    return [repr(one) for one in found] + [
        f"{table.name}: {what}"
        for table in schema.sorted_tables
        for what in _unseen(connection, table)
    ]


def _unseen(connection: Connection, table: Table) -> list[str]:
    """What alembic does not compare: the order of a primary key, checks, what a deletion does."""
    database = inspect(connection)
    if table.name not in database.get_table_names():
        return []
    found = []
    key = database.get_pk_constraint(table.name)["constrained_columns"]
    if key != [column.name for column in table.primary_key.columns]:
        found.append(f"the primary key is over {key}")
    checks = {check["name"] for check in database.get_check_constraints(table.name)}
    wanted = {str(c.name) for c in table.constraints if isinstance(c, CheckConstraint) and c.name}
    if checks != wanted:
        found.append(f"the checks are {sorted(map(str, checks))}, not {sorted(wanted)}")
    return found


async def _main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{Path(folder) / 'drift.db'}"
        await upgrade(url)
        found = await drift(url)
    for line in found:
        sys.stderr.write(f"{line}\n")
    if found:
        sys.stderr.write("The models and the migrations differ: write a revision.\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
