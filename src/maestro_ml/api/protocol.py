"""HTTP as `maestro serve` speaks it: being slow or endless holds neither connections nor memory.

uvicorn's protocol takes a head of any size and waits for it for as long as it takes.
"""

import asyncio
import json
import resource
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from maestro_ml.core.errors import MaestroError, Unavailable
from maestro_ml.core.ids import new_id
from maestro_ml.http.hosts import MAX_HEAD, MOST_HEADERS
from maestro_ml.http.middleware import HEADERS
from maestro_ml.http.problems import BadRequest, HeadTooLarge, document, status_of

MOST_CONNECTIONS = 2048
BACKLOG = 128
_FILES_FOR_OTHERS = 384  # the database's, stored files', and a backlog that comes at once
_EVICTED_AT_ONCE = 32


class Protocol(HttpToolsProtocol):
    """Counts what arrived since the parser last made something of it, and sets a clock to whoever
    is to send a head. When all connections are taken, the ones that have waited longest go."""

    head_patience = 10.0  # seconds for a whole head, however its bytes trickle in
    read_patience = 60.0  # seconds in which who asked takes nothing of a long answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._unread = 0
        self._waiting: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None
        self.since = self.loop.time()
        if len(self.connections) > most_connections() and not self._make_room():
            self._refuse(Unavailable("All connections are in use: try again in a moment."))
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_pressing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        super().data_received(data)
        if self._unread > MAX_HEAD:
            self._refuse(HeadTooLarge(MAX_HEAD, MOST_HEADERS))
        elif self._waiting is None and self.idle:
            self._wait()

    def on_headers_complete(self) -> None:
        self._unread = 0
        self._stop_waiting()
        super().on_headers_complete()
        self.headers = []  # headers behind a body are nobody's: they would come after all checks

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unread = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self.since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self.loop.call_later(self.read_patience, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_pressing()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequest())

    @property
    def idle(self) -> bool:
        """Nobody here works on an answer."""
        return self.cycle is None or self.cycle.response_complete

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(self.head_patience, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _stop_pressing(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _make_room(self) -> bool:
        others: set[Any] = self.connections - {self}
        idle = [one for one in others if one.idle]
        for one in sorted(idle, key=lambda one: one.since)[:_EVICTED_AT_ONCE]:
            self.connections.discard(one)
            one.transport.abort()
        return bool(idle)

    def _refuse(self, error: MaestroError) -> None:
        """Say so, unless an answer is on its way already, and hang up."""
        if self.transport.is_closing():
            return
        if self.idle:
            status, id = status_of(error), new_id().hex
            body = json.dumps(document(status, error, id)).encode()
            headers = HEADERS | {
                "content-type": "application/problem+json",
                "content-length": str(len(body)),
                "connection": "close",
                "x-request-id": id,
            }
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            self.transport.write(STATUS_LINE[status] + lines.encode() + b"\r\n" + body)
        self.transport.close()


def most_connections() -> int:
    """As many as there may be files, less what others need."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return min(MOST_CONNECTIONS, max(files // 2, files - _FILES_FOR_OTHERS))


def allow_files() -> None:
    """Take as many files as connections need, where the machine's owner lets us."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + _FILES_FOR_OTHERS
    if files != resource.RLIM_INFINITY and files < wanted:
        allowed = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
