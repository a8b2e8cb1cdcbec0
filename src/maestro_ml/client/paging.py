"""Lists that come in pages, read one after the other as they are needed."""

from collections.abc import Iterator
from typing import TypeVar

from maestro_ml.client.transport import Params, Transport
from maestro_ml.client.views import Answer

A = TypeVar("A", bound=Answer)
PAGE = 100


def pages(
    transport: Transport, path: str, view: type[A], *, params: Params | None = None
) -> Iterator[A]:
    """Everything in a list. Stopping early asks for no further page."""
    asked = {"limit": PAGE, **(params or {})}
    while True:
        page = transport.ask("GET", path, params=asked)
        yield from map(view.model_validate, page["items"])
        if page.get("next_cursor") is None:
            return
        asked["cursor"] = page["next_cursor"]


def whole(transport: Transport, path: str, view: type[A]) -> Iterator[A]:
    """Everything in a list that is short enough to come at once."""
    yield from map(view.model_validate, transport.ask("GET", path)["items"])
