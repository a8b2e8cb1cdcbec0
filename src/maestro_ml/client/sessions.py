"""Where the caller is signed in. All of it needs a session (`client.auth.login`)."""

from collections.abc import Iterator
from uuid import UUID

from maestro_ml.client.paging import whole
from maestro_ml.client.transport import Transport, segment
from maestro_ml.client.views import Session


class Sessions:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[Session]:
        """The caller's own, the newest first."""
        return whole(self._transport, "/auth/sessions", Session)

    def end(self, id: UUID | str) -> None:
        """End one: its device is refused from the next request on."""
        self._transport.ask("DELETE", f"/auth/sessions/{segment(id)}")
