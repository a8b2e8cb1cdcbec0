"""A person's own sessions and tenants, as they see them."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from maestro_ml.core.schemas import Command, Slug, View
from maestro_ml.identity.models import SessionKind


class SessionView(View):
    id: UUID
    device: str = Field(description="In words, by what its program said of itself.")
    ip: str | None = Field(description="The address that it signed in from.")
    kind: SessionKind
    amr: list[str] = Field(description="How its person proved themselves (RFC 8176).")
    created_at: datetime
    last_seen_at: datetime = Field(description="To the minute.")
    expires_at: datetime = Field(description="At the latest; unused, it ends sooner.")
    current: bool = Field(description="The one that asks.")


class Switch(Command):
    tenant: Slug = Field(description="Slug of a tenant that you are a member of.")
