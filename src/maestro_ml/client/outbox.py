"""What the server has mailed, or keeps because it has no way out."""

from collections.abc import Iterator
from uuid import UUID

from maestro_ml.client.paging import pages
from maestro_ml.client.transport import Transport, segment
from maestro_ml.client.views import Mail, MailText


class Outbox:
    """For platform admins, in a session (`client.auth.login`)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[Mail]:
        """The mails of the last 30 days, the newest first, without their text."""
        return pages(self._transport, "/outbox", Mail)

    def get(self, id: UUID | str) -> MailText:
        """One mail with its text. The audit trail keeps who read it."""
        return MailText.model_validate(self._transport.ask("GET", f"/outbox/{segment(id)}"))
