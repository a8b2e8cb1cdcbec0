"""Clients with an address of their own: the server counts by address, and loopback has many.

Every answer that they bring is held to the rules for all answers.
"""

import secrets
import ssl
from itertools import count

import httpx2

from support.rules import is_stream, keeps_the_rules

# Nothing on loopback is asked for over TLS, and a context that knows all authorities takes 50 ms.
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def an_address() -> str:
    return "127." + ".".join(str(1 + secrets.randbelow(254)) for _ in range(3))


class _From(httpx2.HTTPTransport):
    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = super().handle_request(request)
        answer.request = request
        if not is_stream(answer):
            answer.read()
        keeps_the_rules(answer)
        return answer


class _FromAtOnce(httpx2.AsyncHTTPTransport):
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await super().handle_async_request(request)
        answer.request = request
        if not is_stream(answer):
            await answer.aread()
        keeps_the_rules(answer)
        return answer


def transport_from(address: str | None = None) -> httpx2.HTTPTransport:
    return _From(local_address=address or an_address(), verify=TLS)


def transport_of_many(address: str | None = None) -> httpx2.AsyncHTTPTransport:
    return _FromAtOnce(local_address=address or an_address(), verify=TLS)


class FromEverywhere(httpx2.BaseTransport):
    """Every few requests come from another address, as those of different people do."""

    def __init__(self, each: int = 4) -> None:
        self._each = each
        self._sent = count()
        self._transport = transport_from()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if next(self._sent) % self._each == 0:
            self._transport.close()
            self._transport = transport_from()
        return self._transport.handle_request(request)

    def close(self) -> None:
        self._transport.close()


class AllFromEverywhere(httpx2.AsyncBaseTransport):
    """The same for requests that are sent at once."""

    def __init__(self, addresses: int = 40) -> None:
        self._transports = [transport_of_many() for _ in range(addresses)]
        self._sent = count()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        transport = self._transports[next(self._sent) % len(self._transports)]
        return await transport.handle_async_request(request)

    async def aclose(self) -> None:
        for transport in self._transports:
            await transport.aclose()
