"""What happens to every request before a byte of its body is read, and to every answer."""

import asyncio
import re
import time
from codecs import BOM_UTF8
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from types import MappingProxyType
from typing import Any

import structlog
from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maestro_ml.core.context import Origin, origin
from maestro_ml.core.errors import Invalid, MaestroError
from maestro_ml.core.ids import new_id
from maestro_ml.core.settings import Settings
from maestro_ml.http.deps import Runtime
from maestro_ml.http.metrics import Metrics
from maestro_ml.http.problems import (
    BadRequest,
    BodyEncoded,
    BodyTooLarge,
    BodyTooSlow,
    answer,
    broken,
)

log = structlog.get_logger()
# Nobody has to be somebody for these. `/metrics` asks for a token of its own.
PUBLIC = frozenset(
    {
        *("/health", "/health/ready", "/version", "/metrics", "/.well-known/jwks.json"),
        *(f"/api/v1/auth/{verb}" for verb in ("register", "login", "refresh", "setup", "health")),
        *("/api/v1/auth/invitations/read", "/api/v1/auth/invitations/accept"),
        *(f"/api/v1/auth/login/mfa{step}" for step in ("", "/enrol", "/confirm")),
        *(
            "/api/v1/auth/password/forgot",
            "/api/v1/auth/password/reset",
            "/api/v1/auth/email/verify",
        ),
        *("/api/v1/auth/device", "/api/v1/auth/device/token"),
        *("/", "/device", "/reset-password", "/verify-email", "/invitation"),
    }
)
# All of these: the names in their paths are not known beforehand.
PUBLIC_BELOW = (
    *("/api/v1/auth/oidc/", "/pages/"),
    # Whoever adds a part of an upload shows the upload's own secret.
    *(f"/{api}/2.0/mlflow-artifacts/mpu/parts/" for api in ("api", "ajax-api")),
)
DOCS = frozenset({"/docs", "/openapi.json"})
MAX_BODY = 2**20
_MOST_QUOTES = 2**16
BODY_PATIENCE = 30.0  # seconds for a whole body of that size
_NO_TEXT = "A JSON body must be UTF-8, without a byte order mark."
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
_NO_BODY: Message = {"type": "http.request", "body": b"", "more_body": False}
_HSTS = "max-age=31536000"


def is_public(path: str, public: frozenset[str] = PUBLIC) -> bool:
    """Whether nobody has to be somebody there."""
    return path in public or path.startswith(PUBLIC_BELOW)


class Edge:
    """Outermost: the request's id, its line in the log, the headers of its answer, and the one
    place where a bug becomes an answer."""

    def __init__(self, app: ASGIApp, *, settings: Settings, metrics: Metrics) -> None:
        self.app = app
        self._metrics = metrics
        self._proxies = [ip_network(one, strict=False) for one in settings.server.trusted_proxies]
        self._headers = dict(HEADERS)
        if settings.server.ssl_certfile is not None:
            self._headers["strict-transport-security"] = _HSTS
        if settings.dev:
            self._headers["x-maestro-mode"] = "dev"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        sent = request.headers.get("x-request-id", "")
        id = sent if _SAFE_ID.fullmatch(sent) else new_id().hex
        request.state.request_id = id
        agent = _visible(request.headers.get("user-agent", ""), _LONGEST_AGENT)
        origin.set(Origin(request_id=id, ip=self._address(request), user_agent=agent or None))
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=id)
        status, began = 0, time.perf_counter()

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = id
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self.app(scope, receive, stamped)
        except Exception:
            log.exception("http.broken", method=scope["method"], path=_path(scope))
            if not status:
                await answer(request, broken())(scope, receive, stamped)
        finally:
            seconds = time.perf_counter() - began
            self._metrics.answered(scope, status, seconds)
            log.info(
                "http.request",
                method=scope["method"],
                path=_path(scope),
                status=status,
                ms=round(seconds * 1000, 1),
            )

    def _address(self, request: Request) -> str | None:
        """The socket's; of a trusted proxy, the last address in its header that is none of them."""
        if request.client is None:
            return None
        address = request.client.host
        if self._proxies and self._trusted(address):
            hops = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
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


class Authentication:
    """Everybody is somebody, except on the few public addresses. There strangers come in one by
    one: of a hundred who guess at once, those who are known wait for one and not for all."""

    def __init__(self, app: ASGIApp, *, public: frozenset[str] = PUBLIC) -> None:
        self.app = app
        self._public = public
        self._door = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_public(scope["path"], self._public):
            if scope["method"] == "POST":
                async with self._door:  # is held for nothing else, so nobody can hold it up
                    await asyncio.sleep(0)  # everybody else has had a turn
        elif scope["type"] == "http":
            request = Request(scope)
            runtime: Runtime = request.app.state.runtime
            try:
                access = await runtime.authenticate(request)
                await runtime.admit(access)
            except MaestroError as error:
                await answer(request, error)(scope, receive, send)
                return
            request.state.access = access
            structlog.contextvars.bind_contextvars(
                tenant_id=None if access.tenant_id is None else str(access.tenant_id),
                actor_id=str(access.actor_id),
            )
        await self.app(scope, receive, send)


class BodyLimit:
    """Reads a body whole, up to a size and for so long, before anything is done about it. `larger`
    names the addresses where it may be larger. What is PUT where `streamed` says so is for the
    route to read, as it arrives."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        larger: Mapping[str, int] = MappingProxyType({}),
        streamed: tuple[str, ...] = (),
    ) -> None:
        self.app = app
        self._larger = larger
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        streamed = scope["method"] == "PUT" and scope["path"].startswith(self._streamed)
        try:
            _check_framing(request.headers)
            body = None if streamed else await self._body(request, receive)
            _check_text(request.headers, body or b"")
            _check_room(body or b"")
        except (BadRequest, Invalid) as refused:
            await answer(request, refused)(scope, receive, send)
            return
        if streamed:
            await self.app(scope, receive, send)
            return
        if body is None:
            return  # who asked is gone
        given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return given.pop() if given else await receive()

        await self.app(scope, replay, send)

    async def _body(self, request: Request, receive: Receive) -> bytes | None:
        headers = request.headers
        limit = self._larger.get(request.scope["path"], MAX_BODY)
        promised = headers.get("content-length", "0")
        if int(promised[:20]) > limit:
            raise _too_large(limit)
        if promised == "0" and "transfer-encoding" not in headers:
            return b""
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_PATIENCE):
                while True:
                    message: Any = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > limit:
                        raise _too_large(limit)
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise BodyTooSlow("The body took too long to arrive.") from None


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {limit} bytes: send less at once.")


def _check_framing(headers: Headers) -> None:
    """Raises:
    BodyEncoded, BadRequest: it is not known how many bytes are to be read.
    """
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise BodyEncoded("Compressed bodies are not taken: send it as it is.")
    promised = headers.get("content-length", "0")
    if not promised.isascii() or not promised.isdecimal():
        raise BadRequest


def _check_text(headers: Headers, body: bytes) -> None:
    """JSON travels as UTF-8 (RFC 8259). Its parser would guess at other encodings.

    Raises:
        Invalid: it is in another one.
    """
    if "json" not in headers.get("content-type", "").lower():
        return
    try:
        body.decode()
    except UnicodeDecodeError:
        raise Invalid(_NO_TEXT) from None
    if b"\x00" in body or body.startswith(BOM_UTF8):
        raise Invalid(_NO_TEXT)


def _check_room(body: bytes) -> None:
    """What is larger than usual is so by long texts. Of seven million empty objects, which are as
    long, a parser would make half a gigabyte.

    Raises:
        BodyTooLarge: it is larger by something else.
    """
    if len(body) <= MAX_BODY:
        return
    unescaped = body.replace(rb"\\", b"").replace(rb"\"", b"")
    if unescaped.count(b'"') <= _MOST_QUOTES:
        between = unescaped.split(b'"')[::2]
        if sum(map(len, between)) <= MAX_BODY:
            return
    raise BodyTooLarge(
        f"The body is larger than {MAX_BODY} bytes, and not by long texts: send less."
    )


def _visible(text: str, longest: int) -> str:
    return "".join(char if char.isprintable() else "\ufffd" for char in text[:longest])


def _path(scope: Scope) -> str:
    return _visible(scope["path"], _LONGEST_PATH)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
