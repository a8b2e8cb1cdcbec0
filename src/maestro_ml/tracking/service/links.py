"""Reading what runs took in and gave out."""

from collections.abc import Collection, Mapping
from uuid import UUID

from sqlalchemy import BindParameter, and_, bindparam, case, func, null, or_, select

from maestro_ml.core.access import Permission
from maestro_ml.db.among import among
from maestro_ml.db.hot import FastWork
from maestro_ml.db.prepared import Prepared
from maestro_ml.db.work import Work
from maestro_ml.tracking.models import DatasetInput, Direction, LoggedDataset, Run, RunModel
from maestro_ml.tracking.records import DatasetRecord, Links, MadeModel, RunRow, UsedDataset
from maestro_ml.tracking.search.keyset import batched

MAX_DESCRIBED = 2**25  # characters of schemas and profiles, in an answer
_LENGTH = func.coalesce(func.length(LoggedDataset.schema), 0) + func.coalesce(
    func.length(LoggedDataset.profile), 0
)
_WHOLE = func.sum(_LENGTH).over() <= MAX_DESCRIBED
_MINE: BindParameter[UUID] = bindparam("tenant_id")
_RUN: BindParameter[UUID] = bindparam("run_id")
_OWN = (DatasetInput.tenant_id == _MINE, LoggedDataset.tenant_id == _MINE)
_OF_USE = and_(
    LoggedDataset.tenant_id == DatasetInput.tenant_id,
    LoggedDataset.id == DatasetInput.dataset_id,
)
_DATASETS = Prepared(
    select(
        DatasetInput.tags,
        *(LoggedDataset.name, LoggedDataset.digest, LoggedDataset.source_type),
        LoggedDataset.source,
        *(case((_WHOLE, long)) for long in (LoggedDataset.schema, LoggedDataset.profile)),
    )
    .join(LoggedDataset, _OF_USE)
    .where(*_OWN, DatasetInput.run_id == _RUN)
    .order_by(DatasetInput.created_at, DatasetInput.dataset_id)
)
_USES = Prepared(
    select(DatasetInput.run_id, DatasetInput.dataset_id, DatasetInput.tags, _LENGTH)
    .join(LoggedDataset, _OF_USE)
    .where(*_OWN, among(DatasetInput.run_id, "ids"))
    .order_by(DatasetInput.created_at, DatasetInput.dataset_id)
)
_EDGES = Prepared(
    select(RunModel.run_id, RunModel.direction, RunModel.model_id, RunModel.step)
    .where(RunModel.tenant_id == _MINE, among(RunModel.run_id, "ids"))
    .order_by(RunModel.created_at, RunModel.model_id)
)
_MODELS = Prepared(
    select(RunModel.direction, RunModel.model_id, RunModel.step)
    .where(RunModel.tenant_id == _MINE, RunModel.run_id == _RUN)
    .order_by(RunModel.created_at, RunModel.model_id)
)


# Whether there is anything to read of a run: of most there is not.
LINKED = or_(
    *(
        select(link.run_id)
        .where(link.tenant_id == _MINE, Run.tenant_id == _MINE, link.run_id == Run.id)
        .correlate(Run)
        .exists()
        for link in (DatasetInput, RunModel)
    )
)


async def of_run(work: Work | FastWork, run: RunRow) -> Links:
    """What a run that the caller sees took in and gave out."""
    work.require(Permission.RUN_READ, run.project_id)
    datasets = [
        UsedDataset(DatasetRecord(*said), tags)
        for tags, *said in await work.prepared.all(_DATASETS, run_id=run.id)
    ]
    models = await work.prepared.all(_MODELS, run_id=run.id)
    return Links(
        datasets,
        [id for direction, id, _ in models if direction is Direction.IN],
        [MadeModel(id, step) for direction, id, step in models if direction is Direction.OUT],
    )


async def of_runs(work: Work, runs: Collection[RunRow]) -> Mapping[UUID, Links]:
    """What runs that the caller sees took in and gave out, of those that did."""
    for project_id in {run.project_id for run in runs}:
        work.require(Permission.RUN_READ, project_id)
    ids = [run.id for run in runs]
    used = await work.prepared.all(_USES, ids=ids)
    whole = sum(length for *_, length in used) <= MAX_DESCRIBED
    said = await _said(work, {dataset_id for _, dataset_id, *_ in used}, whole=whole)
    datasets: dict[UUID, list[UsedDataset]] = {}
    for run_id, dataset_id, tags, _ in used:
        datasets.setdefault(run_id, []).append(UsedDataset(said[dataset_id], tags))
    models: dict[tuple[UUID, Direction], list[MadeModel]] = {}
    for run_id, direction, model_id, step in await work.prepared.all(_EDGES, ids=ids):
        models.setdefault((run_id, direction), []).append(MadeModel(model_id, step))
    return {
        id: Links(
            datasets.get(id, ()),
            [made.model_id for made in models.get((id, Direction.IN), ())],
            models.get((id, Direction.OUT), ()),
        )
        for id in {*datasets, *(id for id, _ in models)}
    }


async def _said(work: Work, ids: Collection[UUID], *, whole: bool) -> dict[UUID, DatasetRecord]:
    columns = (LoggedDataset.name, LoggedDataset.digest, LoggedDataset.source_type)
    long = (LoggedDataset.schema, LoggedDataset.profile) if whole else (null(), null())
    found: dict[UUID, DatasetRecord] = {}
    for some in batched(ids):
        query = select(LoggedDataset.id, *columns, LoggedDataset.source, *long)
        for id, *said in await work.session.execute(query.where(LoggedDataset.id.in_(some))):
            found[id] = DatasetRecord(*said)
    return found
