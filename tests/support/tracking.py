"""Experiments, runs and points of metrics, as tests want them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from maestro_ml.core.paging import PageRequest
from maestro_ml.db.work import Work
from maestro_ml.tracking.points import Record
from maestro_ml.tracking.schemas import ExperimentCreate, LogMetric, RunCreate
from maestro_ml.tracking.service import experiments, metrics, runs
from support.world import LAB

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MILLIS = int(NOON.timestamp()) * 1000
ALL = PageRequest(100_000)


async def an_experiment(work: Work, name: str = "churn", project: UUID = LAB) -> UUID:
    return (await experiments.create(work, ExperimentCreate(project_id=project, name=name))).id


async def a_run(work: Work, experiment: UUID | None = None, name: str = "first") -> UUID:
    experiment = experiment or await an_experiment(work)
    command = RunCreate(experiment_id=experiment, name=name, start_time=NOON)
    return (await runs.create(work, command)).run.id


async def history(
    work: Work, run: UUID, key: str = "loss", request: PageRequest = ALL
) -> tuple[list[Record], str | None]:
    """Points of a metric, and the cursor of the next ones."""
    page = await metrics.history(work, run, key, request)
    return [record for part in page.parts for record in part], page.next_cursor


def a_point(value: float, step: int = 0, seconds: float = 0, key: str = "loss") -> LogMetric:
    return LogMetric(key=key, value=value, step=step, at=NOON + timedelta(seconds=seconds))
