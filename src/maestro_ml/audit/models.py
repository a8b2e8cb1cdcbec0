"""Who changed what, when, from where. Rows are only ever added."""

from typing import Any
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from maestro_ml.core.access import ActorKind
from maestro_ml.db.base import Row, TenantOwned


class AuditEvent(TenantOwned, Row, kw_only=True):
    __tablename__ = "audit_events"

    actor_id: Mapped[UUID | None]
    actor_kind: Mapped[ActorKind]
    action: Mapped[str]
    target_type: Mapped[str]
    target_id: Mapped[str | None]
    facts: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)
    api_key_id: Mapped[UUID | None] = mapped_column(default=None)
    ip: Mapped[str | None] = mapped_column(default=None)
    user_agent: Mapped[str | None] = mapped_column(default=None)
    request_id: Mapped[str | None] = mapped_column(default=None)
