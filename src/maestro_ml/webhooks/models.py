"""Whom the outside world is told through, and what was said to each."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from maestro_ml.db.base import Row, TenantOwned, same_tenant


class WebhookStatus(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"


class WebhookFormat(StrEnum):
    """What a receiver reads: our shape, or what MLflow's own server would have sent."""

    MAESTRO = "maestro"
    MLFLOW = "mlflow"


class DeliveryState(StrEnum):
    """`waiting` is also between two attempts; `dead`: no attempt is left."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


class Webhook(TenantOwned, Row, kw_only=True):
    """An address that is told of events: a project's, or without one the tenant's."""

    __tablename__ = "webhooks"
    __table_args__ = (same_tenant("project_id", "projects", ondelete="CASCADE"),)

    project_id: Mapped[UUID | None]
    name: Mapped[str]
    url: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    events: Mapped[list[str]]
    filters: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)
    format: Mapped[WebhookFormat] = mapped_column(default=WebhookFormat.MAESTRO)
    status: Mapped[WebhookStatus] = mapped_column(default=WebhookStatus.ACTIVE)
    disabled_reason: Mapped[str | None] = mapped_column(default=None)
    key_id: Mapped[str | None] = mapped_column(default=None)
    secret_sealed: Mapped[bytes | None] = mapped_column(default=None)
    previous_key_id: Mapped[str | None] = mapped_column(default=None)
    previous_secret_sealed: Mapped[bytes | None] = mapped_column(default=None)
    previous_key_until: Mapped[datetime | None] = mapped_column(default=None)
    failures: Mapped[int] = mapped_column(default=0)  # attempts since one went well
    failing_since: Mapped[datetime | None] = mapped_column(default=None)
    created_by: Mapped[UUID | None] = mapped_column(default=None)
    updated_at: Mapped[datetime]


class WebhookDelivery(TenantOwned, Row, kw_only=True):
    """One event for one webhook. A replay is another delivery of the same event."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "webhook_id"],
            ["webhooks.tenant_id", "webhooks.id"],
            ondelete="CASCADE",
        ),
        same_tenant("project_id", "projects", ondelete="CASCADE"),
        Index(None, "tenant_id", "webhook_id", "id"),
        Index(None, "webhook_id", "state"),
        Index(None, "created_at"),
    )

    webhook_id: Mapped[UUID]
    project_id: Mapped[UUID | None]  # the webhook's, so that both are seen by the same people
    event_id: Mapped[UUID]
    event: Mapped[str]
    payload: Mapped[dict[str, Any]]
    state: Mapped[DeliveryState] = mapped_column(default=DeliveryState.WAITING)
    attempts: Mapped[int] = mapped_column(default=0)
    last_status: Mapped[int | None] = mapped_column(default=None)
    error: Mapped[str | None] = mapped_column(default=None)
    duration_ms: Mapped[int | None] = mapped_column(default=None)
    next_attempt_at: Mapped[datetime | None] = mapped_column(default=None)
    replay_of: Mapped[UUID | None] = mapped_column(default=None)
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
