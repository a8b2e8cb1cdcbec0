"""The verbs of webhooks, as somebody of a project sends them."""

from collections.abc import Iterator, Sequence
from typing import Any

from support.principals import A_WEBHOOK_OF_MLFLOW, a_webhook

MLFLOW, WEBHOOKS = "/api/2.0/mlflow/webhooks", "/api/v1/webhooks"


def webhooks_of(project: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What makes two by the native API, and two by MLflow's."""
    for _ in range(2):
        yield WEBHOOKS, a_webhook(project)
    for _ in range(2):
        yield MLFLOW, A_WEBHOOK_OF_MLFLOW


def webhook_calls(project: str, made: Sequence[Any]) -> Iterator[tuple[str, str, str, Any]]:
    """Every verb that names one: in the policy, the method, the address, the body."""
    one, gone = (f"{WEBHOOKS}/{answer['id']}" for answer in made[:2])
    theirs, lost = (f"{MLFLOW}/{answer['webhook']['webhook_id']}" for answer in made[2:])
    yield "create_webhook", "POST", WEBHOOKS, a_webhook(project)
    yield "read_webhook", "GET", one, None
    yield "change_webhook", "PATCH", one, {"description": "d"}
    yield "rotate_webhook_secret", "POST", f"{one}/secret", {}
    yield "test_webhook", "POST", f"{one}/test", {}
    yield "list_webhook_deliveries", "GET", f"{one}/deliveries", None
    yield "delete_webhook", "DELETE", gone, None
    yield "POST webhooks", "POST", MLFLOW, A_WEBHOOK_OF_MLFLOW
    yield "GET webhooks", "GET", MLFLOW, {}
    yield "GET webhooks/{webhook_id}", "GET", theirs, None
    yield "PATCH webhooks/{webhook_id}", "PATCH", theirs, {"description": "d"}
    yield "POST webhooks/{webhook_id}/test", "POST", f"{theirs}/test", {}
    yield "DELETE webhooks/{webhook_id}", "DELETE", lost, None
