"""Logged models: what a run made, from its creation until its files are there, and what is
measured of it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from maestro_ml.audit.service import record
from maestro_ml.core.access import Permission
from maestro_ml.core.clock import whole_millis
from maestro_ml.core.paging import Page
from maestro_ml.db.upsert import insert_or_ignore, upsert
from maestro_ml.db.work import Work
from maestro_ml.tracking.errors import (
    LoggedModelNotFound,
    ParamChanged,
    RunNotFound,
    TagNotFound,
)
from maestro_ml.tracking.models import (
    LoggedModel,
    LoggedModelParam,
    LoggedModelStatus,
    LoggedModelTag,
    Run,
)
from maestro_ml.tracking.names import a_name
from maestro_ml.tracking.records import LoggedModelRecord
from maestro_ml.tracking.schemas_models import LoggedModelCreate, LogModelParam, SetModelTag
from maestro_ml.tracking.search import logged_models as search_space
from maestro_ml.tracking.search.keyset import batched
from maestro_ml.tracking.search.tree import Search
from maestro_ml.tracking.service import lookup, model_metrics
from maestro_ml.tracking.service.model_lookup import find, lock


async def create(work: Work, command: LoggedModelCreate) -> LoggedModelRecord:
    """Announce a model; it is pending until it is finalized.

    Raises:
        ExperimentNotFound, ExperimentDeleted: there is nowhere to put it.
        RunNotFound: the run that made it is not there.
    """
    project_id = await lookup.stay(work, command.experiment_id)
    work.require(Permission.RUN_WRITE, project_id)
    if command.source_run_id is not None:
        source = await work.session.get(Run, command.source_run_id)
        if source is None or source.project_id != project_id:
            raise RunNotFound
    now = whole_millis(work.now)
    model = LoggedModel(
        project_id=project_id,
        experiment_id=command.experiment_id,
        name=command.name or a_name(),
        status=LoggedModelStatus.PENDING,
        model_type=command.model_type,
        source_run_id=command.source_run_id,
        created_by=work.access.actor_id,
        created_at=now,
        updated_at=now,
    )
    work.session.add(model)
    await work.session.flush()
    await _log_params(work, model, command.params)
    await _set_tags(work, model, command.tags)
    params = {param.key: param.value for param in command.params}
    tags = {tag.key: tag.value for tag in command.tags}
    return LoggedModelRecord(model, [], dict(sorted(params.items())), dict(sorted(tags.items())))


async def get(work: Work, id: UUID, *, deleted_too: bool = False) -> LoggedModelRecord:
    """Read one. What the caller may not see is reported as missing, and so is a deleted one
    unless it is asked for."""
    model = await find(work, id)
    work.require(Permission.RUN_READ, model.project_id)
    if model.deleted_at is not None and not deleted_too:
        raise LoggedModelNotFound
    return (await _records(work, [model]))[0]


async def search(
    work: Work, experiment_ids: Collection[UUID], wanted: Search
) -> Page[LoggedModelRecord]:
    """A page of the models of experiments; experiments that the caller may not see have none.

    Raises:
        FilterInvalid, Invalid: the search or its cursor cannot be followed.
    """
    work.require(Permission.RUN_READ)
    seen = await lookup.readable(work, experiment_ids)
    found = await search_space.page(work.session, seen, wanted)
    return Page(await _records(work, found.items), found.next_cursor)


async def finalize(work: Work, id: UUID, status: LoggedModelStatus) -> LoggedModelRecord:
    """Say how the upload of its files ended.

    Raises:
        LoggedModelNotFound: there is none to change.
    """
    model = await lock(work, id)
    work.require(Permission.RUN_WRITE, model.project_id)
    model.status, model.updated_at = status, whole_millis(work.now)
    return (await _records(work, [model]))[0]


async def delete(work: Work, id: UUID) -> None:
    """Mark it as deleted; one that is deleted stays so.

    Raises:
        LoggedModelNotFound: there is none.
    """
    model = await lock(work, id, deleted_too=True)
    work.require(Permission.RUN_WRITE, model.project_id)
    if model.deleted_at is not None:
        return
    model.deleted_at = model.updated_at = whole_millis(work.now)
    record(work, "logged_model.deleted", "logged_model", id, name=model.name)


async def log_params(work: Work, id: UUID, params: Sequence[LogModelParam]) -> None:
    """Add params.

    Raises:
        LoggedModelNotFound: there is none to write to.
        ParamChanged: a param has another value already; then none is kept.
    """
    model = await lock(work, id)
    work.require(Permission.RUN_WRITE, model.project_id)
    await _log_params(work, model, params)


async def set_tags(work: Work, id: UUID, tags: Sequence[SetModelTag]) -> LoggedModelRecord:
    """Add tags, or give them other values.

    Raises:
        LoggedModelNotFound: there is none to write to.
    """
    model = await lock(work, id)
    work.require(Permission.RUN_WRITE, model.project_id)
    await _set_tags(work, model, tags)
    return (await _records(work, [model]))[0]


async def delete_tag(work: Work, id: UUID, key: str) -> None:
    """Raises:
    LoggedModelNotFound, TagNotFound: there is nothing to take away.
    """
    model = await lock(work, id)
    work.require(Permission.RUN_WRITE, model.project_id)
    tag = await work.session.scalar(
        select(LoggedModelTag).where(LoggedModelTag.model_id == id, LoggedModelTag.key == key)
    )
    if tag is None:
        raise TagNotFound
    await work.session.delete(tag)


async def _log_params(work: Work, model: LoggedModel, params: Sequence[LogModelParam]) -> None:
    wanted: dict[str, str] = {}
    for param in params:
        if wanted.setdefault(param.key, param.value) != param.value:
            raise ParamChanged(param.key)
    part = LoggedModelParam
    held = select(part.key, part.value).where(part.model_id == model.id, part.key.in_(wanted))
    for key, value in (await work.session.execute(held)).all():
        if wanted.pop(key) != value:
            raise ParamChanged(key)
    rows = _rows(work, model, wanted)
    await insert_or_ignore(work, LoggedModelParam, rows, key=("model_id", "key"))


async def _set_tags(work: Work, model: LoggedModel, tags: Sequence[SetModelTag]) -> None:
    rows = _rows(work, model, {tag.key: tag.value for tag in tags})
    await upsert(work, LoggedModelTag, rows, key=("model_id", "key"), change=("value",))


def _rows(work: Work, model: LoggedModel, values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {"model_id": model.id, "key": key, "value": values[key], "created_at": work.now}
        for key in sorted(values)
    ]


async def _records(work: Work, models: Sequence[LoggedModel]) -> list[LoggedModelRecord]:
    points = await model_metrics.newest(work, models)
    params: dict[UUID, dict[str, str]] = {model.id: {} for model in models}
    tags: dict[UUID, dict[str, str]] = {model.id: {} for model in models}
    for part, found in ((LoggedModelParam, params), (LoggedModelTag, tags)):
        for ids in batched(found):
            query = select(part.model_id, part.key, part.value).where(part.model_id.in_(ids))
            for model_id, key, value in await work.session.execute(query.order_by(part.key)):
                found[model_id][key] = value
    return [
        LoggedModelRecord(model, points[model.id], params[model.id], tags[model.id])
        for model in models
    ]
