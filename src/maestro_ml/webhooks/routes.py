"""`/api/v1/webhooks`."""

from uuid import UUID

from fastapi import APIRouter

from maestro_ml.core.paging import Page
from maestro_ml.core.schemas import PageView
from maestro_ml.http.deps import Paging, Reading, Writing
from maestro_ml.webhooks import steps
from maestro_ml.webhooks.deps import Stepping, TheCourier
from maestro_ml.webhooks.models import DeliveryState, Webhook, WebhookDelivery
from maestro_ml.webhooks.schemas import (
    DeliveryView,
    NewWebhook,
    TestView,
    WebhookChange,
    WebhookCreate,
    WebhookSecretChange,
    WebhookTest,
    WebhookView,
)
from maestro_ml.webhooks.service import deliveries, webhooks

router = APIRouter(prefix="/webhooks", tags=["webhooks"])


@router.post("", status_code=201, response_model=NewWebhook)
async def create_webhook(door: Stepping, courier: TheCourier, body: WebhookCreate) -> NewWebhook:
    """Have an address told of a project's events; for its maintainers. Without a project, of the
    tenant's: for admins. The secret is shown once, and only if the server made it."""
    return _new(*await steps.add(door, courier, body))


@router.get("", response_model=PageView[WebhookView])
async def list_webhooks(
    work: Reading, paging: Paging, project_id: UUID | None = None
) -> Page[Webhook]:
    """The webhooks of projects that you maintain, and of the tenant if you are an admin; or those
    of one project. The newest first."""
    return await webhooks.search(work, paging, project_id=project_id)


@router.get("/{id}", response_model=WebhookView)
async def read_webhook(work: Reading, id: UUID) -> Webhook:
    """Read one, and whether it works."""
    return await webhooks.get(work, id)


@router.patch("/{id}", response_model=WebhookView)
async def change_webhook(
    door: Stepping, courier: TheCourier, id: UUID, body: WebhookChange
) -> Webhook:
    """Change what is sent. Enabling one that the server disabled gives it another chance; what it
    missed is in its log, to be replayed."""
    return await steps.change(door, courier, id, body)


@router.delete("/{id}", status_code=204)
async def delete_webhook(work: Writing, id: UUID) -> None:
    """Tell it nothing more. Its log goes with it."""
    await webhooks.delete(work, id)


@router.post("/{id}/secret", response_model=NewWebhook)
async def rotate_webhook_secret(
    work: Writing, courier: TheCourier, id: UUID, body: WebhookSecretChange
) -> NewWebhook:
    """Sign with another secret. For 24 hours deliveries are signed with the one before as well,
    so that the receiver can change in between."""
    secret = body.secret.get_secret_value() if body.secret else None
    return _new(*await webhooks.rotate_secret(work, id, secret, courier.seal))


@router.post("/{id}/test", response_model=TestView)
async def test_webhook(
    door: Stepping, courier: TheCourier, id: UUID, body: WebhookTest
) -> TestView:
    """Send an example of an event now, once, and say how it went."""
    parcel, outcome = await steps.test(door, courier, id, body.event)
    return TestView(
        works=outcome.error is None,
        status=outcome.status,
        error=outcome.error,
        duration_ms=outcome.duration_ms,
        delivery_id=parcel.delivery_id,
    )


@router.get("/{id}/deliveries", response_model=PageView[DeliveryView])
async def list_webhook_deliveries(
    work: Reading, paging: Paging, id: UUID, state: DeliveryState | None = None
) -> Page[WebhookDelivery]:
    """What it was told in the last 30 days, and how that went. The newest first."""
    return await deliveries.search(work, id, paging, state=state)


@router.post("/{id}/deliveries/{delivery_id}/replay", status_code=201, response_model=DeliveryView)
async def replay_webhook_delivery(work: Writing, id: UUID, delivery_id: UUID) -> WebhookDelivery:
    """Send an event once more, under the id that it had."""
    return await deliveries.replay(work, id, delivery_id)


def _new(webhook: Webhook, secret: str | None) -> NewWebhook:
    return NewWebhook(**WebhookView.model_validate(webhook).model_dump(), secret=secret)
