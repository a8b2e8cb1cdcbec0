"""MLflow's experiment calls."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from maestro_ml.core.errors import Invalid
from maestro_ml.mlflow import filters, wire
from maestro_ml.mlflow.deps import Opening, Reading, Workspace, Writing
from maestro_ml.tracking import schemas
from maestro_ml.tracking.schemas import ExperimentCreate
from maestro_ml.tracking.search.tree import Search
from maestro_ml.tracking.service import experiments

router = APIRouter(prefix="/experiments")


@router.post("/create")
async def create(here: Writing, body: wire.CreateExperiment) -> dict[str, Any]:
    if body.artifact_location:  # the answer of MLflow's own server with workspaces
        raise Invalid("artifact_location cannot be specified when workspaces are enabled.")
    command = ExperimentCreate(project_id=here.project_id, name=body.name, tags=[*body.tags])
    experiment = await experiments.create(here.work, command)
    return {"experiment_id": experiment.id.hex}


@router.get("/get")
async def get(here: Opening, experiment_id: wire.ExperimentId) -> dict[str, Any]:
    found = await experiments.get(here.work, await here.experiment(experiment_id))
    return {"experiment": wire.experiment_message(found, here.slug)}


@router.get("/get-by-name")
async def get_by_name(here: Reading, experiment_name: schemas.Name) -> dict[str, Any]:
    found = await experiments.find(here.work, here.project_id, experiment_name)
    return {"experiment": wire.experiment_message(found, here.slug)}


@router.get("/search")
async def search_by_query(
    here: Reading, query: Annotated[wire.SearchExperiments, Query()]
) -> dict[str, Any]:
    return await _search(here, query)


@router.post("/search")
async def search(here: Reading, body: wire.SearchExperiments) -> dict[str, Any]:
    return await _search(here, body)


@router.post("/update")
async def update(here: Writing, body: wire.UpdateExperiment) -> dict[str, Any]:
    await experiments.rename(here.work, await here.experiment(body.experiment_id), body.new_name)
    return {}


@router.post("/delete")
async def delete(here: Writing, body: wire.OfExperiment) -> dict[str, Any]:
    await experiments.delete(here.work, await here.experiment(body.experiment_id))
    return {}


@router.post("/restore")
async def restore(here: Writing, body: wire.OfExperiment) -> dict[str, Any]:
    await experiments.restore(here.work, await here.experiment(body.experiment_id))
    return {}


@router.post("/set-experiment-tag")
async def set_tag(here: Writing, body: wire.SetExperimentTag) -> dict[str, Any]:
    await experiments.set_tag(here.work, await here.experiment(body.experiment_id), body)
    return {}


@router.post("/delete-experiment-tag")
async def delete_tag(here: Writing, body: wire.DeleteExperimentTag) -> dict[str, Any]:
    await experiments.delete_tag(here.work, await here.experiment(body.experiment_id), body.key)
    return {}


async def _search(here: Workspace, message: wire.SearchExperiments) -> dict[str, Any]:
    wanted = Search(
        where=filters.parse_filter(message.filter, filters.EXPERIMENTS),
        order=filters.parse_order(message.order_by, filters.EXPERIMENTS),
        view=wire.VIEWS[message.view_type],
        limit=message.max_results,
        cursor=message.page_token or None,
    )
    found = await experiments.search(here.work, here.project_id, wanted)
    items = [wire.experiment_message(record, here.slug) for record in found.items]
    return wire.paged({"experiments": items}, found.next_cursor)
