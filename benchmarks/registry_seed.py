"""Registered models with versions, tags and aliases, written straight into a migrated database:
the same ones for Maestro and for MLflow's own server, which would take hours to be told them."""

import asyncio
import random
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import insert, select

from benchmarks import stock
from benchmarks.databases import Database, plain
from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.ids import new_id
from maestro_ml.db.engine import make_engines
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.registry.models import (
    ModelAlias,
    ModelVersion,
    ModelVersionTag,
    RegisteredModel,
    RegisteredModelTag,
    Stage,
)

ALIAS = "champion"
CONTENDED = "contended"  # has as many versions as there are movers
TEAMS, QUALITIES = 50, 1_000  # values of the tags `team` of models and `quality` of versions
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
PART = 500  # models


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    n: int
    at: datetime
    runs: Sequence[UUID]  # of its versions, from the first

    @property
    def team(self) -> str:
        return f"t{self.n % TEAMS}"

    def quality(self, number: int) -> str:
        return f"q{(self.n * len(self.runs) + number) % QUALITIES}"

    def source(self, number: int) -> str:
        return f"s3://models/{self.name}/{number}"


def models(many: int, versions: int, movers: int) -> Iterator[Model]:
    dice = random.Random(many)

    def runs(n: int) -> list[UUID]:
        return [UUID(int=dice.getrandbits(128)) for _ in range(n)]

    for n in range(many):
        at = BEGAN + timedelta(milliseconds=dice.randrange(10**10))
        yield Model(f"model-{n:05}", n, at, runs(versions))
    yield Model(CONTENDED, many, BEGAN, runs(movers))


async def seed(url: str, tenant: UUID, project: UUID, all_: Iterator[Model]) -> None:
    engines = make_engines(url)
    sessions = Sessions(engines)
    while part := list(islice(all_, PART)):
        rows = [row for model in part for row in _rows(tenant, project, model)]
        async with sessions.begin(tenant) as session:
            for kind in (
                RegisteredModel,
                RegisteredModelTag,
                ModelVersion,
                ModelVersionTag,
                ModelAlias,
            ):
                mine = [row for one, row in rows if one is kind]
                await session.execute(insert(kind), mine)
    if engines.dialect == "postgresql":  # as it does by itself a minute later
        remote = await asyncpg.connect(plain(url))
        await remote.execute("ANALYZE")
        await remote.close()
    await engines.dispose()


def _rows(tenant: UUID, project: UUID, model: Model) -> Iterator[tuple[Any, dict[str, Any]]]:
    id, owned = new_id(), {"tenant_id": tenant, "created_at": model.at}
    shared = {"project_id": project, "description": None, "created_by": None}
    yield (
        RegisteredModel,
        {
            **{"id": id, "name": model.name, "updated_at": model.at, **shared, **owned},
            "last_number": len(model.runs),
        },
    )
    yield RegisteredModelTag, {"model_id": id, "key": "team", "value": model.team, **owned}
    for number, run in enumerate(model.runs, 1):
        version, at = new_id(), model.at + timedelta(seconds=number)
        yield (
            ModelVersion,
            {
                **{"id": version, "model_id": id, "number": number, "run_id": run},
                **{"source": model.source(number), "stage": Stage.NONE, "updated_at": at},
                **{"logged_model_id": None, "run_link": None, "fingerprint": None, "n_files": 0},
                **shared,
                **owned,
            },
        )
        tag = {"version_id": version, "key": "quality", "value": model.quality(number)}
        yield ModelVersionTag, tag | owned
    yield ModelAlias, {"model_id": id, "alias": ALIAS, "version_id": version, **owned}


async def moves(url: str) -> list[dict[str, Any]]:
    """What the audit log says of moved aliases, in the order in which it happened."""
    engines = make_engines(url)
    query = select(AuditEvent.facts).where(AuditEvent.action == "model_alias.set")
    async with Sessions(engines).begin(SYSTEM) as session:
        found = list(await session.scalars(query.order_by(AuditEvent.id)))
    await engines.dispose()
    return found


_COLUMNS = {
    "registered_models": ("name", "creation_time", "last_updated_time"),
    "registered_model_tags": ("name", "key", "value"),
    "model_versions": (
        *("name", "version", "creation_time", "last_updated_time", "current_stage"),
        *("source", "storage_location", "run_id", "status"),
    ),
    "model_version_tags": ("name", "version", "key", "value"),
    "registered_model_aliases": ("name", "alias", "version"),
}


def seed_stock(database: Database, all_: Iterator[Model]) -> None:
    rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in _COLUMNS}
    for model in all_:
        for table, row in _stock_rows(model):
            rows[table].append(("default", *row))
    if database.kind == "sqlite":
        with sqlite3.connect(stock.file(database), timeout=30) as connection:
            for table, columns in _COLUMNS.items():
                marks = ", ".join("?" * (len(columns) + 1))
                names = ", ".join(("workspace", *columns))
                adding = f"INSERT INTO {table} ({names}) VALUES ({marks})"
                connection.executemany(adding, rows[table])
        return
    asyncio.run(_copy(database, rows))


async def _copy(database: Database, rows: dict[str, list[tuple[Any, ...]]]) -> None:
    remote = await asyncpg.connect(plain(database.url))
    for table, columns in _COLUMNS.items():
        names = ["workspace", *columns]
        await remote.copy_records_to_table(table, records=rows[table], columns=names)
    await remote.execute("ANALYZE")
    await remote.close()


def _stock_rows(model: Model) -> Iterator[tuple[str, tuple[Any, ...]]]:
    at = int(model.at.timestamp() * 1000)
    yield "registered_models", (model.name, at, at)
    yield "registered_model_tags", (model.name, "team", model.team)
    for number, run in enumerate(model.runs, 1):
        source = model.source(number)
        known = (model.name, number, at, at + number * 1000, "None", source, source, run.hex)
        yield "model_versions", (*known, "READY")
        yield "model_version_tags", (model.name, number, "quality", model.quality(number))
    yield "registered_model_aliases", (model.name, ALIAS, len(model.runs))
