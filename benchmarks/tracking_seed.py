"""Runs with params, tags and metrics, written straight into a migrated database."""

import random
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update

from maestro_ml.core.clock import utc_now
from maestro_ml.core.ids import new_id
from maestro_ml.db.engine import make_engines
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import ApiKey
from maestro_ml.projects.models import Project, Visibility
from maestro_ml.tracking.models import Experiment, LatestMetric, Param, Run, RunStatus, RunTag

METRICS = ("acc", "loss", "f1")
MODELS = 10  # values of the param `model`
PART = 5_000


async def choose_project(url: str) -> tuple[UUID, UUID]:
    """Gives the key its default project, which has its default experiment; tells tenant and
    project."""
    engines = make_engines(url)
    async with Sessions(engines).begin(SYSTEM) as session:
        seen = select(Project).where(Project.visibility == Visibility.INTERNAL)
        project = (await session.scalars(seen.order_by(Project.id).limit(1))).one()
        await session.execute(update(ApiKey).values(default_project_id=project.id))
        found = (project.tenant_id, project.id)
    await engines.dispose()
    return found


async def seed_runs(url: str, tenant: UUID, project: UUID, name: str, runs: int) -> str:
    """An experiment of that many runs; tells its id."""
    engines = make_engines(url)
    sessions = Sessions(engines)
    experiment, now = new_id(), utc_now()
    async with sessions.begin(tenant) as session:
        row = Experiment(
            id=experiment, project_id=project, name=name, created_at=now, updated_at=now
        )
        session.add(row)
    dice = random.Random(runs)
    numbers = iter(range(runs))
    while part := list(islice(numbers, PART)):
        rows = [row for n in part for row in _parts(tenant, project, experiment, n, dice)]
        async with sessions.begin(tenant) as session:
            for model in (Run, Param, RunTag, LatestMetric):
                mine = [row for kind, row in rows if kind is model]
                await session.execute(insert(model), mine)
    await engines.dispose()
    return experiment.hex


def _parts(
    tenant: UUID, project: UUID, experiment: UUID, n: int, dice: random.Random
) -> Iterator[tuple[Any, dict[str, Any]]]:
    at = utc_now().replace(microsecond=0) - timedelta(seconds=dice.randrange(10_000_000))
    run = new_id()
    own: dict[str, Any] = {"tenant_id": tenant, "created_at": at}
    yield (
        Run,
        own
        | {
            "id": run,
            "project_id": project,
            "experiment_id": experiment,
            "name": f"run-{n}",
            "status": RunStatus.FINISHED,
            "start_time": at,
            "end_time": at,
            "user_name": "ada",
            "created_by": None,
            "deleted_at": None,
        },
    )
    own["run_id"] = run
    values = {
        "model": f"m{dice.randrange(MODELS)}",
        "lr": f"{dice.random():.4f}",
        "depth": str(n % 7),
    }
    for key, value in values.items():
        yield Param, own | {"key": key, "value": value}
    yield RunTag, own | {"key": "mlflow.runName", "value": f"run-{n}"}
    yield RunTag, own | {"key": "mlflow.user", "value": "ada"}
    for key in METRICS:
        yield (
            LatestMetric,
            own
            | {
                "key": key,
                "step": 1,
                "at": 1_700_000_000_000_000,
                "value": dice.random(),
                "is_nan": False,
                "n_points": 0,
                "experiment_id": experiment,
            },
        )
