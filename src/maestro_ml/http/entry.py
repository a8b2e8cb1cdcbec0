"""What a request passes before anything is done about it: its head is looked at, somebody is known
by it, and only then is its body read."""

import asyncio
import time
from codecs import BOM_UTF8
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import structlog
from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maestro_ml.core.access import Access
from maestro_ml.core.errors import Invalid, MaestroError
from maestro_ml.http.deps import Runtime
from maestro_ml.http.hosts import Heads
from maestro_ml.http.problems import BadRequest, BodyEncoded, BodyTooLarge, BodyTooSlow, answer
from maestro_ml.http.shortcuts import Shortcut, Shortcuts

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
AT_ONCE = 0.1  # seconds in which nobody's standing changes to speak of
_NO_TEXT = "A JSON body must be UTF-8, without a byte order mark."

Headers = Mapping[bytes, bytes]


def is_public(path: str, public: frozenset[str] = PUBLIC) -> bool:
    """Whether nobody has to be somebody there."""
    return path in public or path.startswith(PUBLIC_BELOW)


def headers_of(scope: Scope) -> Headers:
    """By name; of those that came more than once, the first."""
    return dict(reversed(scope["headers"]))


class Entry:
    """One pass over all of it, for every request pays for it. `larger` names the addresses where a
    body may be larger. What is PUT where `streamed` says so is for the route to read, as it
    arrives. What a shortcut answers goes no further."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        public_url: str | None = None,
        public: frozenset[str] = PUBLIC,
        larger: Mapping[str, int] = MappingProxyType({}),
        streamed: tuple[str, ...] = (),
        ways: Mapping[tuple[str, str], Shortcut] = MappingProxyType({}),
    ) -> None:
        self.app = app
        self._heads = Heads(public_url)
        self._public = public
        self._streamed = streamed
        self._shortcuts = Shortcuts(ways)
        self._larger = larger
        self._door = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            self._heads.check(scope)
            await self._identify(scope)
            headers = headers_of(scope)
            _check_framing(headers)
            if scope["method"] == "PUT" and scope["path"].startswith(self._streamed):
                _check_text(headers, b"")
                body, given = b"", receive
            else:
                began = time.monotonic()
                read = await _body(headers, receive, self._larger.get(scope["path"], MAX_BODY))
                if read is None:
                    return  # who asked is gone
                if time.monotonic() - began > AT_ONCE:
                    await self._identify_again(scope)
                _check_text(headers, read)
                _check_room(read)
                body, given = read, _again(read, receive)
            content = await self._shortcuts.answer(scope, headers, body)
        except MaestroError as refused:
            await answer(Request(scope), refused)(scope, receive, send)
            return
        if content is None:
            await self.app(scope, given, send)
            return
        about = [
            (b"content-length", str(len(content)).encode()),
            (b"content-type", b"application/json"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": about})
        await send({"type": "http.response.body", "body": content})

    async def _identify(self, scope: Scope) -> None:
        """Everybody is somebody, except on the few public addresses. There strangers come in one by
        one: of a hundred who guess at once, those who are known wait for one and not for all."""
        if is_public(scope["path"], self._public):
            if scope["method"] == "POST":
                async with self._door:  # is held for nothing else, so nobody can hold it up
                    await asyncio.sleep(0)  # everybody else has had a turn
            return
        access = await _known(scope)
        runtime: Runtime = scope["app"].state.runtime
        await runtime.admit(access)

    async def _identify_again(self, scope: Scope) -> None:
        """Who let us wait for a body is who they are when it has come: a request that was begun
        before its sender was removed, and ended when they knew of it, does nothing any more."""
        if not is_public(scope["path"], self._public):
            await _known(scope)


async def _known(scope: Scope) -> Access:
    """Who asks, as the database knows them now."""
    runtime: Runtime = scope["app"].state.runtime
    access = await runtime.authenticate(Request(scope))
    scope.setdefault("state", {})["access"] = access
    structlog.contextvars.bind_contextvars(
        tenant_id=None if access.tenant_id is None else str(access.tenant_id),
        actor_id=str(access.actor_id),
    )
    return access


def _again(body: bytes, receive: Receive) -> Receive:
    """The body, for whoever asks next."""
    given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return given.pop() if given else await receive()

    return replay


async def _body(headers: Headers, receive: Receive, limit: int) -> bytes | None:
    """The whole of it; None: who asked is gone.

    Raises:
        BodyTooLarge, BodyTooSlow: there is more than that, or it takes too long.
    """
    promised = headers.get(b"content-length", b"0")
    if int(promised[:20]) > limit:
        raise _too_large(limit)
    if promised == b"0" and b"transfer-encoding" not in headers:
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
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise BodyEncoded("Compressed bodies are not taken: send it as it is.")
    if not headers.get(b"content-length", b"0").isdigit():
        raise BadRequest


def _check_text(headers: Headers, body: bytes) -> None:
    """JSON travels as UTF-8 (RFC 8259). Its parser would guess at other encodings.

    Raises:
        Invalid: it is in another one.
    """
    if b"json" not in headers.get(b"content-type", b"").lower():
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
