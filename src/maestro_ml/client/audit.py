"""The audit trail of the caller's tenant: who changed what. For its admins."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TypedDict, Unpack
from uuid import UUID

from maestro_ml.client.paging import pages
from maestro_ml.client.transport import Params, Transport, segment
from maestro_ml.client.views import AuditEvent, AuditTrail

_PATH = "/audit-events"


class AuditFilter(TypedDict, total=False):
    """Which events. An `action` such as `user.*` is every action of that beginning."""

    actor_id: UUID | str | None
    action: str | None
    target_type: str | None
    target_id: str | None
    api_key_id: UUID | str | None
    request_id: str | None
    ip: str | None
    since: datetime | str | None
    until: datetime | str | None


class Audit:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, **wanted: Unpack[AuditFilter]) -> Iterator[AuditEvent]:
        """Events, the newest first."""
        return pages(self._transport, _PATH, AuditEvent, params=_params(wanted))

    def get(self, id: UUID | str) -> AuditEvent:
        return AuditEvent.model_validate(self._transport.ask("GET", f"{_PATH}/{segment(id)}"))

    def export(
        self, format: str = "csv", **wanted: Unpack[AuditFilter]
    ) -> AbstractContextManager[Iterator[bytes]]:
        """The events as a file (`csv` or `jsonl`), piece by piece. If it breaks off, an error is
        raised, and what came is not the whole.

            with maestro.audit.export("jsonl", action="user.*") as pieces:
                file.writelines(pieces)
        """
        return self._transport.download(f"{_PATH}/export", params=_params(wanted, format=format))

    def trail(self) -> AuditTrail:
        """How far the events are sealed against changes, and when they were last verified."""
        return AuditTrail.model_validate(self._transport.ask("GET", f"{_PATH}/verification"))

    def verify(self) -> UUID:
        """Have the events verified against their seals. Gives the job (`client.jobs.watch`)."""
        started = self._transport.ask("POST", f"{_PATH}/verification")
        return UUID(started["job_id"])


def _params(wanted: AuditFilter, **more: str) -> Params:
    given = {name: value for name, value in wanted.items() if value is not None}
    return {
        name: value.isoformat() if isinstance(value, datetime) else str(value)
        for name, value in given.items()
    } | more
