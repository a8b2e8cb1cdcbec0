"""Keeping what runs take in and give out: datasets and logged models."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select

from maestro_ml.core.access import Permission
from maestro_ml.core.ids import new_id
from maestro_ml.db.upsert import insert_or_ignore, upsert
from maestro_ml.db.work import Work
from maestro_ml.tracking.models import (
    DatasetInput,
    Direction,
    LoggedDataset,
    Run,
    RunModel,
)
from maestro_ml.tracking.records import DatasetSummary
from maestro_ml.tracking.schemas_models import Dataset, DatasetUse, ModelOutput, RunInputs
from maestro_ml.tracking.search.keyset import batched
from maestro_ml.tracking.service import lookup, runs
from maestro_ml.tracking.service.model_lookup import check

CONTEXT_TAG = "mlflow.data.context"
MAX_SUMMARIES = 1000


async def log_inputs(work: Work, run_id: UUID, inputs: RunInputs) -> None:
    """Keep what a run took in. A dataset or model that it has already stays as it is.

    Raises:
        RunNotFound, RunDeleted: there is none to write to.
        LoggedModelNotFound: it cannot have taken in a model that is not there.
    """
    run = await runs.lock(work, run_id)
    work.require(Permission.RUN_WRITE, run.project_id)
    await check(work, run.project_id, inputs.models)
    uses: dict[tuple[str, str], DatasetUse] = {}
    for use in inputs.datasets:
        uses.setdefault((use.dataset.name, use.dataset.digest), use)
    ids = await _datasets(work, run, [use.dataset for use in uses.values()])
    rows = [_use(work, run, ids[key], use) for key, use in uses.items()]
    await insert_or_ignore(work, DatasetInput, rows, key=("run_id", "dataset_id"))
    models = [_edge(work, run, Direction.IN, id) for id in sorted(set(inputs.models))]
    await insert_or_ignore(work, RunModel, models, key=("run_id", "direction", "model_id"))


async def log_outputs(work: Work, run_id: UUID, outputs: Collection[ModelOutput]) -> None:
    """Keep which models a run gave out; the same model again has the step that is said last.

    Raises:
        RunNotFound, RunDeleted: there is none to write to.
        LoggedModelNotFound: one of the models is not there.
    """
    run = await runs.lock(work, run_id)
    work.require(Permission.RUN_WRITE, run.project_id)
    steps = {output.model_id: output.step for output in outputs}
    await check(work, run.project_id, steps)
    rows = [_edge(work, run, Direction.OUT, id, steps[id]) for id in sorted(steps)]
    key = ("run_id", "direction", "model_id")
    await upsert(work, RunModel, rows, key=key, change=("step",))


async def search_datasets(work: Work, experiment_ids: Collection[UUID]) -> list[DatasetSummary]:
    """The datasets that runs of experiments used, by name, each once for a context; at most 1,000.
    Experiments that the caller may not see have none."""
    work.require(Permission.RUN_READ)
    seen = await lookup.readable(work, experiment_ids)
    names = (LoggedDataset.experiment_id, LoggedDataset.name, LoggedDataset.digest)
    query = (
        select(*names, DatasetInput.context)
        .join(DatasetInput, DatasetInput.dataset_id == LoggedDataset.id)
        .where(LoggedDataset.experiment_id.in_(seen))
        .distinct()
        .order_by(*names, DatasetInput.context)
        .limit(MAX_SUMMARIES)
    )
    return [DatasetSummary(*row) for row in await work.session.execute(query)]


async def _datasets(
    work: Work, run: Run, datasets: Collection[Dataset]
) -> dict[tuple[str, str], UUID]:
    """Their ids by name and digest, made where the experiment does not know them yet."""
    rows = [
        {
            **dataset.model_dump(by_alias=True),
            "id": new_id(),
            "experiment_id": run.experiment_id,
            "project_id": run.project_id,
            "created_at": work.now,
        }
        # In one order for everybody, so that two who make the same ones do not wait in a ring.
        for dataset in sorted(datasets, key=lambda dataset: (dataset.name, dataset.digest))
    ]
    await insert_or_ignore(work, LoggedDataset, rows, key=("experiment_id", "name", "digest"))
    found: dict[tuple[str, str], UUID] = {}
    for some in batched(datasets):
        query = select(LoggedDataset.name, LoggedDataset.digest, LoggedDataset.id).where(
            LoggedDataset.experiment_id == run.experiment_id,
            LoggedDataset.name.in_({dataset.name for dataset in some}),
            LoggedDataset.digest.in_({dataset.digest for dataset in some}),
        )
        for name, digest, id in await work.session.execute(query):
            found[name, digest] = id
    return found


def _use(work: Work, run: Run, dataset_id: UUID, use: DatasetUse) -> dict[str, object]:
    tags = {tag.key: tag.value for tag in use.tags}
    return {
        "run_id": run.id,
        "dataset_id": dataset_id,
        "tags": tags,
        "context": tags.get(CONTEXT_TAG),
        "created_at": work.now,
    }


def _edge(
    work: Work, run: Run, direction: Direction, model_id: UUID, step: int = 0
) -> dict[str, object]:
    return {
        "run_id": run.id,
        "direction": direction,
        "model_id": model_id,
        "step": step,
        "created_at": work.now,
    }
