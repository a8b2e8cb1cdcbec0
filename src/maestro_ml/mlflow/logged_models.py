"""MLflow's calls about logged models."""

from typing import Any

from fastapi import APIRouter

from maestro_ml.core.errors import Invalid
from maestro_ml.core.schemas import Text
from maestro_ml.mlflow import wire_models as wire
from maestro_ml.mlflow.deps import Reading, Writing
from maestro_ml.mlflow.filters import Grammar, Holds, parse_filter
from maestro_ml.mlflow.wire import ModelId, as_id, paged
from maestro_ml.tracking.errors import FilterInvalid, RunNotFound
from maestro_ml.tracking.schemas_models import LoggedModelCreate
from maestro_ml.tracking.search.tree import Dataset, Field, Kind, Order, Search
from maestro_ml.tracking.service import logged_models

PAGE, MAX_PAGE = 50, 1000
GRAMMAR = Grammar(
    kinds={
        **dict.fromkeys(("attribute", "attributes"), Kind.ATTRIBUTE),
        **dict.fromkeys(("metric", "metrics"), Kind.METRIC),
        **dict.fromkeys(("param", "params"), Kind.PARAM),
        **dict.fromkeys(("tag", "tags"), Kind.TAG),
    },
    attributes={
        "model_id": ("id", Holds.TEXT),
        "experiment_id": ("experiment_id", Holds.TEXT),
        "name": ("name", Holds.TEXT),
        "model_type": ("model_type", Holds.TEXT),
        "status": ("status", Holds.TEXT),
        "source_run_id": ("source_run_id", Holds.TEXT),
        **dict.fromkeys(
            ("creation_timestamp", "creation_time", "creation_timestamp_ms"),
            ("created_at", Holds.TIME),
        ),
        **dict.fromkeys(
            ("last_updated_timestamp", "last_updated_timestamp_ms"), ("updated_at", Holds.TIME)
        ),
    },
)
router = APIRouter(prefix="/logged-models")


@router.post("")
async def create(here: Writing, body: wire.CreateLoggedModel) -> dict[str, Any]:
    source = as_id(body.source_run_id)
    if body.source_run_id and source is None:
        raise RunNotFound
    command = LoggedModelCreate(
        experiment_id=await here.experiment(body.experiment_id),
        name=body.name,
        model_type=body.model_type or None,
        source_run_id=source,
        params=[*body.params],
        tags=[*body.tags],
    )
    return {"model": wire.logged_model_message(await logged_models.create(here.work, command))}


@router.post("/search")
async def search(here: Reading, body: wire.SearchLoggedModels) -> dict[str, Any]:
    wanted = Search(
        where=parse_filter(body.filter, GRAMMAR),
        order=[_order(one) for one in body.order_by],
        limit=min(body.max_results or PAGE, MAX_PAGE),
        cursor=body.page_token or None,
        datasets=[_dataset(one) for one in body.datasets],
    )
    ids = await here.experiments(body.experiment_ids)
    found = await logged_models.search(here.work, ids, wanted)
    models = [wire.logged_model_message(record) for record in found.items]
    return paged({"models": models}, found.next_cursor)


@router.get("/{model_id}")
async def get(here: Reading, model_id: ModelId, allow_deleted: bool = False) -> dict[str, Any]:
    found = await logged_models.get(here.work, model_id, deleted_too=allow_deleted)
    return {"model": wire.logged_model_message(found)}


@router.patch("/{model_id}")
async def finalize(
    here: Writing, model_id: ModelId, body: wire.FinalizeLoggedModel
) -> dict[str, Any]:
    changed = await logged_models.finalize(here.work, model_id, body.status)
    return {"model": wire.logged_model_message(changed)}


@router.delete("/{model_id}")
async def delete(here: Writing, model_id: ModelId) -> dict[str, Any]:
    await logged_models.delete(here.work, model_id)
    return {}


@router.patch("/{model_id}/tags")
async def set_tags(here: Writing, model_id: ModelId, body: wire.SetModelTags) -> dict[str, Any]:
    changed = await logged_models.set_tags(here.work, model_id, body.tags)
    return {"model": wire.logged_model_message(changed)}


@router.delete("/{model_id}/tags/{tag_key}")
async def delete_tag(here: Writing, model_id: ModelId, tag_key: Text) -> dict[str, Any]:
    await logged_models.delete_tag(here.work, model_id, tag_key)
    return {}


@router.post("/{model_id}/params")
async def log_params(here: Writing, model_id: ModelId, body: wire.LogModelParams) -> dict[str, Any]:
    await logged_models.log_params(here.work, model_id, body.params)
    return {}


def _dataset(sent: wire.OnDataset) -> Dataset:
    if not sent.dataset_name:
        raise Invalid("`dataset_name` in the `datasets` clause must be specified.")
    return Dataset(sent.dataset_name, sent.dataset_digest or None)


def _order(sent: wire.OrderBy) -> Order:
    kind, dot, key = sent.field_name.partition(".")
    if dot and kind == "metrics":
        dataset = _dataset(sent) if sent.dataset_name else None
        return Order(Field(Kind.METRIC, key), not sent.ascending, dataset)
    if sent.field_name not in GRAMMAR.attributes:
        known = ", ".join(GRAMMAR.attributes)
        raise FilterInvalid(
            f"Invalid order by field name: {sent.field_name}. Use metrics.<name> or one of {known}"
        )
    ours, _ = GRAMMAR.attributes[sent.field_name]
    return Order(Field(Kind.ATTRIBUTE, ours), not sent.ascending)
