"""What happens to every request first, and to every answer last."""

import asyncio
import logging
import re
import time
from ipaddress import ip_address, ip_network

import structlog
from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maestro_ml.core.context import Origin, origin
from maestro_ml.core.errors import Unavailable
from maestro_ml.core.ids import new_id
from maestro_ml.core.settings import Settings
from maestro_ml.http.entry import headers_of
from maestro_ml.http.metrics import Metrics
from maestro_ml.http.problems import answer, broken

# Both by name: to find the name of who logs takes longer than to make the rest of a head.
_NAME = "maestro_ml.http"
log = structlog.get_logger(_NAME)
_levels = logging.getLogger(_NAME)
_LONGEST_PATH = 300
_LONGEST_AGENT = 300
_SAFE_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
HEADERS = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
}
_STOPPING = "The server is stopping, and this was not done in time: try again when it is back."
_NO_BODY: Message = {"type": "http.request", "body": b"", "more_body": False}
_HSTS = "max-age=31536000"


class Edge:
    """Outermost: the request's id, its line in the log, the headers of its answer, and the one
    place where a bug becomes an answer."""

    def __init__(self, app: ASGIApp, *, settings: Settings, metrics: Metrics) -> None:
        self.app = app
        self._metrics = metrics
        self._proxies = [ip_network(one, strict=False) for one in settings.server.trusted_proxies]
        headers = dict(HEADERS)
        if settings.server.ssl_certfile is not None:
            headers["strict-transport-security"] = _HSTS
        if settings.dev:
            headers["x-maestro-mode"] = "dev"
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = headers_of(scope)
        sent = headers.get(b"x-request-id", b"").decode("latin-1")
        id = sent if _SAFE_ID.fullmatch(sent) else new_id().hex
        scope.setdefault("state", {})["request_id"] = id
        agent = _visible(headers.get(b"user-agent", b"").decode("latin-1"), _LONGEST_AGENT)
        origin.set(Origin(request_id=id, ip=self._address(scope), user_agent=agent or None))
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=id)
        status, began = 0, time.perf_counter()

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [*message["headers"], (b"x-request-id", id.encode())]
                named = {name for name, _ in own}
                own += [one for one in self._headers if one[0] not in named]
                message = {**message, "headers": own}
            await send(message)

        try:
            await self.app(scope, receive, stamped)
        except Exception:
            log.exception("http.broken", method=scope["method"], path=_path(scope))
            if not status:
                await answer(Request(scope), broken())(scope, receive, stamped)
        except asyncio.CancelledError:
            # The web server's patience with what is under way ended. That is no bug.
            if status or not scope["app"].state.runtime.stopping.is_set():
                raise
            await answer(Request(scope), Unavailable(_STOPPING))(scope, receive, stamped)
        finally:
            seconds = time.perf_counter() - began
            self._metrics.answered(scope, status, seconds)
            if _levels.isEnabledFor(logging.INFO):
                log.info(
                    "http.request",
                    method=scope["method"],
                    path=_path(scope),
                    status=status,
                    ms=round(seconds * 1000, 1),
                )

    def _address(self, scope: Scope) -> str | None:
        """The socket's; of a trusted proxy, the last address in its header that is none of them."""
        client = scope.get("client")
        if client is None:
            return None
        address: str = client[0]
        if self._proxies and self._trusted(address):
            hops = ",".join(Request(scope).headers.getlist("x-forwarded-for")).split(",")
            for hop in reversed([hop.strip() for hop in hops if hop.strip()]):
                if not _is_address(hop):
                    break
                address = hop
                if not self._trusted(hop):
                    break
        return address

    def _trusted(self, address: str) -> bool:
        return _is_address(address) and any(ip_address(address) in one for one in self._proxies)


class Bodiless:
    """HEAD is answered wherever GET is, by the head of GET's answer. A stream has begun by then,
    and is ended as if who asked had left."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        asked = [_NO_BODY]
        answered = asyncio.Event()

        async def nothing() -> Message:
            if asked:
                return asked.pop()
            await answered.wait()
            return {"type": "http.disconnect"}

        async def head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})
                answered.set()

        inner = {**scope, "method": "GET"}
        try:
            await self.app(inner, nothing, head)
        finally:
            # The route, which the router notes, for the figures of whoever stands before this.
            scope.update({name: found for name, found in inner.items() if name not in scope})


def _visible(text: str, longest: int) -> str:
    text = text[:longest]
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def _path(scope: Scope) -> str:
    return _visible(scope["path"], _LONGEST_PATH)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
