"""From an event to a receiver: signed, tried again, given up, and told once more."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from maestro_ml.audit.models import AuditEvent
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import open_work
from maestro_ml.jobs.models import Job
from maestro_ml.jobs.service import enqueue_internal, publish
from maestro_ml.webhooks import policy
from maestro_ml.webhooks.errors import DeliveryNotFound, DeliveryUnfinished, WebhookDisabled
from maestro_ml.webhooks.models import DeliveryState, WebhookFormat, WebhookStatus
from maestro_ml.webhooks.schemas import WebhookChange
from maestro_ml.webhooks.service import deliveries, webhooks
from support.hooks import SECRET, Hooks, Receiver, a_webhook
from support.leaks import secret
from support.world import ACME, LAB, caller

ANOTHER = secret("wh-c08e4b6d19f572")


async def test_a_receiver_is_told_what_happened_and_by_whom(
    hooks: Hooks, receiver: Receiver
) -> None:
    id = await hooks.add(a_webhook(receiver.url))
    await hooks.run_finished(secret_of_the_house="never")
    assert await hooks.work_off() == 1
    (got,) = receiver.got
    (delivery,) = await hooks.log(id)
    assert got.json == {
        "id": str(delivery.event_id),
        "event": "run.finished",
        "occurred_at": delivery.created_at.isoformat(),
        "tenant_id": str(ACME),
        "project_id": str(LAB),
        "data": {"experiment_id": "e", "run_id": "r", "name": "n", "status": "FINISHED"},
    }
    assert got.headers["X-Maestro-Event"] == "run.finished"
    assert got.headers["X-Maestro-Event-Id"] == str(delivery.event_id)
    assert got.headers["X-Maestro-Delivery-Id"] == str(delivery.id)
    assert got.headers["Content-Type"] == "application/json"
    assert got.is_signed_by(SECRET)
    assert not got.is_signed_by(ANOTHER)
    assert got.signatures()[0] == str(int(hooks.clock().timestamp()))
    assert set(got.signatures()[1]) == {(await hooks.webhook(id)).key_id}
    assert (delivery.state, delivery.attempts, delivery.last_status) == ("delivered", 1, 200)
    assert delivery.error is None
    assert delivery.next_attempt_at is None


async def test_what_did_not_happen_is_not_told(hooks: Hooks, receiver: Receiver) -> None:
    await hooks.add(a_webhook(receiver.url))
    with pytest.raises(KeyError):
        async with open_work(hooks.sessions, caller()) as work:
            await publish(work, "run.finished", project_id=str(LAB))
            raise KeyError
    assert await hooks.work_off() == 0
    assert await hooks.log() == []


async def test_a_receiver_that_fails_is_tried_again_and_later(
    hooks: Hooks, receiver: Receiver
) -> None:
    id = await hooks.add(a_webhook(receiver.url))
    receiver.status = 500
    await hooks.run_finished()
    assert await hooks.work_off() == 1
    (delivery,) = await hooks.log()
    assert (delivery.state, delivery.attempts, delivery.last_status) == ("waiting", 1, 500)
    assert delivery.error == "The receiver answered 500."
    assert delivery.next_attempt_at is not None
    wait = delivery.next_attempt_at - hooks.clock()
    assert timedelta(seconds=5) <= wait <= timedelta(seconds=6.25)
    assert await hooks.work_off() == 0
    assert (await hooks.webhook(id)).failures == 1
    receiver.status = 204
    hooks.clock.move(seconds=7)
    assert await hooks.work_off() == 1
    (delivery,) = await hooks.log()
    assert (delivery.state, delivery.attempts, delivery.error) == ("delivered", 2, None)
    webhook = await hooks.webhook(id)
    assert (webhook.failures, webhook.failing_since) == (0, None)
    first, second = receiver.got
    assert first.body == second.body
    ids = {got.headers["X-Maestro-Delivery-Id"] for got in receiver.got}
    assert ids == {str(delivery.id)}
    assert second.is_signed_by(SECRET)  # anew: the time is signed as well
    assert first.signatures() != second.signatures()


async def test_after_the_last_attempt_a_delivery_is_dead_and_can_be_told_once_more(
    hooks: Hooks, receiver: Receiver
) -> None:
    id = await hooks.add(a_webhook(receiver.url))
    receiver.status = 503
    await hooks.run_finished()
    attempts = 0
    while done := await hooks.work_off():
        attempts += done
        hooks.clock.move(hours=2)
    assert attempts == deliveries.ATTEMPTS == len(receiver.got)
    (dead,) = await hooks.log()
    assert (dead.state, dead.attempts, dead.next_attempt_at) == ("dead", attempts, None)
    receiver.status = 200
    async with open_work(hooks.sessions, caller(), clock=hooks.clock) as work:
        again = await deliveries.replay(work, id, dead.id)
    assert (again.event_id, again.payload, again.replay_of) == (
        dead.event_id,
        dead.payload,
        dead.id,
    )
    await hooks.work_off()
    assert [d.state for d in await hooks.log()] == ["dead", "delivered"]
    assert receiver.got[-1].body == receiver.got[0].body
    assert receiver.got[-1].headers["X-Maestro-Event-Id"] == str(dead.event_id)


async def test_what_is_still_tried_or_not_there_is_not_replayed(
    hooks: Hooks, receiver: Receiver
) -> None:
    id = await hooks.add(a_webhook(receiver.url))
    other = await hooks.add(a_webhook(receiver.url, events=["project.changed"]))
    await hooks.run_finished()
    (waiting,) = await hooks.log()
    async with open_work(hooks.sessions, caller(), clock=hooks.clock) as work:
        with pytest.raises(DeliveryUnfinished):
            await deliveries.replay(work, id, waiting.id)
        with pytest.raises(DeliveryNotFound):
            await deliveries.replay(work, other, waiting.id)


async def test_a_webhook_that_fails_for_days_is_disabled_and_says_so(
    hooks: Hooks, receiver: Receiver
) -> None:
    id = await hooks.add(a_webhook(receiver.url))
    receiver.status = 500
    for _ in range(policy.LEAST_FAILURES - 1):
        await hooks.run_finished()
        await hooks.work_off()
    hooks.clock.move(days=3)
    assert (await hooks.webhook(id)).status is WebhookStatus.ACTIVE
    await hooks.work_off()
    webhook = await hooks.webhook(id)
    assert webhook.status is WebhookStatus.DISABLED
    assert webhook.disabled_reason is not None
    assert webhook.disabled_reason.startswith("It failed 20 times in a row, since ")
    tried = len(receiver.got)
    await hooks.run_finished()
    hooks.clock.move(hours=1)
    await hooks.work_off()
    assert len(receiver.got) == tried
    log = await hooks.log()
    assert {d.state for d in log} == {DeliveryState.DEAD}
    assert "The webhook was disabled before it was delivered." in {d.error for d in log}
    async with hooks.sessions.begin(SYSTEM, read_only=True) as session:
        query = select(AuditEvent).where(AuditEvent.action == "webhook.disabled")
        (event,) = await session.scalars(query)
    assert (event.target_id, event.facts) == (str(id), {"reason": webhook.disabled_reason})
    async with open_work(hooks.sessions, caller(), clock=hooks.clock) as work:
        with pytest.raises(WebhookDisabled):
            await deliveries.replay(work, id, log[0].id)
    async with open_work(hooks.sessions, caller(), clock=hooks.clock) as work:
        enabled = await webhooks.change(work, id, WebhookChange(status=WebhookStatus.ACTIVE))
        assert (enabled.failures, enabled.failing_since, enabled.disabled_reason) == (0, None, None)


async def test_many_failures_in_an_hour_disable_nothing(hooks: Hooks, receiver: Receiver) -> None:
    id = await hooks.add(a_webhook(receiver.url))
    receiver.status = 500
    for _ in range(policy.LEAST_FAILURES + 5):
        await hooks.run_finished()
        await hooks.work_off()
        hooks.clock.move(minutes=1)
    webhook = await hooks.webhook(id)
    assert webhook.status is WebhookStatus.ACTIVE
    assert webhook.failures >= policy.LEAST_FAILURES


async def test_one_that_is_too_far_behind_is_disabled(
    hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = await hooks.add(a_webhook())
    monkeypatch.setattr(policy, "MOST_WAITING", 3)
    for _ in range(5):
        await hooks.run_finished()
    assert len(await hooks.log()) == 3
    webhook = await hooks.webhook(id)
    assert (webhook.status, webhook.disabled_reason) == ("disabled", policy.OVERFULL)


async def test_for_a_day_both_secrets_sign(hooks: Hooks, receiver: Receiver) -> None:
    id = await hooks.add(a_webhook(receiver.url))
    async with open_work(hooks.sessions, caller(), clock=hooks.clock) as work:
        _, made = await webhooks.rotate_secret(work, id, ANOTHER, hooks.courier.seal)
    assert made is None
    await hooks.run_finished()
    await hooks.work_off()
    assert receiver.got[0].is_signed_by(SECRET)
    assert receiver.got[0].is_signed_by(ANOTHER)
    webhook = await hooks.webhook(id)
    keys = [webhook.key_id, webhook.previous_key_id]
    assert list(receiver.got[0].signatures()[1]) == keys
    hooks.clock.move(hours=24, seconds=1)
    await hooks.run_finished()
    await hooks.work_off()
    assert not receiver.got[1].is_signed_by(SECRET)
    assert receiver.got[1].is_signed_by(ANOTHER)


async def test_secrets_are_sealed_and_those_that_were_replaced_are_forgotten(hooks: Hooks) -> None:
    id = await hooks.add(a_webhook())
    async with open_work(hooks.sessions, caller(), clock=hooks.clock) as work:
        _, made = await webhooks.rotate_secret(work, id, None, hooks.courier.seal)
    assert made is not None
    assert made.startswith("mlw_")
    webhook = await hooks.webhook(id)
    for sealed in (webhook.secret_sealed, webhook.previous_secret_sealed):
        assert sealed is not None
        assert SECRET.encode() not in sealed
        assert made.encode() not in sealed
    hooks.clock.move(hours=25)
    await prune(hooks)
    assert (await hooks.webhook(id)).previous_secret_sealed is None


async def test_another_webhooks_secret_opens_nothing(hooks: Hooks, receiver: Receiver) -> None:
    """A row that somebody has put another's secret into is not signed with it."""
    first = await hooks.add(a_webhook(receiver.url))
    second = await hooks.add(a_webhook(receiver.url, secret=ANOTHER))
    stolen = (await hooks.webhook(second)).secret_sealed
    async with hooks.sessions.begin(SYSTEM) as session:
        (await session.get_one(type(await hooks.webhook(first)), first)).secret_sealed = stolen
    await hooks.run_finished()
    await hooks.work_off()
    (delivery,) = await hooks.log(first)
    assert delivery.error is not None
    assert "another secret key" in delivery.error
    assert [got.is_signed_by(ANOTHER) for got in receiver.got] == [True]  # the second's own


async def test_after_thirty_days_a_delivery_is_forgotten(hooks: Hooks, receiver: Receiver) -> None:
    await hooks.add(a_webhook(receiver.url))
    await hooks.run_finished()
    await hooks.work_off()
    hooks.clock.move(days=20)
    await hooks.run_finished()
    hooks.clock.move(days=11)
    await prune(hooks)
    (left,) = await hooks.log()
    assert left.state is DeliveryState.DEAD  # nobody had taken it for a week
    assert left.error == "The worker that had it ended without a word."


async def test_a_webhook_in_mlflows_format_is_told_as_mlflow_tells(
    hooks: Hooks, receiver: Receiver
) -> None:
    wanted = a_webhook(receiver.url, events=["model-version-alias.created"])
    await hooks.add(wanted, format=WebhookFormat.MLFLOW)
    facts = {"project_id": str(LAB), "name": "churn", "alias": "production", "version": "3"}
    await hooks.publish("model-version-alias.created", **facts)
    await hooks.work_off()
    (got,) = receiver.got
    assert got.json == {
        "entity": "model_version_alias",
        "action": "created",
        "timestamp": hooks.clock().isoformat(),
        "data": {"name": "churn", "alias": "production", "version": "3"},
        "workspace": "lab",
    }
    (delivery,) = await hooks.log()
    assert got.headers["X-MLflow-Delivery-Id"] == str(delivery.id)
    assert got.headers["X-MLflow-Signature"] == got.mlflow_signature(SECRET)
    assert got.is_signed_by(SECRET)


async def test_without_a_secret_nothing_is_signed(hooks: Hooks, receiver: Receiver) -> None:
    unsigned = a_webhook(receiver.url, secret=None, events=["registered-model.created"])
    await hooks.add(unsigned, format=WebhookFormat.MLFLOW, unsigned=True)
    await hooks.publish("registered-model.created", project_id=str(LAB), name="m", tags={})
    await hooks.work_off()
    assert not {name for name in receiver.got[0].headers if "Signature" in name}


async def test_jobs_that_deliver_are_nobodys_to_see(hooks: Hooks, receiver: Receiver) -> None:
    await hooks.add(a_webhook(receiver.url))
    await hooks.run_finished()
    async with hooks.sessions.begin(SYSTEM, read_only=True) as session:
        (job,) = await session.scalars(select(Job))
    assert (job.kind, job.tenant_id, job.max_attempts) == ("webhooks.deliver", ACME, 15)


async def prune(hooks: Hooks) -> None:
    async with open_work(hooks.sessions, caller(), clock=hooks.clock) as work:
        await enqueue_internal(work, "webhooks.prune", {}, max_attempts=1)
    async with hooks.sessions.begin(SYSTEM) as session:
        for job in await session.scalars(select(Job).where(Job.kind == "webhooks.deliver")):
            await session.delete(job)
    await hooks.work_off()
