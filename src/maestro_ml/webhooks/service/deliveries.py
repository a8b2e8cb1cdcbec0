"""The log of what was delivered, or was not: to read, to repeat, and to try."""

from uuid import UUID

from sqlalchemy import select

from maestro_ml.audit.service import record
from maestro_ml.core.access import Permission
from maestro_ml.core.ids import new_id
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.paging import page_of
from maestro_ml.db.work import SystemWork, Work
from maestro_ml.jobs.service import enqueue_internal
from maestro_ml.projects import service as projects
from maestro_ml.webhooks import policy
from maestro_ml.webhooks.catalogue import EVENTS
from maestro_ml.webhooks.courier import Outcome, Parcel, sealed_keys
from maestro_ml.webhooks.errors import (
    DeliveryNotFound,
    DeliveryUnfinished,
    WebhookDisabled,
    WebhookInvalid,
    one_of,
)
from maestro_ml.webhooks.models import DeliveryState, WebhookDelivery, WebhookStatus
from maestro_ml.webhooks.service import webhooks
from maestro_ml.webhooks.signing import Told, payload_of

DELIVER = "webhooks.deliver"
# 5 s, 10 s, 20 s and so on, at most an hour apart: for about five and a half hours.
ATTEMPTS = 15


async def search(
    work: Work, webhook_id: UUID, request: PageRequest, *, state: DeliveryState | None = None
) -> Page[WebhookDelivery]:
    """A page of what a webhook was told, the newest first.

    Raises:
        WebhookNotFound: there is no such webhook, or not in the caller's sight.
        Invalid: the cursor is not one of this list.
    """
    webhook = await webhooks.get(work, webhook_id)
    work.require(webhooks.reading(webhook.project_id), webhook.project_id)
    query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
    if state is not None:
        query = query.where(WebhookDelivery.state == state)
    return await page_of(work.session, query, WebhookDelivery, request)


async def replay(work: Work, webhook_id: UUID, id: UUID) -> WebhookDelivery:
    """Send an event once more: another delivery, of the same event.

    Raises:
        WebhookNotFound, DeliveryNotFound: there is none, or not in the caller's sight.
        WebhookDisabled: nothing is sent to it.
        DeliveryUnfinished: it is still tried.
    """
    webhook = await webhooks.hold(work, webhook_id)
    work.require(webhooks.writing(webhook.project_id), webhook.project_id)
    before = await work.session.get(WebhookDelivery, id)
    if before is None or before.webhook_id != webhook_id:
        raise DeliveryNotFound
    if webhook.status is not WebhookStatus.ACTIVE:
        raise WebhookDisabled
    if before.state is DeliveryState.WAITING:
        raise DeliveryUnfinished
    again = WebhookDelivery(
        webhook_id=webhook_id,
        project_id=webhook.project_id,
        event_id=before.event_id,
        event=before.event,
        payload=before.payload,
        replay_of=id,
        created_at=work.now,
    )
    await post(work, work.tenant_id, again)
    record(work, "webhook.replayed", "webhook", webhook_id, event_id=str(before.event_id))
    return again


async def example(work: Work, webhook_id: UUID, event: str | None) -> Parcel:
    """What a test of a webhook sends: an example of one of its events.

    Raises:
        WebhookNotFound: there is none, or not in the caller's sight.
        WebhookInvalid: it does not hear the event.
    """
    webhook = await webhooks.get(work, webhook_id)
    work.require(webhooks.writing(webhook.project_id), webhook.project_id)
    if event is not None and not policy.may_try(webhook.events, webhook.format, event):
        raise WebhookInvalid("event", why=f"It hears {one_of(webhook.events)}, not {event!r}.")
    kind = EVENTS[event or webhook.events[0]]
    place = webhook.project_id
    told = Told(
        id=new_id(),
        event=kind,
        at=work.now,
        tenant_id=work.tenant_id,
        project_id=place,
        workspace=(await projects.get(work, place)).slug if place else None,
        data=kind.example(),
    )
    return Parcel(
        delivery_id=new_id(),
        webhook_id=webhook_id,
        url=webhook.url,
        event=kind.name,
        event_id=told.id,
        payload=payload_of(told, webhook.format, test=True),
        format=webhook.format,
        sealed=sealed_keys(webhook, work.now),
    )


async def log_test(work: Work, parcel: Parcel, outcome: Outcome) -> None:
    """Keep how a test went."""
    webhook = await webhooks.get(work, parcel.webhook_id)
    work.require(webhooks.writing(webhook.project_id), webhook.project_id)
    work.session.add(
        WebhookDelivery(
            id=parcel.delivery_id,
            webhook_id=webhook.id,
            project_id=webhook.project_id,
            event_id=parcel.event_id,
            event=parcel.event,
            payload=dict(parcel.payload),
            state=DeliveryState.DEAD if outcome.error else DeliveryState.DELIVERED,
            attempts=1,
            last_status=outcome.status,
            error=outcome.error,
            duration_ms=outcome.duration_ms,
            created_at=work.now,
            ended_at=work.now,
        )
    )
    await work.session.flush()
    record(work, "webhook.tested", "webhook", webhook.id, works=outcome.error is None)


async def post(work: Work | SystemWork, tenant_id: UUID, delivery: WebhookDelivery) -> None:
    """Queue one, in the transaction of what it tells of."""
    if isinstance(work, Work):
        work.require(Permission.TENANT_READ)
    delivery.tenant_id = tenant_id
    delivery.next_attempt_at = work.now
    work.session.add(delivery)
    payload = {"delivery_id": str(delivery.id)}
    await enqueue_internal(work, DELIVER, payload, max_attempts=ATTEMPTS, tenant_id=tenant_id)
