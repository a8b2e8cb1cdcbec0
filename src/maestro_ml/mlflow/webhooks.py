"""MLflow's webhook calls: a webhook made here belongs to its workspace, hears what MLflow has a
word for, and is told in MLflow's shape. Others are not there."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from maestro_ml.core.paging import PageRequest
from maestro_ml.core.schemas import Text
from maestro_ml.mlflow import wire_webhooks as wire
from maestro_ml.mlflow.deps import Reading, Stepping, Steps, Writing, named
from maestro_ml.mlflow.wire import as_id, paged
from maestro_ml.webhooks import steps
from maestro_ml.webhooks.deps import TheCourier
from maestro_ml.webhooks.errors import WebhookNotFound
from maestro_ml.webhooks.models import WebhookFormat
from maestro_ml.webhooks.schemas import WebhookCreate
from maestro_ml.webhooks.service import webhooks

router = APIRouter(prefix="/webhooks")
MLFLOW = WebhookFormat.MLFLOW


@router.post("")
async def create(door: Stepping, courier: TheCourier, body: wire.CreateWebhook) -> dict[str, Any]:
    async with door.reading() as work:
        project = await named(work, door.named)
    command = WebhookCreate(
        name=body.name,
        project_id=project.id,
        url=body.url,
        events=[event.name for event in body.events],
        description=body.description,
        status=body.status,
        secret=body.secret,
    )
    webhook, _ = await steps.add(door, courier, command, format=MLFLOW, unsigned=True)
    return {"webhook": wire.webhook_message(webhook)}


@router.get("")
async def list_all(
    here: Reading, max_results: wire.Limit = wire.PAGE, page_token: Text = ""
) -> dict[str, Any]:
    page = PageRequest(max_results, page_token or None)
    found = await webhooks.search(here.work, page, project_id=here.project_id, format=MLFLOW)
    messages = [wire.webhook_message(webhook) for webhook in found.items]
    return paged({"webhooks": messages}, found.next_cursor)


@router.get("/{webhook_id}")
async def get(here: Reading, webhook_id: str) -> dict[str, Any]:
    id = _known(webhook_id)
    await webhooks.check_place(here.work, id, here.project_id, MLFLOW)
    return {"webhook": wire.webhook_message(await webhooks.get(here.work, id))}


@router.patch("/{webhook_id}")
async def update(
    door: Stepping, courier: TheCourier, webhook_id: str, body: wire.UpdateWebhook
) -> dict[str, Any]:
    id = await _here(door, webhook_id)
    secret = body.secret.get_secret_value() if body.secret else None
    webhook = await steps.change(door, courier, id, body.change(), secret)
    return {"webhook": wire.webhook_message(webhook)}


@router.delete("/{webhook_id}")
async def delete(here: Writing, webhook_id: str) -> dict[str, Any]:
    id = _known(webhook_id)
    await webhooks.check_place(here.work, id, here.project_id, MLFLOW)
    await webhooks.delete(here.work, id)
    return {}


@router.post("/{webhook_id}/test")
async def test(
    door: Stepping, courier: TheCourier, webhook_id: str, body: wire.TestWebhook
) -> dict[str, Any]:
    id = await _here(door, webhook_id)
    event = body.event.name if body.event else None
    _, outcome = await steps.test(door, courier, id, event)
    result: dict[str, Any] = {"success": outcome.error is None}
    if outcome.status is not None:
        result["response_status"] = outcome.status
    if outcome.error is not None:
        result["error_message"] = outcome.error
    return {"result": result}


async def _here(door: Steps, webhook_id: str) -> UUID:
    id = _known(webhook_id)
    async with door.reading() as work:
        project = await named(work, door.named)
        await webhooks.check_place(work, id, project.id, MLFLOW)
    return id


def _known(webhook_id: str) -> UUID:
    id = as_id(webhook_id)
    if id is None:
        raise WebhookNotFound
    return id
