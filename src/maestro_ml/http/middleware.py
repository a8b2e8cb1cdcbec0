"""What happens to every request before a byte of its body is read."""

import re

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maestro_ml.core.errors import Unauthenticated
from maestro_ml.core.ids import new_id
from maestro_ml.http.deps import Runtime
from maestro_ml.http.problems import answer

PUBLIC = frozenset({"/docs", "/openapi.json"})


class RequestId:
    """One id for the answer, the errors and the log: the caller's if it is harmless, else ours."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        sent = request.headers.get("x-request-id", "")
        id = sent if re.fullmatch(r"[\w.-]{1,64}", sent, re.ASCII) else new_id().hex
        request.state.request_id = id

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = id
            await send(message)

        await self.app(scope, receive, stamped)


class Authentication:
    """Everybody is somebody, except on the few public addresses."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in PUBLIC:
            request = Request(scope)
            runtime: Runtime = request.app.state.runtime
            try:
                request.state.access = await runtime.authenticate(request)
            except Unauthenticated as error:
                await answer(request, error)(scope, receive, send)
                return
        await self.app(scope, receive, send)
