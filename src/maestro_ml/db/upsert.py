"""INSERT ... ON CONFLICT for rows of a tenant (`db.prepared.Upsert` is the same, compiled once).

A tenant's session refuses ON CONFLICT, since a conflict with another tenant's row would show, or
take over, that row. Here the tenant goes into the values and into the key, so the only row that
can be met is the tenant's own.

    await upsert(work, ExperimentTag, rows, key=("experiment_id", "key"), change=("value",))
    await insert_or_ignore(work, DatasetInput, rows, key=("run_id", "dataset_id"))

`key` are the columns of a unique rule, without `tenant_id`; every row names the same columns.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from maestro_ml.db.base import Base, TenantOwned
from maestro_ml.db.guard import TenantViolation
from maestro_ml.db.tenants import SYSTEM, TenantSession
from maestro_ml.db.work import SystemWork, Work

_INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


async def insert_or_ignore(
    work: Work | SystemWork,
    model: type[Base],
    rows: Sequence[Mapping[str, Any]],
    *,
    key: Sequence[str],
) -> None:
    """Add rows; one that is there already, by `key`, stays as it is."""
    await upsert(work, model, rows, key=key, change=())


async def upsert(
    work: Work | SystemWork,
    model: type[Base],
    rows: Sequence[Mapping[str, Any]],
    *,
    key: Sequence[str],
    change: Sequence[str],
) -> None:
    """Add rows; one that is there already, by `key`, takes the new values of `change`."""
    if not rows:
        return
    await work.session.flush()
    await work.session.run_sync(_send, model, rows, tuple(key), tuple(change))


def _send(
    session: Session,
    model: type[Base],
    rows: Sequence[Mapping[str, Any]],
    key: tuple[str, ...],
    change: tuple[str, ...],
) -> None:
    assert isinstance(session, TenantSession)
    owned = issubclass(model, TenantOwned)
    if session.tenant is not SYSTEM:
        if not owned:
            raise TenantViolation("a change of a row above tenants")
        if any(row.get("tenant_id", session.tenant) != session.tenant for row in rows):
            raise TenantViolation("a row of another tenant")
        rows = [{**row, "tenant_id": session.tenant} for row in rows]
    if "tenant_id" in change:
        raise TenantViolation("a row never changes its tenant")
    # The session's own way to its connection, which it closes to everybody else.
    connection = Session.connection(session)
    table = inspect(model).local_table
    assert isinstance(table, Table)
    statement = _INSERT[connection.dialect.name](table)
    target = ("tenant_id", *key) if owned else key
    if change:
        new = {name: statement.excluded[name] for name in change}
        statement = statement.on_conflict_do_update(index_elements=target, set_=new)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=target)
    connection.execute(statement, [dict(row) for row in rows])
