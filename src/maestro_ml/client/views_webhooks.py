"""What a server answers about webhooks."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from maestro_ml.client.views import Answer


class Webhook(Answer):
    """An address that is told of events. Without a project it is the tenant's. `secret` is there
    once, and only if the server made it."""

    id: UUID
    project_id: UUID | None = None
    name: str
    url: str = Field(repr=False)  # the path of some is as good as a password
    description: str = ""
    events: list[str]
    filters: dict[str, dict[str, list[str]]] = {}
    format: str = "maestro"
    status: str
    disabled_reason: str | None = None
    key_id: str | None = None
    previous_key_id: str | None = None
    previous_key_until: datetime | None = None
    failures: int = 0
    failing_since: datetime | None = None
    created_by: UUID | None = None
    created_at: datetime
    updated_at: datetime | None = None
    secret: str | None = Field(default=None, repr=False)


class Delivery(Answer):
    """One event for one webhook. A replay is another delivery of the same event."""

    id: UUID
    webhook_id: UUID
    event_id: UUID
    event: str
    payload: dict[str, Any] = {}
    state: str
    attempts: int = 0
    last_status: int | None = None
    error: str | None = None
    duration_ms: int | None = None
    next_attempt_at: datetime | None = None
    replay_of: UUID | None = None
    created_at: datetime
    ended_at: datetime | None = None


class WebhookTest(Answer):
    """How an example went that was sent just now."""

    works: bool
    status: int | None = None
    error: str | None = None
    duration_ms: int = 0
    delivery_id: UUID
