"""Addresses that the server tells what happens."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypedDict, Unpack
from uuid import UUID

from maestro_ml.client.paging import pages
from maestro_ml.client.transport import Transport, segment
from maestro_ml.client.views_webhooks import Delivery, Webhook, WebhookTest

Filters = Mapping[str, Mapping[str, Sequence[str]]]


class WebhookChanges(TypedDict, total=False):
    """`filters`: by event and field, the only values that are told of. `status`: `active` or
    `disabled`."""

    name: str
    url: str
    events: Sequence[str]
    filters: Filters
    description: str
    status: str


class Webhooks:
    """A project's webhooks are its maintainers', the tenant's its admins'."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, project_id: UUID | str | None = None) -> Iterator[Webhook]:
        """Those that the caller may read, or one project's; the newest first."""
        asked = {} if project_id is None else {"project_id": str(project_id)}
        return pages(self._transport, "/webhooks", Webhook, params=asked)

    def create(
        self,
        name: str,
        *,
        url: str,
        events: Sequence[str],
        project_id: UUID | str | None = None,
        filters: Filters | None = None,
        description: str = "",
        secret: str | None = None,
    ) -> Webhook:
        """Have an address told of a project's events; without a project, of the tenant's. Without a
        secret one is made, and is in the answer alone."""
        body = {
            "name": name,
            "url": url,
            "events": [*events],
            "project_id": None if project_id is None else str(project_id),
            "filters": _plain(filters or {}),
            "description": description,
            "secret": secret,
        }
        return Webhook.model_validate(self._transport.ask("POST", "/webhooks", json=body))

    def get(self, id: UUID | str) -> Webhook:
        """Read one, and whether it works."""
        return Webhook.model_validate(self._transport.ask("GET", _path(id)))

    def update(self, id: UUID | str, **changes: Unpack[WebhookChanges]) -> Webhook:
        """Change what is given. Making it `active` gives one another chance that was disabled."""
        body = {**changes}
        if "filters" in changes:
            body["filters"] = _plain(changes["filters"])
        return Webhook.model_validate(self._transport.ask("PATCH", _path(id), json=body))

    def delete(self, id: UUID | str) -> None:
        """Tell it nothing more. Its log goes with it."""
        self._transport.ask("DELETE", _path(id))

    def rotate_secret(self, id: UUID | str, secret: str | None = None) -> Webhook:
        """Sign with another secret, and for a day with the one before as well. Without one, one is
        made, and is in the answer alone."""
        answer = self._transport.ask("POST", f"{_path(id)}/secret", json={"secret": secret})
        return Webhook.model_validate(answer)

    def test(self, id: UUID | str, event: str | None = None) -> WebhookTest:
        """Send an example of an event now, once."""
        answer = self._transport.ask("POST", f"{_path(id)}/test", json={"event": event})
        return WebhookTest.model_validate(answer)

    def deliveries(self, id: UUID | str, *, state: str | None = None) -> Iterator[Delivery]:
        """What it was told, the newest first. `state`: `waiting`, `delivered` or `dead`."""
        asked = {} if state is None else {"state": state}
        return pages(self._transport, f"{_path(id)}/deliveries", Delivery, params=asked)

    def replay(self, id: UUID | str, delivery_id: UUID | str) -> Delivery:
        """Send an event once more, under the id that it had."""
        path = f"{_path(id)}/deliveries/{segment(delivery_id)}/replay"
        return Delivery.model_validate(self._transport.ask("POST", path))


def _path(id: UUID | str) -> str:
    return f"/webhooks/{segment(id)}"


def _plain(filters: Filters) -> dict[str, dict[str, list[str]]]:
    return {
        event: {field: [*values] for field, values in fields.items()}
        for event, fields in filters.items()
    }
