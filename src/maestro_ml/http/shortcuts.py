"""Calls that are made all the time are found by their whole address, before the router looks
through every route, and are answered with as little as they need.

Each of them has an ordinary route as well, which answers whatever is not as usual: what a shortcut
refuses has changed nothing, and is asked anew there.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maestro_ml.core.errors import MaestroError, Unavailable

Shortcut = Callable[[Request], Awaitable[Response]]


class Unusual(Exception):
    """Not what a shortcut is for."""


@dataclass(frozen=True, slots=True)
class _Route:
    """What the metrics ask of one."""

    path: str


class Shortcuts:
    def __init__(self, app: ASGIApp, ways: Mapping[tuple[str, str], Shortcut]) -> None:
        self.app = app
        self._ways = {key: (way, _Route(key[1])) for key, way in ways.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = scope["type"] == "http" and self._ways.get((scope["method"], scope["path"]))
        if not found:
            await self.app(scope, receive, send)
            return
        way, route = found
        request = Request(scope, receive)
        given: list[Message] = [
            {"type": "http.request", "body": await request.body(), "more_body": False}
        ]
        try:
            response = await way(request)
        except Unavailable:
            raise
        except (Unusual, MaestroError):

            async def again() -> Message:
                return given.pop() if given else await receive()

            await self.app(scope, again, send)
            return
        scope["route"] = route
        await response(scope, receive, send)


def install(app: FastAPI, ways: Mapping[tuple[str, str], Shortcut]) -> None:
    """Inside of what turns errors into answers."""
    app.router.middleware_stack = Shortcuts(app.router.middleware_stack, ways)
