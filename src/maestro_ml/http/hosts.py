"""Whom a request is for: no page whose name was made to point at this machine speaks to it."""

import re
from functools import lru_cache
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from fastapi import Request
from starlette.types import Scope

from maestro_ml.core.hosts import is_loopback
from maestro_ml.core.settings import Settings
from maestro_ml.http.problems import BadRequest, HeadTooLarge, Misdirected

MAX_HEAD = 2**16
MOST_HEADERS = 200
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[0-9a-z._-]+)(:[0-9]{0,5})?", re.IGNORECASE)


class Heads:
    """Looks at a request's head before anybody acts on it: its size, and its one Host.

    What reaches a loopback address names this machine, or the address that people use. Any other
    name got here because somebody's name server says that it is 127.0.0.1, and its page would be
    taken for one of our own.
    """

    def __init__(self, public_url: str | None) -> None:
        self._public = urlsplit(public_url or "").hostname

    def check(self, scope: Scope) -> None:
        """Raises:
        BadRequest: it is not for us, or not as heads are.
        """
        headers = scope["headers"]
        size = len(scope["raw_path"]) + len(scope["query_string"])
        hosts: list[bytes] = []
        for name, value in headers:
            size += len(name) + len(value)
            if name == b"host":
                hosts.append(value)
        if size > MAX_HEAD or len(headers) > MOST_HEADERS:
            raise HeadTooLarge(MAX_HEAD, MOST_HEADERS)
        if len(hosts) != 1 and (hosts or scope["http_version"] == "1.1"):
            raise BadRequest("A request names the host it is for once, in its Host header.")
        if not hosts:
            return  # HTTP/1.0 need not, and no browser speaks it
        name = _name_of(hosts[0])
        if name is None:
            raise BadRequest("The Host header holds no name and no address.")
        if arrived_on_loopback(scope) and name != self._public and not is_loopback(name):
            raise Misdirected(name)


def arrived_on_loopback(scope: Scope) -> bool:
    """Whether the connection's own end is one that only this machine reaches."""
    server = scope.get("server")
    return server is not None and is_loopback(server[0])


def own_origins(request: Request, settings: Settings) -> set[str]:
    """Origins of our own pages: the address that people use. Where none is set, and for people on
    this machine, it is the one the request names."""
    named = f"{request.url.scheme}://{request.url.netloc}"
    if settings.server.public_url is None:
        return {named}
    public = urlsplit(settings.server.public_url)
    own = {f"{public.scheme}://{public.netloc}"}
    if arrived_on_loopback(request.scope) and is_loopback(request.url.hostname or ""):
        own.add(named)
    return own


@lru_cache(maxsize=256)
def _name_of(host: bytes) -> str | None:
    found = _HOST.fullmatch(host.decode("latin-1"))
    if found is None:
        return None
    if found[1].startswith("["):
        try:
            return IPv6Address(found[1][1:-1]).compressed
        except ValueError:
            return None
    return found[1].rstrip(".").lower()
