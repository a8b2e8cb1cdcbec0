"""Background work: what runs, how far it is, and stopping it."""

from collections.abc import Iterator
from uuid import UUID

from maestro_ml.client.paging import pages
from maestro_ml.client.transport import Transport, segment
from maestro_ml.client.views import Job


class Jobs:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, state: str | None = None, kind: str | None = None) -> Iterator[Job]:
        """The jobs that the caller may see, the newest first."""
        return pages(self._transport, "/jobs", Job, params={"state": state, "kind": kind})

    def get(self, id: UUID | str) -> Job:
        return Job.model_validate(self._transport.ask("GET", _path(id)))

    def cancel(self, id: UUID | str) -> Job:
        """Ask a job to stop. One that runs stops at its next step."""
        return Job.model_validate(self._transport.ask("POST", f"{_path(id)}/cancel"))

    def watch(self, id: UUID | str) -> Iterator[Job]:
        """The job each time that something about it changes, until it has ended."""
        with self._transport.stream(f"{_path(id)}/events") as lines:
            for line in lines:
                if line.startswith("data:"):
                    job = Job.model_validate_json(line.removeprefix("data:"))
                    yield job
                    if job.ended:
                        return


def _path(id: UUID | str) -> str:
    return f"/jobs/{segment(id)}"
