"""Calls that are made all the time are found by their whole address, before the router looks
through every route, and are answered with as little as they need.

Each of them has an ordinary route as well, which answers whatever is not as usual: what a shortcut
refuses has changed nothing, and is asked anew there.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.types import Scope

from maestro_ml.core.access import Access
from maestro_ml.core.errors import MaestroError, Unavailable
from maestro_ml.db.faults import QueryTooSlow
from maestro_ml.http.deps import Runtime


@dataclass(slots=True)
class Call:
    """What somebody known asks for."""

    runtime: Runtime
    access: Access
    headers: Mapping[bytes, bytes]
    query: bytes
    body: bytes


Shortcut = Callable[[Call], Awaitable[bytes]]  # JSON, of an answer that says yes


class Unusual(Exception):
    """Not what a shortcut is for."""


@dataclass(frozen=True, slots=True)
class _Route:
    """What the metrics ask of one."""

    path: str


class Shortcuts:
    def __init__(self, ways: Mapping[tuple[str, str], Shortcut]) -> None:
        self._ways = {key: (way, _Route(key[1])) for key, way in ways.items()}

    async def answer(
        self, scope: Scope, headers: Mapping[bytes, bytes], body: bytes
    ) -> bytes | None:
        """What is answered; None: the ordinary route knows.

        Raises:
            Unavailable, QueryTooSlow: the database does not answer, and would not there either.
        """
        found = self._ways.get((scope["method"], scope["path"]))
        if found is None:
            return None
        way, route = found
        access: Access = scope["state"]["access"]
        call = Call(scope["app"].state.runtime, access, headers, scope["query_string"], body)
        try:
            content = await way(call)
        except (Unavailable, QueryTooSlow):
            raise
        except (Unusual, MaestroError):
            return None
        scope["route"] = route
        return content
