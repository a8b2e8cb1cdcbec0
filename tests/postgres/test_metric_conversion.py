"""Points of metrics from before there were chunks, and the way back."""

import math
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, select
from sqlalchemy.sql import column, table
from sqlalchemy.types import BigInteger, Boolean, DateTime, Double, String, Uuid

from maestro_ml.db.engine import make_engines
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.migrations import postgres
from maestro_ml.migrations.drift import drift
from maestro_ml.migrations.run import downgrade, on_connection, upgrade
from maestro_ml.tracking.schemas import Batch
from maestro_ml.tracking.service import logs, runs
from support.databases import PostgresDatabases, SqliteDatabases
from support.tracking import a_point, a_run, history
from support.world import ACME, caller

KINDS: dict[str, Any] = {
    **{"tenant_id": Uuid(), "run_id": Uuid(), "key": String(), "step": BigInteger()},
    **{"at": DateTime(timezone=True), "value": Double(), "is_nan": Boolean()},
    "created_at": DateTime(timezone=True),
}
OLD = table("metric_points", *(column(name, kind) for name, kind in KINDS.items()))
THEN = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def rows(run: UUID) -> list[dict[str, Any]]:
    """What a run of before was told: a long metric, and one with every odd value."""
    of = {"tenant_id": ACME, "run_id": run, "created_at": THEN, "is_nan": False}
    long = [
        of | {"key": "loss", "step": n, "at": THEN.replace(microsecond=n), "value": n / 7}
        for n in range(1500)
    ]
    odd = [
        of | {"key": "odd", "step": step, "at": THEN, "value": value, "is_nan": nan}
        for step, value, nan in (
            (2**63 - 1, 1.5, False),
            (-(2**63), math.inf, False),
            (0, -math.inf, False),
            (0, 0.0, True),
        )
    ]
    return long + odd


async def test_points_of_before_are_kept_both_ways(
    databases: PostgresDatabases | SqliteDatabases,
) -> None:
    async with databases.copy() as url:
        engines = make_engines(url)
        async with open_work(Sessions(engines), caller()) as work:
            run = await a_run(work)
            empty = await a_run(work, (await runs.get(work, run)).run.experiment_id)
        await engines.dispose()
        await downgrade(url, "0013")

        def fill(connection: Connection) -> None:
            with postgres.seeing_all(connection):
                connection.execute(insert(OLD), rows(run))
            connection.commit()

        await on_connection(url, fill)
        assert (await upgrade(url)).up_to_date
        assert await drift(url) == []
        engines = make_engines(url)
        async with open_work(Sessions(engines), caller()) as work:
            found = {p.key: p.value for p in (await runs.get(work, run)).metrics}
            assert found == {"loss": 1499 / 7, "odd": 1.5}
            assert (await runs.get(work, empty)).metrics == []
            loss, _ = await history(work, run)
            assert [value for _, _, value in loss] == [n / 7 for n in range(1500)]
            odd, _ = await history(work, run, "odd")
            assert [str(value) for _, _, value in odd] == ["inf", "-inf", "nan", "1.5"]
            again = [a_point(n / 2, 2000 + n, seconds=n, key="loss") for n in range(700)]
            await logs.log_batch(work, run, Batch(metrics=again))
            loss, _ = await history(work, run)
            assert len(loss) == 2200
        await engines.dispose()
        await downgrade(url, "0013")

        def read(connection: Connection) -> list[Any]:
            with postgres.seeing_all(connection):
                return list(connection.execute(select(OLD.c.key, OLD.c.value, OLD.c.is_nan)))

        kept = await on_connection(url, read)
        assert len(kept) == 2204
        assert {(r.key, r.value, bool(r.is_nan)) for r in kept} >= {
            (r["key"], r["value"], r["is_nan"]) for r in rows(run)
        }
        assert (await upgrade(url)).up_to_date
