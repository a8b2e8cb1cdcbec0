"""MLflow's calls about versions of registered models."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from maestro_ml.mlflow import wire_registry as wire
from maestro_ml.mlflow.deps import Reading, Writing
from maestro_ml.mlflow.filters import Grammar, Holds, parse_filter, parse_order
from maestro_ml.mlflow.registered_models import prompts_apart
from maestro_ml.mlflow.sources import traced
from maestro_ml.mlflow.wire import paged
from maestro_ml.registry.schemas import VersionCreate
from maestro_ml.registry.service import aliases, versions
from maestro_ml.tracking.search.tree import Kind, Search

GRAMMAR = Grammar(
    kinds={
        **dict.fromkeys(("attribute", "attributes"), Kind.ATTRIBUTE),
        **dict.fromkeys(("tag", "tags"), Kind.TAG),
    },
    attributes={
        "name": ("name", Holds.TEXT),
        "run_id": ("run_id", Holds.TEXT),
        "source_path": ("source", Holds.TEXT),
        **dict.fromkeys(("version_number", "version"), ("number", Holds.NUMBER)),
        "creation_timestamp": ("created_at", Holds.TIME),
        **dict.fromkeys(("timestamp", "last_updated_timestamp"), ("updated_at", Holds.TIME)),
    },
)
router = APIRouter(prefix="/model-versions")


@router.post("/create")
async def create(here: Writing, body: wire.CreateVersion) -> dict[str, Any]:
    source, origin = await traced(here, body)
    command = VersionCreate(
        source=source,
        origin=origin,
        run_id=wire.as_run(body.run_id),
        logged_model_id=wire.as_run(body.model_id.removeprefix("m-")),
        run_link=body.run_link,
        description=body.description,
        tags=[*body.tags],
    )
    made = await versions.create(here.work, here.project_id, body.name, command)
    return {"model_version": wire.version_message(made)}


@router.get("/get")
async def get(here: Reading, query: Annotated[wire.OfVersion, Query()]) -> dict[str, Any]:
    found = await versions.get(here.work, here.project_id, query.name, query.version)
    about = await versions.logged_model(here.work, found.version)
    return {"model_version": wire.version_message(found, about)}


@router.get("/search")
async def search(here: Reading, query: Annotated[wire.SearchVersions, Query()]) -> dict[str, Any]:
    wanted = Search(
        where=prompts_apart(parse_filter(query.filter, GRAMMAR)),
        order=parse_order(query.order_by, GRAMMAR),
        limit=min(query.max_results, wire.VERSIONS_PAGE),
        cursor=query.page_token or None,
    )
    found = await versions.search(here.work, here.project_id, wanted)
    return paged({"model_versions": wire.version_messages(found.items)}, found.next_cursor)


@router.patch("/update")
async def update(here: Writing, body: wire.UpdateVersion) -> dict[str, Any]:
    changed = await versions.describe(
        here.work, here.project_id, body.name, body.version, body.description
    )
    return {"model_version": wire.version_message(changed)}


@router.post("/transition-stage")
async def transition_stage(here: Writing, body: wire.Transition) -> dict[str, Any]:
    moved = await aliases.transition(
        here.work,
        here.project_id,
        body.name,
        body.version,
        body.stage,
        archive=body.archive_existing_versions,
    )
    return {"model_version": wire.version_message(moved)}


@router.delete("/delete")
async def delete(here: Writing, body: wire.OfVersion) -> dict[str, Any]:
    await versions.delete(here.work, here.project_id, body.name, body.version)
    return {}


@router.get("/get-download-uri")
async def get_download_uri(
    here: Reading, query: Annotated[wire.OfVersion, Query()]
) -> dict[str, Any]:
    found = await versions.get(here.work, here.project_id, query.name, query.version)
    return {"artifact_uri": found.version.artifact_uri}


@router.post("/set-tag")
async def set_tag(here: Writing, body: wire.SetVersionTag) -> dict[str, Any]:
    await versions.set_tag(here.work, here.project_id, body.name, body.version, body)
    return {}


@router.delete("/delete-tag")
async def delete_tag(here: Writing, body: wire.DeleteVersionTag) -> dict[str, Any]:
    await versions.delete_tag(here.work, here.project_id, body.name, body.version, body.key)
    return {}
