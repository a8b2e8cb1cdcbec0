"""Bodies that are passed on as they arrive, for as long as they keep arriving."""

import asyncio
import time
from collections.abc import AsyncIterator

from fastapi import Request
from starlette.requests import ClientDisconnect

from maestro_ml.http.problems import BadRequest, BodyTooSlow

SILENCE = 60.0  # seconds without a byte
LEAST_RATE = 1024  # bytes a second over all of it, or it only holds a place


class BodyCutShort(BadRequest):
    """The connection ended before the body was whole. Nobody hears of it but the log."""

    code = "body-cut-short"


async def arriving(request: Request) -> AsyncIterator[bytes]:
    """The body's bytes.

    Raises:
        BodyCutShort, BodyTooSlow: it will not be whole.
    """
    stream = request.stream()
    began, size = time.monotonic(), 0
    while True:
        try:
            async with asyncio.timeout(SILENCE):
                chunk = await anext(stream, None)
        except ClientDisconnect:
            raise BodyCutShort("The connection ended before the body was whole.") from None
        except TimeoutError:
            raise _too_slow() from None
        if chunk is None:
            return
        size += len(chunk)
        if size < (time.monotonic() - began - SILENCE) * LEAST_RATE:
            raise _too_slow()
        if chunk:
            yield chunk


def length_of(request: Request) -> int | None:
    """How many bytes the body promises to have."""
    promised = request.headers.get("content-length")
    return None if promised is None else int(promised)


def _too_slow() -> BodyTooSlow:
    return BodyTooSlow("The body took too long to arrive.")
