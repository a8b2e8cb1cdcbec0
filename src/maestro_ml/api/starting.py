"""A start that fails says why in one sentence, whichever web server it is that starts."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maestro_ml.core.errors import MaestroError


class Starting:
    """Puts the sentence of an expected failure where the framework would put a trace."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        failed: list[Message] = []

        async def held(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failed.append(message)
            else:
                await send(message)

        try:
            await self.app(scope, receive, held)
        except MaestroError as expected:
            await send({"type": "lifespan.startup.failed", "message": expected.detail})
        except BaseException:
            for message in failed:
                await send(message)
            raise
