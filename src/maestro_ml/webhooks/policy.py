"""What fits together in a webhook, and when one has failed for long enough. No I/O."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from maestro_ml.webhooks.catalogue import EVENTS, Event, nearest
from maestro_ml.webhooks.errors import WebhookInvalid, one_of
from maestro_ml.webhooks.models import WebhookFormat

LEAST_FAILURES = 20
PATIENCE = timedelta(days=3)
MOST_WAITING = 10_000
FAILED = "It failed {failures} times in a row, since {since:%Y-%m-%d %H:%M} UTC."
OVERFULL = f"{MOST_WAITING:,} deliveries were waiting for it."


def check(
    events: Sequence[str], filters: Mapping[str, Mapping[str, Any]], format: WebhookFormat
) -> None:
    """Raises:
    WebhookInvalid: a filter is of what it does not hear, or MLflow has no word for an event.
    """
    for number, name in enumerate(events):
        if format is WebhookFormat.MLFLOW and not EVENTS[name].mlflow:
            known = one_of([event.name for event in EVENTS.values() if event.mlflow])
            why = f"MLflow's format has no event {name!r}; it has {known}."
            raise WebhookInvalid("events", str(number), why=why)
    for name, fields in filters.items():
        if name not in events:
            why = f"It does not hear {name!r}: add that to its events, or leave the filter out."
            raise WebhookInvalid("filters", name, why=why)
        for field in fields:
            _check_field(EVENTS[name], field)


def _check_field(event: Event, field: str) -> None:
    if field not in event.filters:
        meant = nearest(field, event.filters)
        hint = f" Do you mean {meant!r}?" if meant else ""
        why = f"{event.name!r} is filtered by {one_of(event.filters)}, not by {field!r}.{hint}"
        raise WebhookInvalid("filters", event.name, field, why=why)


def passes(
    filters: Mapping[str, Mapping[str, list[str]]], event: str, data: Mapping[str, Any]
) -> bool:
    """Whether a webhook that hears the event wants this one."""
    wanted = filters.get(event, {})
    return all(str(data.get(field)) in values for field, values in wanted.items())


def may_try(events: Sequence[str], format: WebhookFormat, event: str) -> bool:
    """Whether an example of an event can be sent: of what it hears, and in MLflow's format, whose
    clients may name another, of whatever MLflow has a word for."""
    return EVENTS[event].mlflow if format is WebhookFormat.MLFLOW else event in events


def has_failed(failures: int, since: datetime | None, now: datetime) -> bool:
    """Whether nobody seems to be there any more: many times, and for days."""
    return failures >= LEAST_FAILURES and since is not None and since <= now - PATIENCE
