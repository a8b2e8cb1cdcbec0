"""MLflow's calls about what runs take in and give out."""

from typing import Any

from fastapi import APIRouter

from maestro_ml.mlflow import wire_models as wire
from maestro_ml.mlflow.deps import Reading, Writing
from maestro_ml.tracking.schemas_models import RunInputs
from maestro_ml.tracking.service import inputs, model_history

router = APIRouter()


@router.post("/runs/log-inputs")
async def log_inputs(here: Writing, body: wire.LogInputs) -> dict[str, Any]:
    models = [model.model_id for model in body.models]
    taken = RunInputs.model_construct(datasets=[*body.datasets], models=models)
    await inputs.log_inputs(here.work, body.id, taken)
    return {}


@router.post("/runs/outputs")
async def log_outputs(here: Writing, body: wire.LogOutputs) -> dict[str, Any]:
    await inputs.log_outputs(here.work, body.id, body.models)
    return {}


@router.post("/runs/log-model")
async def log_model(here: Writing, body: wire.LogModel) -> dict[str, Any]:
    await model_history.append(here.work, body.id, body.model_json)
    return {}


@router.post("/experiments/search-datasets")
async def search_datasets(here: Reading, body: wire.SearchDatasets) -> dict[str, Any]:
    ids = await here.experiments(body.experiment_ids)
    found = await inputs.search_datasets(here.work, ids)
    return {"dataset_summaries": [wire.summary_message(summary) for summary in found]}
