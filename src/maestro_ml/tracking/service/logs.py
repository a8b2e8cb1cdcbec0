"""What a run is told while it goes on."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import bindparam, select

from maestro_ml.core.access import Permission
from maestro_ml.db.hot import FastWork
from maestro_ml.db.prepared import Prepared, Upsert
from maestro_ml.db.work import Work
from maestro_ml.tracking.errors import ParamChanged, TagNotFound
from maestro_ml.tracking.models import Param, RunTag
from maestro_ml.tracking.records import HeldRun, Told
from maestro_ml.tracking.schemas import Batch
from maestro_ml.tracking.service import lookup, metrics, model_metrics, runs

_PARAMS_OF = (Param.tenant_id == bindparam("tenant_id"), Param.run_id == bindparam("run_id"))
_PARAMS = Prepared(select(Param.key, Param.value).where(*_PARAMS_OF))
_PARAM = Prepared(select(Param.key, Param.value).where(*_PARAMS_OF, Param.key == bindparam("key")))
_ADD_PARAM = Upsert(Param, key=("run_id", "key"))


async def log_batch(work: Work, run_id: UUID, batch: Batch) -> None:
    """Keep metrics, params and tags of a run; telling it the same again changes nothing.

    Raises:
        RunNotFound, RunDeleted: there is none to write to.
        ParamChanged, LoggedModelNotFound: a param has another value already, or a point is about
            a model that is not there; then nothing of the batch is kept.
    """
    run = await lookup.hold(work, run_id)
    work.require(Permission.RUN_WRITE, run.project_id)
    await _log(work, run, batch.told())
    await model_metrics.append(work, run, batch.metrics)


async def log(work: Work | FastWork, run_id: UUID, told: Told) -> None:
    """The same of what is about no logged model.

    Raises:
        RunNotFound, RunDeleted: there is none to write to.
        ParamChanged: a param has another value already.
    """
    run = await lookup.hold(work, run_id)
    work.require(Permission.RUN_WRITE, run.project_id)
    await _log(work, run, told)


async def delete_tag(work: Work, run_id: UUID, key: str) -> None:
    """Raises:
    RunNotFound, RunDeleted, TagNotFound: there is nothing to take away.
    """
    run = await runs.lock(work, run_id)
    work.require(Permission.RUN_WRITE, run.project_id)
    tag = await work.session.scalar(
        select(RunTag).where(RunTag.run_id == run_id, RunTag.key == key)
    )
    if tag is None:
        raise TagNotFound
    await work.session.delete(tag)


async def _log(work: Work | FastWork, run: HeldRun, told: Told) -> None:
    if told.params:
        await _log_params(work, run, told.params)
    if told.metrics:
        await metrics.append(work, run, told.metrics)
    if told.tags:
        await runs.set_tags(work, run, told.tags)


async def _log_params(work: Work | FastWork, run: HeldRun, params: Mapping[str, str]) -> None:
    if len(params) == 1:
        (key,) = params
        held = await work.prepared.all(_PARAM, run_id=run.id, key=key)
    else:
        held = await work.prepared.all(_PARAMS, run_id=run.id)
    known: dict[str, str] = dict(held)
    for key, value in params.items():
        if known.get(key, value) != value:
            raise ParamChanged(key)
    rows = [
        {"run_id": run.id, "key": key, "value": value, "created_at": work.now}
        for key, value in params.items()
        if key not in known
    ]
    await work.prepared.put(_ADD_PARAM, rows)
