"""HEAD, where GET's answer has no end of its own."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from maestro_ml.http.middleware import Bodiless


async def test_a_stream_is_ended_once_its_head_is_told() -> None:
    app, ended = FastAPI(), asyncio.Event()

    async def ticks() -> AsyncIterator[str]:
        try:
            while True:
                yield "tick\n"
                await asyncio.sleep(0)
        finally:
            ended.set()

    @app.get("/ticks")
    async def read_ticks() -> StreamingResponse:
        return StreamingResponse(ticks(), media_type="text/event-stream")

    app.add_middleware(Bodiless)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        async with asyncio.timeout(20):
            answer = await http.head("/ticks")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"].startswith("text/event-stream")
        async with asyncio.timeout(20):
            await ended.wait()
