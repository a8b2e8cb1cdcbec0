"""What is sent, and how its receiver can tell that it came from here.

    X-Maestro-Signature: t=1764304800,kid=9f8e7d6c,v1=<hex>[,kid=1a2b3c4d,v1=<hex>]

`v1` is HMAC-SHA256 over `<t>.<body>`, once with each secret that is good. A webhook in MLflow's
format has MLflow's headers as well, with the newest secret.
"""

import base64
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from maestro_ml.webhooks.catalogue import Event
from maestro_ml.webhooks.models import WebhookFormat


@dataclass(frozen=True, slots=True)
class Key:
    """A secret, and what it is called in signatures."""

    id: str
    secret: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event that has happened, once for all who hear it."""

    id: UUID
    event: Event
    at: datetime
    tenant_id: UUID
    project_id: UUID | None
    workspace: str | None  # the project's slug
    data: Mapping[str, Any]


def payload_of(told: Told, format: WebhookFormat, *, test: bool = False) -> dict[str, Any]:
    """What is sent of it."""
    if format is WebhookFormat.MLFLOW:
        entity, _, action = told.event.name.partition(".")
        return {
            "entity": entity.replace("-", "_"),
            "action": action,
            "timestamp": told.at.isoformat(),
            "data": dict(told.data),
            "workspace": told.workspace,
        }
    payload = {
        "id": str(told.id),
        "event": told.event.name,
        "occurred_at": told.at.isoformat(),
        "tenant_id": str(told.tenant_id),
        "project_id": told.project_id and str(told.project_id),
        "data": dict(told.data),
    }
    return payload | {"test": True} if test else payload


def body_of(payload: Mapping[str, Any]) -> bytes:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def headers_of(
    *,
    event: str,
    event_id: UUID,
    delivery_id: UUID,
    at: datetime,
    body: bytes,
    keys: Sequence[Key],
    format: WebhookFormat,
) -> dict[str, str]:
    """The headers of one attempt; `keys`: the newest first."""
    stamp = str(int(at.timestamp()))
    headers = {
        "X-Maestro-Event": event,
        "X-Maestro-Event-Id": str(event_id),
        "X-Maestro-Delivery-Id": str(delivery_id),
    }
    if keys:
        parts = [f"kid={key.id},v1={_mac(key, stamp, body).hex()}" for key in keys]
        headers["X-Maestro-Signature"] = ",".join([f"t={stamp}", *parts])
    if format is WebhookFormat.MLFLOW:
        headers["X-MLflow-Delivery-Id"] = str(delivery_id)
        headers["X-MLflow-Timestamp"] = stamp
        if keys:
            signed = base64.b64encode(_mac(keys[0], f"{delivery_id}.{stamp}", body)).decode()
            headers["X-MLflow-Signature"] = f"v1,{signed}"
    return headers


def _mac(key: Key, before: str, body: bytes) -> bytes:
    return hmac.digest(key.secret, before.encode() + b"." + body, sha256)
