"""Mail on its way out of the house, or kept in it."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy.orm import Mapped, mapped_column

from maestro_ml.db.base import Row


class MailState(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    KEPT = "kept"  # there was no SMTP server: the outbox is where it is read
    FAILED = "failed"


class Mail(Row, kw_only=True):
    """One mail. Its text, and the sealed link that belongs into it, go when it has left."""

    __tablename__ = "outbox"

    kind: Mapped[str]
    recipient: Mapped[str]
    subject: Mapped[str]
    text: Mapped[str | None]
    link_sealed: Mapped[bytes | None] = mapped_column(default=None)
    state: Mapped[MailState] = mapped_column(default=MailState.WAITING)
    error: Mapped[str | None] = mapped_column(default=None)
    created_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
