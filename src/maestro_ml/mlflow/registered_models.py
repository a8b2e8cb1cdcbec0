"""MLflow's calls about registered models and their aliases."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query

from maestro_ml.mlflow import wire_registry as wire
from maestro_ml.mlflow.deps import Reading, Workspace, Writing
from maestro_ml.mlflow.filters import Grammar, Holds, parse_filter, parse_order
from maestro_ml.mlflow.wire import paged
from maestro_ml.registry.schemas import ModelCreate
from maestro_ml.registry.search import PROMPT
from maestro_ml.registry.service import aliases, models, versions
from maestro_ml.tracking.search.tree import Comparison, Field, Kind, Op, Search

_TAG = dict.fromkeys(("tag", "tags"), Kind.TAG)
GRAMMAR = Grammar(
    kinds={**dict.fromkeys(("attribute", "attributes"), Kind.ATTRIBUTE), **_TAG},
    attributes={
        "name": ("name", Holds.TEXT),
        "creation_timestamp": ("created_at", Holds.TIME),
        **dict.fromkeys(("timestamp", "last_updated_timestamp"), ("updated_at", Holds.TIME)),
    },
)
PROMPTS = Comparison(Field(Kind.TAG, PROMPT), Op.EQ, "true")
NO_PROMPTS = Comparison(Field(Kind.TAG, PROMPT), Op.NE, "true")
router = APIRouter(prefix="/registered-models")


@router.post("/create")
async def create(here: Writing, body: wire.CreateModel) -> dict[str, Any]:
    command = ModelCreate(name=body.name, description=body.description, tags=[*body.tags])
    made = await models.create(here.work, here.project_id, command)
    return {"registered_model": wire.model_message(made)}


@router.get("/get")
async def get(here: Reading, query: Annotated[wire.OfModel, Query()]) -> dict[str, Any]:
    found = await models.get(here.work, here.project_id, query.name)
    return {"registered_model": wire.model_message(found)}


@router.get("/search")
async def search(here: Reading, query: Annotated[wire.SearchModels, Query()]) -> dict[str, Any]:
    wanted = Search(
        where=prompts_apart(parse_filter(query.filter, GRAMMAR)),
        order=parse_order(query.order_by, GRAMMAR),
        limit=query.max_results,
        cursor=query.page_token or None,
    )
    found = await models.search(here.work, here.project_id, wanted)
    items = [wire.model_message(record) for record in found.items]
    return paged({"registered_models": items}, found.next_cursor)


@router.post("/rename")
async def rename(here: Writing, body: wire.RenameModel) -> dict[str, Any]:
    renamed = await models.rename(here.work, here.project_id, body.name, body.new_name)
    return {"registered_model": wire.model_message(renamed)}


@router.patch("/update")
async def update(here: Writing, body: wire.UpdateModel) -> dict[str, Any]:
    changed = await models.describe(here.work, here.project_id, body.name, body.description)
    return {"registered_model": wire.model_message(changed)}


@router.delete("/delete")
async def delete(here: Writing, body: wire.OfModel) -> dict[str, Any]:
    await models.delete(here.work, here.project_id, body.name, confirm=body.name)
    return {}


@router.get("/get-latest-versions")
async def get_latest_versions(
    here: Reading, query: Annotated[wire.LatestVersions, Query()]
) -> dict[str, Any]:
    return await _latest(here, query)


@router.post("/get-latest-versions")
async def find_latest_versions(here: Reading, body: wire.LatestVersions) -> dict[str, Any]:
    return await _latest(here, body)


@router.post("/set-tag")
async def set_tag(here: Writing, body: wire.SetModelTag) -> dict[str, Any]:
    await models.set_tag(here.work, here.project_id, body.name, body)
    return {}


@router.delete("/delete-tag")
async def delete_tag(here: Writing, body: wire.DeleteModelTag) -> dict[str, Any]:
    await models.delete_tag(here.work, here.project_id, body.name, body.key)
    return {}


@router.post("/alias")
async def set_alias(here: Writing, body: wire.SetAlias) -> dict[str, Any]:
    await aliases.set(here.work, here.project_id, body.name, body.alias, body.version)
    return {}


@router.delete("/alias")
async def delete_alias(here: Writing, body: wire.OfAlias) -> dict[str, Any]:
    await aliases.delete(here.work, here.project_id, body.name, body.alias)
    return {}


@router.get("/alias")
async def get_by_alias(here: Reading, query: Annotated[wire.OfAlias, Query()]) -> dict[str, Any]:
    found = await aliases.find(here.work, here.project_id, query.name, query.alias)
    return {"model_version": wire.version_message(found)}


def prompts_apart(where: Sequence[Comparison]) -> list[Comparison]:
    """Prompts are registered models with a tag. They are found by whoever asks for them."""
    about = [one for one in where if one.field == NO_PROMPTS.field]
    rest = [one for one in where if one.field != NO_PROMPTS.field]
    meant = [(one.op, one.value) in {(Op.EQ, "true"), (Op.NE, "false")} for one in about]
    return [*rest, *(PROMPTS if yes else NO_PROMPTS for yes in meant or [False])]


async def _latest(here: Workspace, asked: wire.LatestVersions) -> dict[str, Any]:
    found = await versions.latest(here.work, here.project_id, asked.name, asked.stages)
    return {"model_versions": wire.version_messages(found)}
