"""How the outbox is shown."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from maestro_ml.core.schemas import View
from maestro_ml.mail.models import MailState


class MailView(View):
    id: UUID
    kind: str
    recipient: str
    subject: str
    state: MailState
    error: str | None = Field(description="Why it has not been sent.")
    created_at: datetime
    ended_at: datetime | None = Field(description="When it was sent, kept or given up.")


class MailText(MailView):
    text: str | None = Field(description="Null: it was sent, and nothing of it is kept.")
