"""What is said about webhooks, and what is seen of them."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import MISSING, AfterValidator, Field, SecretStr

from maestro_ml.core.schemas import Change, Command, Name, Text, View
from maestro_ml.webhooks.catalogue import EVENTS, nearest
from maestro_ml.webhooks.models import DeliveryState, WebhookFormat, WebhookStatus

MOST_FILTERED = 50


def _known(event: str) -> str:
    if event not in EVENTS:
        meant = nearest(event, EVENTS)
        raise ValueError(
            f"there is no event {event!r}" + (f": do you mean {meant!r}?" if meant else "")
        )
    return event


def _each_once(events: list[str]) -> list[str]:
    return list(dict.fromkeys(events))


EventName = Annotated[Text, Field(max_length=100), AfterValidator(_known)]
Events = Annotated[
    list[EventName],
    Field(min_length=1, max_length=100, description="What it hears, such as `run.finished`."),
    AfterValidator(_each_once),
]
Wanted = Annotated[list[Annotated[Text, Field(max_length=500)]], Field(min_length=1, max_length=50)]
Filters = Annotated[
    dict[EventName, Annotated[dict[Text, Wanted], Field(min_length=1, max_length=10)]],
    Field(
        max_length=MOST_FILTERED,
        description="By event and field, the only values that are told of: "
        '`{"run.finished": {"status": ["FAILED"]}}`.',
    ),
]
Url = Annotated[
    Text,
    Field(
        min_length=8,
        max_length=2000,
        description="Where it is told: https, on the internet, port 443 or 8443, unless the "
        "operator allows more.",
    ),
]
Secret = Annotated[SecretStr, Field(min_length=8, max_length=500)]
Description = Annotated[Text, Field(max_length=1000)]


class WebhookCreate(Command):
    name: Name
    project_id: UUID | None = Field(
        None, description="The project whose events it hears. None: the tenant's. For admins."
    )
    url: Url
    events: Events
    filters: Filters = {}
    description: Description = ""
    status: WebhookStatus = WebhookStatus.ACTIVE
    secret: Secret | None = Field(
        None, description="What deliveries are signed with. None: one is made, and shown once."
    )


class WebhookChange(Change):
    """What is left out stays as it is."""

    name: Name | MISSING = MISSING
    url: Url | MISSING = MISSING
    events: Events | MISSING = MISSING
    filters: Filters | MISSING = MISSING
    description: Description | MISSING = MISSING
    status: WebhookStatus | MISSING = MISSING


class WebhookSecretChange(Command):
    secret: Secret | None = Field(None, description="None: one is made, and shown once.")


class WebhookTest(Command):
    event: EventName | None = Field(
        None, description="Which of the events the example is of. None: its first one."
    )


class WebhookView(View):
    id: UUID
    project_id: UUID | None
    name: str
    url: str
    description: str
    events: list[str]
    filters: dict[str, dict[str, list[str]]]
    format: WebhookFormat = Field(
        description="`maestro`, or `mlflow` if it was made by MLflow's calls."
    )
    status: WebhookStatus
    disabled_reason: str | None = Field(description="Why the server disabled it, if it did.")
    key_id: str | None = Field(description="Names the secret in signatures. None: unsigned.")
    previous_key_id: str | None = Field(description="Signs as well, while it is replaced.")
    previous_key_until: datetime | None
    failures: int = Field(description="Failed attempts since one went well.")
    failing_since: datetime | None
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime


class NewWebhook(WebhookView):
    secret: str | None = Field(description="Only here and only if it was made by the server.")


class DeliveryView(View):
    id: UUID
    webhook_id: UUID
    event_id: UUID = Field(description="The same for each webhook that hears it, and in replays.")
    event: str
    payload: dict[str, Any] = Field(description="What is sent, to the letter.")
    state: DeliveryState
    attempts: int
    last_status: int | None = Field(description="The HTTP status of the last answer.")
    error: str | None
    duration_ms: int | None = Field(description="How long the last attempt took.")
    next_attempt_at: datetime | None
    replay_of: UUID | None
    created_at: datetime
    ended_at: datetime | None


class TestView(View):
    """How a test delivery went. It is in the log as well."""

    __test__ = False  # no test of pytest's

    works: bool
    status: int | None = Field(description="The HTTP status of the answer.")
    error: str | None
    duration_ms: int
    delivery_id: UUID
