"""What takes the network, step by step: an address is looked up, and a test sent, outside of any
unit of work."""

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol
from uuid import UUID

from pydantic import MISSING

from maestro_ml.db.work import Work
from maestro_ml.webhooks.courier import Courier, Outcome, Parcel
from maestro_ml.webhooks.models import Webhook
from maestro_ml.webhooks.schemas import WebhookChange, WebhookCreate
from maestro_ml.webhooks.service import deliveries, webhooks


class Door(Protocol):
    """A caller's way to units of work; before a later one they are asked for anew."""

    def reading(self) -> AbstractAsyncContextManager[Work]: ...

    def writing(self) -> AbstractAsyncContextManager[Work]: ...


async def add(
    door: Door, courier: Courier, command: WebhookCreate, **how: Any
) -> tuple[Webhook, str | None]:
    """Have an address told.

    Raises:
        AddressRefused: the server does not call such an address.
        ProjectNotFound, Forbidden, WebhookInvalid, TooManyWebhooks: as `webhooks.create`.
    """
    async with door.reading() as work:
        await webhooks.may_create(work, command.project_id)
    await courier.check(command.url)
    async with door.writing() as work:
        return await webhooks.create(work, command, courier.seal, **how)


async def change(
    door: Door, courier: Courier, id: UUID, command: WebhookChange | None, secret: str | None = None
) -> Webhook:
    """Change what is sent, and sign with another secret if one is sent.

    Raises:
        AddressRefused: the server does not call such an address.
        WebhookNotFound, WebhookInvalid: as `webhooks.change`.
    """
    async with door.reading() as work:
        webhook = await webhooks.may_change(work, id)
    if command is not None and command.url is not MISSING:
        await courier.check(command.url)
    async with door.writing() as work:
        if command is not None:
            webhook = await webhooks.change(work, id, command)
        if secret is not None:
            webhook, _ = await webhooks.rotate_secret(work, id, secret, courier.seal)
    return webhook


async def test(door: Door, courier: Courier, id: UUID, event: str | None) -> tuple[Parcel, Outcome]:
    """Send an example now, once, and say how it went.

    Raises:
        WebhookNotFound: there is none, or not in the caller's sight.
        WebhookInvalid: it does not hear the event.
    """
    async with door.reading() as work:
        parcel = await deliveries.example(work, id, event)
    outcome = await courier.send(parcel)
    async with door.writing() as work:
        await deliveries.log_test(work, parcel, outcome)
    return parcel, outcome
