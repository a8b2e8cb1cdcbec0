"""Removing for good what was deleted long ago: a little at a time, so that nobody waits long."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, select

from maestro_ml.audit.service import record
from maestro_ml.core.access import Permission
from maestro_ml.db.work import Work
from maestro_ml.tracking.models import Experiment, LoggedModel, Run

BATCH = 100  # in one unit of work; a run may bring a million points along
_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Removable:
    runs: int
    logged_models: int
    experiments: int


async def removable(work: Work, before: datetime) -> Removable:
    """How many of the tenant's runs, logged models and experiments were deleted before that
    moment."""
    work.require(Permission.PROJECT_MANAGE)
    runs, models, experiments = [
        await work.session.scalar(
            select(func.count()).select_from(row).where(row.deleted_at < before)
        )
        or 0
        for row in (Run, LoggedModel, Experiment)
    ]
    return Removable(runs, models, experiments)


async def remove_runs(work: Work, before: datetime, after: UUID = _NOBODY) -> Sequence[UUID]:
    """Remove the next runs, by id, that were deleted before that moment, with all that hangs on
    them. Gives which; none: that was all. One that somebody holds is left for the next time."""
    work.require(Permission.PROJECT_MANAGE)
    old = select(Run).where(Run.deleted_at < before, Run.id > after).order_by(Run.id).limit(BATCH)
    runs = (await work.session.scalars(old.with_for_update(skip_locked=True))).all()
    for run in runs:
        facts = {"name": run.name, "experiment_id": str(run.experiment_id)}
        record(work, "run.removed", "run", run.id, **facts)
    ids = [run.id for run in runs]
    await work.session.execute(delete(Run).where(Run.id.in_(ids)))
    return ids


async def remove_logged_models(
    work: Work, before: datetime, after: UUID = _NOBODY
) -> Sequence[UUID]:
    """The same of logged models, with their files."""
    work.require(Permission.PROJECT_MANAGE)
    old = select(LoggedModel).where(LoggedModel.deleted_at < before, LoggedModel.id > after)
    old = old.order_by(LoggedModel.id).limit(BATCH).with_for_update(skip_locked=True)
    models = (await work.session.scalars(old)).all()
    for model in models:
        facts = {"name": model.name, "experiment_id": str(model.experiment_id)}
        record(work, "logged_model.removed", "logged_model", model.id, **facts)
    ids = [model.id for model in models]
    await work.session.execute(delete(LoggedModel).where(LoggedModel.id.in_(ids)))
    return ids


async def remove_experiments(work: Work, before: datetime, after: UUID = _NOBODY) -> Sequence[UUID]:
    """Remove the next experiments, by id, that were deleted before that moment and have no runs any
    more. Gives which; none: that was all."""
    work.require(Permission.PROJECT_MANAGE)
    run = select(Run.id).where(Run.experiment_id == Experiment.id)
    old = select(Experiment).where(
        Experiment.deleted_at < before, Experiment.id > after, ~run.exists()
    )
    old = old.order_by(Experiment.id).limit(BATCH).with_for_update(skip_locked=True)
    experiments = (await work.session.scalars(old)).all()
    for experiment in experiments:
        record(work, "experiment.removed", "experiment", experiment.id, name=experiment.name)
    ids = [experiment.id for experiment in experiments]
    await work.session.execute(delete(Experiment).where(Experiment.id.in_(ids)))
    return ids
