"""Deliveries: read in one short unit of work, sent outside of any, recorded in another."""

from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import update

from maestro_ml.audit.service import record
from maestro_ml.db import pruning
from maestro_ml.db.work import Work
from maestro_ml.jobs.context import JobContext
from maestro_ml.webhooks import policy
from maestro_ml.webhooks.courier import Courier, Outcome, Parcel, sealed_keys
from maestro_ml.webhooks.errors import DeliveryFailed
from maestro_ml.webhooks.models import (
    DeliveryState,
    Webhook,
    WebhookDelivery,
    WebhookStatus,
)

log = structlog.get_logger()
KEPT = timedelta(days=30)
LOST = timedelta(days=7)  # longer than any delivery is tried, or waits for those before it
_DISABLED = "The webhook was disabled before it was delivered."
_LOST = "The worker that had it ended without a word."


async def deliver(job: JobContext, *, courier: Courier | None = None) -> None:
    """Tell one webhook of one event. It may be told twice, under one id, if a worker dies."""
    if courier is None:
        raise RuntimeError("a worker that delivers is given a courier")
    id = UUID(job.payload["delivery_id"])
    async with job.open_work(read_only=True) as work:
        parcel = await _parcel(work, id)
    if parcel is None:
        async with job.open_work() as work:
            await _give_up(work, id)
        return
    outcome = await courier.send(parcel)
    again = job.again_at() if outcome.error else None
    async with job.open_work() as work:
        await _note(work, id, outcome, again)
    if outcome.error:
        raise DeliveryFailed(outcome.error)


async def prune(job: JobContext) -> None:
    """Forget deliveries that are older than 30 days, and secrets that were replaced."""
    now = job.clock()
    count = await pruning.prune(
        job.open_system_work, WebhookDelivery, WebhookDelivery.created_at < now - KEPT
    )
    quiet = {"synchronize_session": False}
    async with job.open_system_work() as work:
        await work.session.execute(
            update(WebhookDelivery)
            .where(
                WebhookDelivery.created_at < now - LOST,
                WebhookDelivery.state == DeliveryState.WAITING,
            )
            .values(state=DeliveryState.DEAD, error=_LOST, ended_at=now, next_attempt_at=None)
            .execution_options(**quiet)
        )
        await work.session.execute(
            update(Webhook)
            .where(Webhook.previous_key_until < now)
            .values(previous_key_id=None, previous_secret_sealed=None, previous_key_until=None)
            .execution_options(**quiet)
        )
    log.info("webhooks.pruned", count=count)  # not in the result, which one tenant can read


async def _parcel(work: Work, id: UUID) -> Parcel | None:
    """What there is to send. None: it was delivered, given up, or its webhook is gone."""
    delivery = await work.session.get(WebhookDelivery, id)
    if delivery is None or delivery.state is not DeliveryState.WAITING:
        return None
    webhook = await work.session.get(Webhook, delivery.webhook_id)
    if webhook is None or webhook.status is not WebhookStatus.ACTIVE:
        return None
    return Parcel(
        delivery_id=id,
        webhook_id=webhook.id,
        url=webhook.url,
        event=delivery.event,
        event_id=delivery.event_id,
        payload=delivery.payload,
        format=webhook.format,
        sealed=sealed_keys(webhook, work.now),
    )


async def _give_up(work: Work, id: UUID) -> None:
    """One that waits for a webhook that is disabled is not tried any more."""
    delivery = await work.session.get(WebhookDelivery, id)
    if delivery is not None and delivery.state is DeliveryState.WAITING:
        delivery.state, delivery.error = DeliveryState.DEAD, _DISABLED
        delivery.ended_at, delivery.next_attempt_at = work.now, None
        await work.session.flush()


async def _note(work: Work, id: UUID, outcome: Outcome, again: datetime | None) -> None:
    delivery = await work.session.get(WebhookDelivery, id)
    if delivery is None or delivery.state is not DeliveryState.WAITING:
        return
    delivery.attempts += 1
    delivery.last_status, delivery.error = outcome.status, outcome.error
    delivery.duration_ms, delivery.next_attempt_at = outcome.duration_ms, again
    if again is None:
        delivery.state = DeliveryState.DEAD if outcome.error else DeliveryState.DELIVERED
        delivery.ended_at = work.now
    webhook = await work.session.get_one(Webhook, delivery.webhook_id)
    if outcome.error or webhook.failures:
        webhook = await work.session.get_one(
            Webhook, webhook.id, with_for_update={"key_share": True}, populate_existing=True
        )
        _count(work, webhook, outcome)
    await work.session.flush()


def _count(work: Work, webhook: Webhook, outcome: Outcome) -> None:
    """A webhook that nobody has answered for days is not called any more."""
    if not outcome.error:
        webhook.failures, webhook.failing_since = 0, None
        return
    webhook.failures += 1
    since = webhook.failing_since = webhook.failing_since or work.now
    if webhook.status is WebhookStatus.ACTIVE and policy.has_failed(
        webhook.failures, since, work.now
    ):
        why = policy.FAILED.format(failures=webhook.failures, since=since)
        webhook.status, webhook.disabled_reason = WebhookStatus.DISABLED, why
        record(work, "webhook.disabled", "webhook", webhook.id, reason=why)
