"""How events are shown, asked for, and said to be sound."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field

from maestro_ml.core.access import ActorKind
from maestro_ml.core.schemas import View


def _in_range(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_range)]


class ExportFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What events are asked for. An `action` that ends with `.*` is every action before it."""

    actor_id: UUID | None = None
    action: str | None = None
    target_type: str | None = None
    target_id: str | None = None
    api_key_id: UUID | None = None
    request_id: str | None = None
    ip: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def facts(self) -> dict[str, str]:
        """What was asked for, as an event's facts."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return {
            name: value.isoformat() if isinstance(value, datetime) else str(value)
            for name, value in given.items()
        }


class AuditEventView(View):
    id: UUID
    created_at: datetime
    action: str
    actor_id: UUID | None = Field(description="Null: nobody whom the server knew.")
    actor_kind: ActorKind
    actor_name: str | None = Field(description="As it is now; `deleted account` when it is gone.")
    actor_email: str | None = Field(
        description="A person's, as it is now. People name themselves as they like, and an address "
        "belongs to one account only."
    )
    target_type: str
    target_id: str | None
    facts: dict[str, Any]
    api_key_id: UUID | None = Field(description="The key they used, if it was one.")
    ip: str | None
    user_agent: str | None
    request_id: str | None


class Verified(View):
    """The last time that the trail was verified by request."""

    at: datetime
    sound: bool
    wrong: str | None = Field(description="What was found to be wrong first.")
    what: str | None = Field(description="The event, or the seal's number, that is wrong.")


class TrailView(View):
    """How far a tenant's trail is sealed."""

    seals: int
    sealed_events: int
    unsealed_events: int = Field(description="New ones are sealed within two minutes.")
    sealed_until: datetime | None
    sealed_at: datetime | None
    head_hash: str | None = Field(description="The newest seal's. It stands for all before it.")
    last_verification: Verified | None


class VerificationStarted(View):
    job_id: UUID = Field(description="Follow it at `/api/v1/jobs/{id}`.")
