"""MLflow's messages about webhooks: an event is an entity and what happened to it."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from maestro_ml.core.clock import to_millis
from maestro_ml.core.schemas import Text
from maestro_ml.mlflow.wire import Message
from maestro_ml.webhooks import schemas
from maestro_ml.webhooks.catalogue import EVENTS
from maestro_ml.webhooks.models import Webhook, WebhookStatus

MAX_PAGE, PAGE = 1000, 100
_NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?")
_ACTIONS: dict[str, list[str]] = {}
for _event in EVENTS.values():
    if _event.mlflow:
        _entity, _, _action = _event.name.partition(".")
        _ACTIONS.setdefault(_entity.replace("-", "_"), []).append(_action)
_BUDGETS = "budget_policy"  # in its place in MLflow's enumeration
_ENTITIES: Mapping[str, str] = {
    str(number): name for number, name in enumerate((*_ACTIONS, _BUDGETS), start=1)
}
_WORDS = ("created", "updated", "deleted", "set", "exceeded")
_DEEDS: Mapping[str, str] = {str(number): word for number, word in enumerate(_WORDS, start=1)}
_STATUS: Mapping[str, str] = {
    **{str(number): status for number, status in enumerate(WebhookStatus, start=1)},
    **{status.name: status.value for status in WebhookStatus},
}


def _sound_name(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError(
            "It must start and end with a letter or digit, be at most 63 characters long, and "
            "contain only letters, digits, dots (.), underscores (_), and hyphens (-)."
        )
    return name


def _of_proto(known: Mapping[str, str]) -> BeforeValidator:
    """By its name or its number, as protobuf's JSON has it."""
    return BeforeValidator(lambda sent: known.get(str(sent), str(sent).lower()))


Name = Annotated[Text, AfterValidator(_sound_name)]
Status = Annotated[WebhookStatus, BeforeValidator(lambda sent: _STATUS.get(str(sent), sent))]


class Event(Message):
    entity: Annotated[Text, _of_proto(_ENTITIES)]
    action: Annotated[Text, _of_proto(_DEEDS)]

    @model_validator(mode="after")
    def _happens(self) -> "Event":
        if self.entity == _BUDGETS:
            raise ValueError("Maestro has no budgets of language models, so none is exceeded")
        actions = _ACTIONS.get(self.entity)
        if actions is None:
            raise ValueError(f"Invalid entity '{self.entity}'. Valid are: {[*_ACTIONS]}")
        if self.action not in actions:
            raise ValueError(
                f"Invalid action '{self.action}' for entity '{self.entity}'. "
                f"Valid actions are: {sorted(actions)}"
            )
        return self

    @property
    def name(self) -> str:
        return f"{self.entity.replace('_', '-')}.{self.action}"


class CreateWebhook(Message):
    name: Name
    url: schemas.Url
    events: Annotated[list[Event], Field(min_length=1, max_length=100)]
    description: schemas.Description = ""
    secret: Annotated[schemas.Secret | None, BeforeValidator(lambda sent: sent or None)] = None
    status: Status = WebhookStatus.ACTIVE


class UpdateWebhook(Message):
    """What is empty stays as it is, except for the description."""

    name: Annotated[Name | None, BeforeValidator(lambda sent: sent or None)] = None
    url: Annotated[schemas.Url | None, BeforeValidator(lambda sent: sent or None)] = None
    events: Annotated[list[Event], Field(max_length=100)] = []
    description: schemas.Description | None = None
    secret: schemas.Secret | None = None
    status: Status | None = None

    def change(self) -> schemas.WebhookChange | None:
        """None: there is nothing to change, but perhaps the secret."""
        sent: dict[str, Any] = {
            "name": self.name,
            "url": self.url,
            "events": [event.name for event in self.events] or None,
            "description": self.description,
            "status": self.status,
        }
        sent = {name: value for name, value in sent.items() if value is not None}
        return schemas.WebhookChange(**sent) if sent else None


class TestWebhook(Message):
    __test__ = False  # no test of pytest's

    event: Event | None = None


Limit = Annotated[
    int, BeforeValidator(lambda sent: PAGE if str(sent) == "0" else sent), Field(ge=1, le=MAX_PAGE)
]


def webhook_message(webhook: Webhook) -> dict[str, Any]:
    message = {
        "webhook_id": webhook.id.hex,
        "name": webhook.name,
        "url": webhook.url,
        "events": [_event_message(event) for event in webhook.events],
        "status": webhook.status.name,
        "creation_timestamp": to_millis(webhook.created_at),
        "last_updated_timestamp": to_millis(webhook.updated_at),
    }
    return message | ({"description": webhook.description} if webhook.description else {})


def _event_message(name: str) -> dict[str, str]:
    entity, _, action = name.replace("-", "_").upper().partition(".")
    return {"entity": entity, "action": action}
