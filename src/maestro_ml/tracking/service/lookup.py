"""Find a run by prepared statements: for verbs that are asked for all the time."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, and_, bindparam, select

from maestro_ml.core.access import Permission
from maestro_ml.db.among import among
from maestro_ml.db.hot import FastWork
from maestro_ml.db.prepared import Prepared
from maestro_ml.db.tenants import Sight
from maestro_ml.db.work import Work
from maestro_ml.projects.models import Project, Visibility
from maestro_ml.tracking.errors import (
    ExperimentDeleted,
    ExperimentNotFound,
    RunDeleted,
    RunNotFound,
)
from maestro_ml.tracking.models import Experiment, Run
from maestro_ml.tracking.records import HeldRun

_MINE: BindParameter[UUID] = bindparam("tenant_id")


def with_project(row: type[Run] | type[Experiment], *columns: Any) -> Any:
    """A select of columns of the tenant's rows, and last of whether their project is private."""
    return (
        select(*columns, Project.visibility)
        .join(Project, and_(Project.tenant_id == row.tenant_id, Project.id == row.project_id))
        .where(row.tenant_id == _MINE, Project.tenant_id == _MINE)
    )


_RUN = with_project(Run, Run.project_id, Run.experiment_id, Run.name, Run.deleted_at).where(
    Run.id == bindparam("run_id")
)
_SEEN = Prepared(_RUN)
_HELD = Prepared(_RUN.with_for_update(key_share=True, of=Run))
# Shared: whoever deletes the experiment waits, and then finds a run that is added meanwhile, too.
_EXPERIMENT = Prepared(
    with_project(Experiment, Experiment.project_id, Experiment.deleted_at)
    .where(Experiment.id == bindparam("experiment_id"))
    .with_for_update(read=True, of=Experiment)
)
_EXPERIMENTS = Prepared(
    with_project(Experiment, Experiment.project_id, Experiment.id).where(
        among(Experiment.id, "ids")
    )
)


async def seen(work: Work | FastWork, id: UUID) -> HeldRun:
    """A run, deleted or not, that nobody holds.

    Raises:
        RunNotFound: there is none, or the caller may not see it.
    """
    row = await work.prepared.one(_SEEN, run_id=id)
    project_id, experiment_id, name, _ = in_sight(work, row)
    if not work.allows(Permission.RUN_READ, project_id):
        raise RunNotFound
    return HeldRun(id, project_id, experiment_id, name)


async def hold(work: Work | FastWork, id: UUID) -> HeldRun:
    """An active run, held until the unit of work ends: its writers take turns.

    Raises:
        RunNotFound, RunDeleted: there is none to write to.
    """
    row = await work.prepared.one(_HELD, run_id=id)
    project_id, experiment_id, name, deleted_at = in_sight(work, row)
    if not work.allows(Permission.RUN_READ, project_id):
        raise RunNotFound
    work.require(Permission.RUN_WRITE, project_id)
    if deleted_at is not None:
        raise RunDeleted
    return HeldRun(id, project_id, experiment_id, name)


async def stay(work: Work | FastWork, experiment_id: UUID) -> UUID:
    """The project of an active experiment, which is not deleted until the unit of work ends.

    Raises:
        ExperimentNotFound, ExperimentDeleted: there is nowhere to put a run.
    """
    row = await work.prepared.one(_EXPERIMENT, experiment_id=experiment_id)
    if row is None or not sees(work, row) or not work.allows(Permission.RUN_READ, row[0]):
        raise ExperimentNotFound
    project_id: UUID = row[0]
    work.require(Permission.RUN_WRITE, project_id)
    if row[1] is not None:
        raise ExperimentDeleted
    return project_id


async def readable(work: Work, experiment_ids: Collection[UUID]) -> list[UUID]:
    """Those of the experiments, deleted or not, whose runs the caller may read."""
    return [
        row[1]
        for row in await work.prepared.all(_EXPERIMENTS, ids=list(experiment_ids))
        if sees(work, row) and work.allows(Permission.RUN_READ, row[0])
    ]


def in_sight(work: Work | FastWork, row: Any) -> Any:
    """The columns of `with_project`, if the tenant's session would find the run.

    Raises:
        RunNotFound: it would not.
    """
    if row is None or not sees(work, row):
        raise RunNotFound
    return row[:-1]


def sees(work: Work | FastWork, row: Any) -> bool:
    """Of a row that begins with a project and ends with whether it is private."""
    return Sight.of(work.access).sees(row[0], private=row[-1] is Visibility.PRIVATE)
