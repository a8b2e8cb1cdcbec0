"""Who changed what, when, from where, and the seals over it. Rows are only ever added."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from maestro_ml.core.access import ActorKind
from maestro_ml.db.base import Row, TenantOwned


def _in_time(*columns: str) -> Index:
    """A filter's rows lie in the order in which they are shown."""
    return Index(None, "tenant_id", *columns, "created_at")


class AuditEvent(TenantOwned, Row, kw_only=True):
    __tablename__ = "audit_events"
    __table_args__ = (
        _in_time("actor_id"),
        _in_time("action"),
        _in_time("target_type"),
        _in_time("target_id"),
        _in_time("api_key_id"),
        _in_time("request_id"),
        _in_time("ip"),
    )

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


class AuditSeal(TenantOwned, Row, kw_only=True):
    """A link of a tenant's chain: the events it covers, each by id and digest, and the link before.

    `audit.chain` says what is hashed. One row is one seal, so there is no half of one.
    """

    __tablename__ = "audit_seals"
    __table_args__ = (UniqueConstraint("tenant_id", "number"),)

    number: Mapped[int]
    until: Mapped[datetime]  # what was committed by then, up to this time, is sealed
    n_events: Mapped[int]
    entries: Mapped[bytes]
    hash: Mapped[bytes]
    signature: Mapped[bytes]
