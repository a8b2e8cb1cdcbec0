"""Runs: one try each, from its start to its end."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, bindparam, literal, select, union_all
from sqlalchemy import update as changed

from maestro_ml.audit.service import record
from maestro_ml.core.access import Permission
from maestro_ml.core.ids import new_id
from maestro_ml.core.paging import Page
from maestro_ml.db.among import among
from maestro_ml.db.hot import FastWork
from maestro_ml.db.prepared import Prepared, Upsert
from maestro_ml.db.work import Work
from maestro_ml.jobs.service import publish
from maestro_ml.tracking.errors import (
    ExperimentDeleted,
    RunDeleted,
    RunNameUnclear,
    RunNotFound,
)
from maestro_ml.tracking.models import Experiment, Param, Run, RunStatus, RunTag
from maestro_ml.tracking.names import a_name
from maestro_ml.tracking.records import HeldRun, Links, RunRecord, RunRow
from maestro_ml.tracking.schemas import RunChange, RunCreate
from maestro_ml.tracking.search.pages import RUNS, page
from maestro_ml.tracking.search.tree import Search
from maestro_ml.tracking.service import links, lookup, metrics

NAME_TAG = "mlflow.runName"  # clients read a run's name from either place
_COLUMNS = [getattr(Run, name) for name in RunRow._fields]
_MINE: BindParameter[UUID] = bindparam("tenant_id")
_MANY = Prepared(select(*_COLUMNS).where(Run.tenant_id == _MINE, among(Run.id, "ids")))
_ID: BindParameter[UUID] = bindparam("run_id")
_ONE = Prepared(
    lookup.with_project(Run, Run.project_id, *_COLUMNS, links.LINKED).where(Run.id == _ID)
)
_PARAMS, _TAGS = 0, 1
_PARTS = Prepared(
    union_all(
        *(
            select(literal(place).label("place"), part.key.label("key"), part.value).where(
                part.tenant_id == _MINE, part.run_id == _ID
            )
            for place, part in ((_PARAMS, Param), (_TAGS, RunTag))
        )
    ).order_by("place", "key")
)
_PARAMS_OF, _TAGS_OF = (
    Prepared(
        select(part.run_id, part.key, part.value)
        .where(part.tenant_id == _MINE, among(part.run_id, "ids"))
        .order_by(part.run_id, part.key)
    )
    for part in (Param, RunTag)
)
_ADD = Upsert(Run)
_SET_TAG = Upsert(RunTag, key=("run_id", "key"), change=("value",))
_RENAME = Prepared(
    changed(Run).where(Run.tenant_id == _MINE, Run.id == _ID).values(name=bindparam("name"))
)
ENDED = frozenset({RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED})


async def create(work: Work | FastWork, command: RunCreate) -> RunRecord:
    """Start a run.

    Raises:
        ExperimentNotFound, ExperimentDeleted: there is nowhere to put it.
        RunNameUnclear: two names were given.
    """
    project_id = await lookup.stay(work, command.experiment_id)
    work.require(Permission.RUN_WRITE, project_id)
    tags = {tag.key: tag.value for tag in command.tags}
    name = command.name or tags.get(NAME_TAG) or a_name()
    if (tags.get(NAME_TAG) or name) != name:
        raise RunNameUnclear
    tags[NAME_TAG] = name
    row: dict[str, Any] = {
        "id": new_id(),
        "project_id": project_id,
        "experiment_id": command.experiment_id,
        "name": name,
        "status": RunStatus.RUNNING,
        "start_time": command.start_time or work.now,
        "end_time": None,
        "user_name": command.user_name,
        "created_by": work.access.actor_id,
        "created_at": work.now,
        "deleted_at": None,
    }
    await work.prepared.put(_ADD, [row])
    run = RunRow(*(row[name] for name in RunRow._fields))
    await set_tags(work, HeldRun(run.id, project_id, run.experiment_id, name), tags)
    return RunRecord(run, [], {}, dict(sorted(tags.items())))


async def get(work: Work | FastWork, id: UUID) -> RunRecord:
    """Read one, deleted or not. What the caller may not see is reported as missing."""
    _, *row, linked = lookup.in_sight(work, await work.prepared.one(_ONE, run_id=id))
    run = RunRow(*row)
    if not work.allows(Permission.RUN_READ, run.project_id):
        raise RunNotFound
    newest = await metrics.newest_of(work, run)
    parts: tuple[dict[str, str], dict[str, str]] = {}, {}
    for place, key, value in await work.prepared.all(_PARTS, run_id=id):
        parts[place][key] = value
    found = await links.of_run(work, run) if linked else Links()
    return RunRecord(run, newest, parts[_PARAMS], parts[_TAGS], found)


async def search(work: Work, experiment_ids: Collection[UUID], wanted: Search) -> Page[RunRecord]:
    """A page of the runs of experiments; experiments that the caller may not see have none.

    Raises:
        FilterInvalid, Invalid: the search or its cursor cannot be followed.
    """
    work.require(Permission.RUN_READ)
    seen = await lookup.readable(work, experiment_ids)
    found = await page(work.session, RUNS, seen, wanted)
    return Page(await _records(work, found.items) if found.items else [], found.next_cursor)


async def lock(work: Work, id: UUID) -> Run:
    """An active run, held until the unit of work ends: its writers take turns.

    Raises:
        RunNotFound, RunDeleted: there is none to write to.
    """
    run = await _any(work, id)
    work.require(Permission.RUN_WRITE, run.project_id)
    if run.deleted_at is not None:
        raise RunDeleted
    return run


async def update(work: Work, id: UUID, change: RunChange) -> RunRow:
    """Change the state, the end or the name of a run.

    Raises:
        RunNotFound, RunDeleted: there is none to change.
    """
    run = await lock(work, id)
    work.require(Permission.RUN_WRITE, run.project_id)
    was = run.status
    run.status = change.status or run.status
    run.end_time = change.end_time or run.end_time
    if change.name:
        run.name = change.name
        held = HeldRun(id, run.project_id, run.experiment_id, run.name)
        await set_tags(work, held, {NAME_TAG: change.name})
    if run.status in ENDED and was not in ENDED:
        await publish(
            work,
            "run.finished",
            project_id=str(run.project_id),
            experiment_id=str(run.experiment_id),
            run_id=str(id),
            name=run.name,
            status=run.status,
        )
    return RunRow(*(getattr(run, name) for name in RunRow._fields))


async def delete(work: Work, id: UUID) -> None:
    """Mark a run as deleted; one that is deleted stays so."""
    run = await _any(work, id)
    work.require(Permission.RUN_WRITE, run.project_id)
    if run.deleted_at is None:
        run.deleted_at = work.now
        record(work, "run.deleted", "run", id, name=run.name)


async def restore(work: Work, id: UUID) -> None:
    """Bring a deleted run back.

    Raises:
        ExperimentDeleted: its experiment is deleted, and has to come back first.
    """
    run = await _any(work, id)
    work.require(Permission.RUN_WRITE, run.project_id)
    experiment = await work.session.get_one(
        Experiment, run.experiment_id, with_for_update={"read": True}
    )
    if experiment.deleted_at is not None:
        raise ExperimentDeleted
    if run.deleted_at is not None:
        run.deleted_at = None
        record(work, "run.restored", "run", id, name=run.name)


async def set_tags(work: Work | FastWork, run: HeldRun, tags: Mapping[str, str]) -> None:
    """Add tags to a run that is held, or give them other values. One of them is its name, which is
    never empty."""
    work.require(Permission.RUN_WRITE, run.project_id)
    name = tags.get(NAME_TAG)
    if name and name != run.name:
        await work.prepared.all(_RENAME, run_id=run.id, name=name)
    rows = [
        {"run_id": run.id, "key": key, "value": tags[key], "created_at": work.now}
        for key in sorted(tags)
        if key != NAME_TAG or name
    ]
    await work.prepared.put(_SET_TAG, rows)


async def _any(work: Work, id: UUID) -> Run:
    """The same of a run that may be deleted."""
    run = await work.session.get(Run, id, with_for_update={"key_share": True})
    if run is None or not work.allows(Permission.RUN_READ, run.project_id):
        raise RunNotFound
    return run


async def _records(work: Work, ids: Sequence[UUID]) -> list[RunRecord]:
    """Of runs that the caller sees, in that order."""
    runs = {row[0]: RunRow(*row) for row in await work.prepared.all(_MANY, ids=ids)}
    newest = await metrics.newest(work, runs.values())
    linked = await links.of_runs(work, runs.values())
    params: dict[UUID, dict[str, str]] = {id: {} for id in runs}
    tags: dict[UUID, dict[str, str]] = {id: {} for id in runs}
    for query, found in ((_PARAMS_OF, params), (_TAGS_OF, tags)):
        for run_id, key, value in await work.prepared.all(query, ids=ids):
            found[run_id][key] = value
    none = Links()
    return [
        RunRecord(runs[id], newest.get(id, ()), params[id], tags[id], linked.get(id, none))
        for id in ids
        if id in runs
    ]
