"""MLflow's run calls."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response

from maestro_ml.mlflow import filters, wire
from maestro_ml.mlflow.deps import Reading, Writing
from maestro_ml.tracking.schemas import Batch, RunChange, RunCreate
from maestro_ml.tracking.search.tree import Search
from maestro_ml.tracking.service import logs, runs

router = APIRouter()


@router.post("/runs/create")
async def create(here: Writing, body: wire.CreateRun) -> dict[str, Any]:
    command = RunCreate(
        experiment_id=await here.experiment(body.experiment_id),
        name=body.run_name or None,
        user_name=body.user_id,
        start_time=body.start_time,
        tags=[*body.tags],
    )
    return {"run": wire.run_message(await runs.create(here.work, command))}


@router.get("/runs/get")
async def get(here: Reading, query: Annotated[wire.OfRun, Query()]) -> dict[str, Any]:
    return {"run": wire.run_message(await runs.get(here.work, query.id))}


@router.post("/runs/update")
async def update(here: Writing, body: wire.UpdateRun) -> dict[str, Any]:
    change = RunChange(status=body.status, end_time=body.end_time, name=body.run_name or None)
    return {"run_info": wire.info_message(await runs.update(here.work, body.id, change))}


@router.post("/runs/delete")
async def delete(here: Writing, body: wire.OfRun) -> dict[str, Any]:
    await runs.delete(here.work, body.id)
    return {}


@router.post("/runs/restore")
async def restore(here: Writing, body: wire.OfRun) -> dict[str, Any]:
    await runs.restore(here.work, body.id)
    return {}


@router.post("/runs/log-metric")
async def log_metric(here: Writing, body: wire.LogMetric) -> dict[str, Any]:
    await logs.log_batch(here.work, body.id, Batch.model_construct(metrics=[body]))
    return {}


@router.post("/runs/log-parameter")
async def log_param(here: Writing, body: wire.LogParam) -> dict[str, Any]:
    await logs.log_batch(here.work, body.id, Batch.model_construct(params=[body]))
    return {}


@router.post("/runs/log-batch")
async def log_batch(here: Writing, body: wire.LogBatch) -> dict[str, Any]:
    await logs.log_batch(here.work, body.id, body)
    return {}


@router.post("/runs/set-tag")
async def set_tag(here: Writing, body: wire.SetTag) -> dict[str, Any]:
    await logs.log_batch(here.work, body.id, Batch.model_construct(tags=[body]))
    return {}


@router.post("/runs/delete-tag")
async def delete_tag(here: Writing, body: wire.DeleteTag) -> dict[str, Any]:
    await logs.delete_tag(here.work, body.id, body.key)
    return {}


@router.post("/runs/search")
async def search(here: Reading, body: wire.SearchRuns) -> Response:
    wanted = Search(
        where=filters.parse_filter(body.filter, filters.RUNS),
        order=filters.parse_order(body.order_by, filters.RUNS),
        view=wire.VIEWS[body.run_view_type],
        limit=body.max_results,
        cursor=body.page_token or None,
    )
    found = await runs.search(here.work, await here.experiments(body.experiment_ids), wanted)
    answer = wire.paged({"runs": [wire.run_message(r) for r in found.items]}, found.next_cursor)
    return Response(msgspec.json.encode(answer), media_type="application/json")
