"""Where the calls are mounted. What is not listed is answered by 404 ENDPOINT_NOT_FOUND."""

from collections.abc import Mapping

from fastapi import APIRouter

from maestro_ml.mlflow import (
    artifacts,
    experiments,
    inputs,
    logged_models,
    metrics,
    model_versions,
    registered_models,
    runs,
    server,
    webhooks,
    workspaces,
)


def _mounted(*routers: APIRouter) -> APIRouter:
    """Left out of OpenAPI: the protocol is MLflow's, and the same calls stand under two names."""
    mount = APIRouter(include_in_schema=False)
    for router in routers:
        mount.include_router(router)
    return mount


_TRACKING = _mounted(
    experiments.router,
    runs.router,
    metrics.router,
    inputs.router,
    logged_models.router,
    registered_models.router,
    model_versions.router,
    artifacts.tracking,
    webhooks.router,
)
_FILES = _mounted(artifacts.router)
_SERVER = _mounted(server.router, workspaces.router)
ROUTERS: Mapping[str, APIRouter] = {
    "/api/2.0/mlflow": _TRACKING,
    "/ajax-api/2.0/mlflow": _TRACKING,
    "/api/2.0/mlflow-artifacts": _FILES,
    "/ajax-api/2.0/mlflow-artifacts": _FILES,
    "/api/3.0/mlflow": _SERVER,
    "/ajax-api/3.0/mlflow": _SERVER,
}
# What is PUT below these is a file, and as long as its tenant's limit allows.
STREAMED = tuple(prefix for prefix, router in ROUTERS.items() if router is _FILES)
# The longest profile of a dataset, the signature of a model with many columns, or a whole batch of
# the longest texts with each letter written as an escape, as clients do. Prompts are tags.
LARGER: Mapping[str, int] = {
    f"/{api}/2.0/mlflow/{call}": 20 * 2**20
    for api in ("api", "ajax-api")
    for call in (
        *("runs/log-inputs", "runs/log-batch", "runs/log-model"),
        *("registered-models/create", "registered-models/set-tag"),
        *("model-versions/create", "model-versions/set-tag"),
    )
}
