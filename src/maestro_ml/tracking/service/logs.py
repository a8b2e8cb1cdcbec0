"""What a run is told while it goes on."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import insert, select

from maestro_ml.core.access import Permission
from maestro_ml.db.work import Work
from maestro_ml.tracking.errors import ParamChanged, TagNotFound
from maestro_ml.tracking.models import Param, Run, RunTag
from maestro_ml.tracking.schemas import Batch, LogParam
from maestro_ml.tracking.service import metrics, runs


async def log_batch(work: Work, run_id: UUID, batch: Batch) -> None:
    """Keep metrics, params and tags of a run; telling it the same again changes nothing.

    Raises:
        RunNotFound, RunDeleted: there is none to write to.
        ParamChanged: a param has another value already; then nothing of the batch is kept.
    """
    run = await runs.lock(work, run_id)
    work.require(Permission.RUN_WRITE, run.project_id)
    await _log_params(work, run, batch.params)
    await metrics.append(work, run, batch.metrics)
    if batch.tags:
        await runs.set_tags(work, run, {tag.key: tag.value for tag in batch.tags})


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


async def _log_params(work: Work, run: Run, params: Sequence[LogParam]) -> None:
    if not params:
        return
    wanted = {param.key: param.value for param in params}
    held = select(Param.key, Param.value).where(Param.run_id == run.id, Param.key.in_(wanted))
    for key, value in (await work.session.execute(held)).all():
        if wanted.pop(key) != value:
            raise ParamChanged(key)
    rows = [
        {
            "tenant_id": work.tenant_id,
            "run_id": run.id,
            "key": key,
            "value": value,
            "created_at": work.now,
        }
        for key, value in wanted.items()
    ]
    if rows:
        await work.session.execute(insert(Param), rows)
