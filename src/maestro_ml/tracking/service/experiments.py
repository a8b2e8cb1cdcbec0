"""Experiments: where a project's runs are kept apart by what they try."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, update

from maestro_ml.audit.service import record
from maestro_ml.core.access import Permission
from maestro_ml.core.ids import new_id
from maestro_ml.core.paging import Page
from maestro_ml.db.upsert import insert_or_ignore, upsert
from maestro_ml.db.work import Work
from maestro_ml.jobs.service import publish
from maestro_ml.tracking.errors import (
    DefaultExperimentKept,
    ExperimentActive,
    ExperimentDeleted,
    ExperimentGone,
    ExperimentNameTaken,
    ExperimentNotFound,
    TagNotFound,
)
from maestro_ml.tracking.models import Experiment, ExperimentTag, Run
from maestro_ml.tracking.records import ExperimentRecord
from maestro_ml.tracking.schemas import ExperimentCreate, SetExperimentTag
from maestro_ml.tracking.search.keyset import batched
from maestro_ml.tracking.search.pages import EXPERIMENTS, page
from maestro_ml.tracking.search.tree import Search

DEFAULT = "Default"  # MLflow's own name for what its clients call experiment 0


async def create(work: Work, command: ExperimentCreate) -> Experiment:
    """Open a place for runs.

    Raises:
        ExperimentNameTaken: the project has the name already, be it of a deleted experiment.
    """
    work.require(Permission.RUN_WRITE, command.project_id)
    experiment = Experiment(
        project_id=command.project_id,
        name=command.name,
        created_at=work.now,
        updated_at=work.now,
        created_by=work.access.actor_id,
    )
    work.session.add(experiment)
    await work.flush_or(ExperimentNameTaken(command.name))
    await _tag(work, experiment.id, command.tags)
    record(work, "experiment.created", "experiment", experiment.id, name=experiment.name)
    await publish(
        work,
        "experiment.created",
        project_id=str(experiment.project_id),
        experiment_id=str(experiment.id),
        name=experiment.name,
    )
    return experiment


async def default(work: Work, project_id: UUID) -> Experiment:
    """Where runs go that name no experiment: made with the project, or when first asked for.

    Whoever may read the project's runs may ask, since making it changes nothing of theirs.
    """
    work.require(Permission.RUN_READ, project_id)
    found = await _named(work, project_id, DEFAULT)
    if found is not None:
        return found
    row = {
        "id": new_id(),
        "project_id": project_id,
        "name": DEFAULT,
        "created_at": work.now,
        "updated_at": work.now,
    }
    await insert_or_ignore(work, Experiment, [row], key=("project_id", "name"))
    found = await _named(work, project_id, DEFAULT)
    assert found is not None
    return found


async def get(work: Work, id: UUID) -> ExperimentRecord:
    """Read one, deleted or not. What the caller may not see is reported as missing."""
    experiment = await work.session.get(Experiment, id)
    if experiment is None or not work.allows(Permission.RUN_READ, experiment.project_id):
        raise ExperimentNotFound
    return (await _with_tags(work, [experiment]))[0]


async def find(work: Work, project_id: UUID, name: str) -> ExperimentRecord:
    """Read one by its name, deleted or not."""
    work.require(Permission.RUN_READ, project_id)
    experiment = await _named(work, project_id, name)
    if experiment is None:
        raise ExperimentNotFound
    return (await _with_tags(work, [experiment]))[0]


async def used(work: Work, project_id: UUID) -> bool:
    """Whether a project has runs, or experiments beside its default one. Deleted ones count."""
    work.require(Permission.RUN_READ, project_id)
    more = select(Experiment.id).where(
        Experiment.project_id == project_id, Experiment.name != DEFAULT
    )
    run = select(Run.id).where(Run.project_id == project_id)
    for query in (more, run):
        if (await work.session.scalars(query.limit(1))).first() is not None:
            return True
    return False


async def search(work: Work, project_id: UUID, wanted: Search) -> Page[ExperimentRecord]:
    """A page of a project's experiments.

    Raises:
        FilterInvalid, Invalid: the search or its cursor cannot be followed.
    """
    work.require(Permission.RUN_READ, project_id)
    found = await page(work.session, EXPERIMENTS, [project_id], wanted)
    rows: dict[UUID, Experiment] = {}
    for ids in batched(found.items):
        query = select(Experiment).where(Experiment.id.in_(ids))
        rows |= {row.id: row for row in await work.session.scalars(query)}
    in_order = [rows[id] for id in found.items if id in rows]
    return Page(await _with_tags(work, in_order), found.next_cursor)


async def rename(work: Work, id: UUID, name: str) -> Experiment:
    """Raises:
    ExperimentDeleted, DefaultExperimentKept, ExperimentNameTaken: it keeps its name.
    """
    experiment = await _held(work, id)
    work.require(Permission.RUN_WRITE, experiment.project_id)
    _check_changeable(experiment)
    if experiment.name == name:
        return experiment
    if experiment.name == DEFAULT:
        raise DefaultExperimentKept
    before, experiment.name, experiment.updated_at = experiment.name, name, work.now
    await work.flush_or(ExperimentNameTaken(name))
    record(work, "experiment.renamed", "experiment", id, before=before, name=name)
    return experiment


async def delete(work: Work, id: UUID) -> None:
    """Mark it and its active runs as deleted.

    Raises:
        ExperimentGone: it is deleted already.
        DefaultExperimentKept: it is the project's default one.
    """
    experiment = await _held(work, id)
    work.require(Permission.RUN_WRITE, experiment.project_id)
    if experiment.deleted_at is not None:
        raise ExperimentGone
    if experiment.name == DEFAULT:
        raise DefaultExperimentKept
    experiment.deleted_at = experiment.updated_at = work.now
    runs = update(Run).where(Run.experiment_id == id, Run.deleted_at.is_(None))
    await work.session.execute(runs.values(deleted_at=work.now))
    record(work, "experiment.deleted", "experiment", id, name=experiment.name)


async def restore(work: Work, id: UUID) -> None:
    """Bring it back with all of its runs, those too that were deleted before it was.

    Raises:
        ExperimentActive: it is not deleted.
    """
    experiment = await _held(work, id)
    work.require(Permission.RUN_WRITE, experiment.project_id)
    if experiment.deleted_at is None:
        raise ExperimentActive
    runs = update(Run).where(Run.experiment_id == id)
    await work.session.execute(runs.values(deleted_at=None))
    experiment.deleted_at = None
    experiment.updated_at = work.now
    record(work, "experiment.restored", "experiment", id, name=experiment.name)


async def set_tag(work: Work, id: UUID, tag: SetExperimentTag) -> None:
    """Add a tag, or give it another value."""
    experiment = await _held(work, id)
    work.require(Permission.RUN_WRITE, experiment.project_id)
    _check_changeable(experiment)
    await _tag(work, id, [tag])


async def delete_tag(work: Work, id: UUID, key: str) -> None:
    """Raises:
    TagNotFound: it has no such tag.
    """
    experiment = await _held(work, id)
    work.require(Permission.RUN_WRITE, experiment.project_id)
    _check_changeable(experiment)
    held = select(ExperimentTag).where(ExperimentTag.experiment_id == id, ExperimentTag.key == key)
    tag = await work.session.scalar(held)
    if tag is None:
        raise TagNotFound
    await work.session.delete(tag)


async def _held(work: Work, id: UUID) -> Experiment:
    """One that nobody else changes until this work ends."""
    experiment = await work.session.get(
        Experiment, id, with_for_update={"key_share": True}, populate_existing=True
    )
    if experiment is None or not work.allows(Permission.RUN_READ, experiment.project_id):
        raise ExperimentNotFound
    return experiment


def _check_changeable(experiment: Experiment) -> None:
    if experiment.deleted_at is not None:
        raise ExperimentDeleted


async def _named(work: Work, project_id: UUID, name: str) -> Experiment | None:
    query = select(Experiment).where(Experiment.project_id == project_id, Experiment.name == name)
    return (await work.session.scalars(query)).one_or_none()


async def _tag(work: Work, id: UUID, tags: Sequence[SetExperimentTag]) -> None:
    last = {tag.key: tag.value for tag in tags}
    rows = [
        {"experiment_id": id, "key": key, "value": last[key], "created_at": work.now}
        for key in sorted(last)
    ]
    await upsert(work, ExperimentTag, rows, key=("experiment_id", "key"), change=("value",))


async def _with_tags(work: Work, experiments: Sequence[Experiment]) -> list[ExperimentRecord]:
    tags: dict[UUID, dict[str, str]] = {experiment.id: {} for experiment in experiments}
    for ids in batched(tags):
        query = select(ExperimentTag.experiment_id, ExperimentTag.key, ExperimentTag.value)
        query = query.where(ExperimentTag.experiment_id.in_(ids)).order_by(ExperimentTag.key)
        for id, key, value in await work.session.execute(query):
            tags[id][key] = value
    return [ExperimentRecord(experiment, tags[experiment.id]) for experiment in experiments]
