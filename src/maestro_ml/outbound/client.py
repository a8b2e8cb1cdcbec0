"""The one HTTP client that leaves the house.

The name is resolved once, every address it has is checked, and the connection goes to the checked
number: a name that changes its mind in between (DNS rebinding) changes nothing. Nothing is
followed, unpacked or remembered, and no proxy of the environment is used.
"""

import asyncio
import json
import socket
import ssl
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from urllib.parse import urlencode

import httpcore2
import httpx2
import structlog

from maestro_ml.core.settings_groups import OutboundSettings
from maestro_ml.outbound.addresses import Address, Allowed, Target, numbers, target_of
from maestro_ml.outbound.errors import OutboundFailed

log = structlog.get_logger()
PATIENCE = 10.0  # seconds for everything together
MOST_BYTES = 2**20
_RESOLVING = 3.0
# Threads of their own: a slow name server keeps nothing else waiting.
_RESOLVERS = ThreadPoolExecutor(4, "resolve")
_AGENT = "maestro-ml"
_BROKEN = (
    OSError,  # TimeoutError is one
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Raises:
        OutboundFailed: it is no JSON object.
        """
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            raise OutboundFailed from None
        if not isinstance(found, dict):
            raise OutboundFailed
        return found


@cache
def _trust() -> ssl.SSLContext:
    """Whom we believe who they are: read when first asked, which takes a while."""
    return httpx2.create_ssl_context()


class Outbound:
    """Opens one connection for each request: what is asked for here is asked for rarely."""

    def __init__(self, settings: OutboundSettings) -> None:
        self._allowed = Allowed(settings.allow)

    async def check(self, url: str) -> None:
        """Whether it may be called, as far as can be said without calling. A name that is not
        known now may be known later.

        Raises:
            AddressRefused: it may not.
        """
        target = target_of(url)
        try:
            addresses = await _resolved(target)
        except OutboundFailed:
            return
        self._allowed.check(target, addresses)

    async def get(self, url: str) -> Answer:
        """Raises:
        AddressRefused: it leads where the server does not go.
        OutboundFailed: no proper answer came.
        """
        return await self._send("GET", url, {}, None)

    async def post_form(
        self, url: str, fields: Mapping[str, str], headers: Mapping[str, str]
    ) -> Answer:
        """The same, with a form."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self._send("POST", url, {**headers, **kind}, urlencode(fields).encode())

    async def post_json(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The same, with bytes that are JSON already: what is signed is sent to the letter."""
        return await self._send("POST", url, {**headers, "Content-Type": "application/json"}, body)

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        target = target_of(url)
        try:
            async with asyncio.timeout(PATIENCE):
                addresses = await _resolved(target)
                self._allowed.check(target, addresses)
                return await self._exchange(method, target, addresses, headers, body)
        except _BROKEN as broken:
            # The reason is the operator's to know, not whoever's the address is.
            log.info("outbound.failed", host=target.host, port=target.port, reason=repr(broken))
            raise OutboundFailed from None

    async def _exchange(
        self,
        method: str,
        target: Target,
        addresses: Iterable[Address],
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> Answer:
        url = httpcore2.URL(
            scheme=target.scheme, host=target.host, port=target.port, target=target.path
        )
        sent = {
            "Host": target.authority,
            "User-Agent": _AGENT,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            **headers,
        }
        if body is not None:
            sent["Content-Length"] = str(len(body))
        limits = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), PATIENCE)}
        async with (
            httpcore2.AsyncConnectionPool(
                ssl_context=_trust(), max_connections=1, network_backend=_Numbers(addresses)
            ) as pool,
            pool.stream(
                method, url, headers=list(sent.items()), content=body, extensions=limits
            ) as answer,
        ):
            parts: list[bytes] = []
            size = 0
            async for part in answer.aiter_stream():
                size += len(part)
                if size > MOST_BYTES:
                    raise httpcore2.RemoteProtocolError("the answer is too large")
                parts.append(part)
            named = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in answer.headers}
            return Answer(answer.status, named, b"".join(parts))


class _Numbers(httpcore2.AnyIOBackend):
    """Connects to numbers that were checked, whatever name is asked for."""

    def __init__(self, addresses: Iterable[Address]) -> None:
        self._addresses = [str(address) for address in addresses]

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 -- the name is the base class's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        for number in self._addresses[:-1]:
            try:
                return await super().connect_tcp(
                    number, port, timeout, local_address, socket_options
                )
            except httpcore2.ConnectError:
                continue
        last = self._addresses[-1]
        return await super().connect_tcp(last, port, timeout, local_address, socket_options)


async def _resolved(target: Target) -> list[Address]:
    """Raises:
    OutboundFailed: the name is not known.
    """
    ask = partial(socket.getaddrinfo, target.host, target.port, type=socket.SOCK_STREAM)
    try:
        async with asyncio.timeout(_RESOLVING):
            found = await asyncio.get_running_loop().run_in_executor(_RESOLVERS, ask)
        addresses = list(dict.fromkeys(numbers(str(one[4][0])) for one in found))
    except (OSError, ValueError):
        raise OutboundFailed from None
    if not addresses:
        raise OutboundFailed
    return addresses
