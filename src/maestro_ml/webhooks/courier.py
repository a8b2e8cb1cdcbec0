"""Carries deliveries out of the house, and keeps the secrets that they are signed with."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from maestro_ml.core.clock import Clock, utc_now
from maestro_ml.core.errors import MaestroError
from maestro_ml.identity import tokens
from maestro_ml.identity.errors import SecretKeyRefused
from maestro_ml.identity.secret import Secret
from maestro_ml.outbound.client import Outbound
from maestro_ml.webhooks.models import Webhook, WebhookFormat
from maestro_ml.webhooks.signing import Key, body_of, headers_of

_UNREADABLE = "Its secret was sealed with another secret key of the server: give it a new one."


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One delivery, ready to be sent outside of any unit of work."""

    delivery_id: UUID
    webhook_id: UUID
    url: str
    event: str
    event_id: UUID
    payload: Mapping[str, Any]
    format: WebhookFormat
    sealed: tuple[tuple[str, bytes], ...]  # key id and secret, the newest first


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt went. No error: the receiver took it."""

    error: str | None
    status: int | None = None
    duration_ms: int = 0


class Courier:
    """Built once for a server or worker. `box`: the installation's secret, when it is there."""

    def __init__(
        self, outbound: Outbound, box: Callable[[], Secret], clock: Clock = utc_now
    ) -> None:
        self._outbound = outbound
        self._box = box
        self._clock = clock

    async def check(self, url: str) -> None:
        """Raises:
        AddressRefused: the server does not call such an address.
        """
        await self._outbound.check(url)

    def seal(self, webhook_id: UUID, secret: str) -> bytes:
        """A secret as it is kept."""
        return self._box().seal(secret.encode(), _name(webhook_id))

    async def send(self, parcel: Parcel) -> Outcome:
        """Try once. Whatever goes wrong is an outcome."""
        begun = time.monotonic()
        try:
            status = await self._send(parcel)
        except SecretKeyRefused:
            return Outcome(_UNREADABLE)
        except MaestroError as failed:
            return Outcome(failed.detail, None, _since(begun))
        return Outcome(_fault(status), status, _since(begun))

    async def _send(self, parcel: Parcel) -> int:
        box, name = self._box(), _name(parcel.webhook_id)
        keys = [Key(id, box.unseal(sealed, name)) for id, sealed in parcel.sealed]
        body = body_of(parcel.payload)
        headers = headers_of(
            event=parcel.event,
            event_id=parcel.event_id,
            delivery_id=parcel.delivery_id,
            at=self._clock(),
            body=body,
            keys=keys,
            format=parcel.format,
        )
        return (await self._outbound.post_json(parcel.url, body, headers)).status


def mint() -> tuple[str, str]:
    """What a new secret is called, and the secret."""
    return key_id(), tokens.mint(tokens.WEBHOOK)


def key_id() -> str:
    return secrets.token_hex(4)


def sealed_keys(webhook: Webhook, now: datetime) -> tuple[tuple[str, bytes], ...]:
    """The secrets that are good, the newest first."""
    found = [(webhook.key_id, webhook.secret_sealed)]
    until = webhook.previous_key_until
    if until is not None and until > now:
        found.append((webhook.previous_key_id, webhook.previous_secret_sealed))
    return tuple((id, sealed) for id, sealed in found if id is not None and sealed is not None)


def _name(webhook_id: UUID) -> str:
    """A secret opens under the name of its own webhook alone."""
    return f"webhook {webhook_id}"


def _fault(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"The receiver answered {status}. Redirects are not followed: enter where it is."
    return f"The receiver answered {status}."


def _since(begun: float) -> int:
    return int((time.monotonic() - begun) * 1000)
