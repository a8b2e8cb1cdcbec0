"""Stored bytes as an answer: something to save, never a page (RFC 9110 on ranges)."""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from maestro_ml.http.problems import BadRequest, answer

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.IGNORECASE)
# Where a browser opens it all the same, nothing in it runs.
_CSP = "sandbox; default-src 'none'; frame-ancestors 'none'"


class RangeUnsatisfiable(BadRequest):
    """The range that is asked for begins behind the file's end."""

    code = "range-unsatisfiable"
    status = 416

    def __init__(self, size: int) -> None:
        super().__init__(f"The file has {size} bytes: ask for a range that begins among them.")


@dataclass(frozen=True, slots=True)
class Download:
    name: str
    size: int
    sha256: str
    changed_at: datetime


Open = Callable[[int, int], Awaitable[AsyncGenerator[bytes]]]


async def download(request: Request, file: Download, open_at: Open) -> Response:
    """The file, or the part of it that the request asks for. `open_at` gives a slice of it."""
    etag = f'"{file.sha256}"'
    headers = {
        "etag": etag,
        "last-modified": format_datetime(file.changed_at, usegmt=True),
        "accept-ranges": "bytes",
        "content-disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}",
        "content-security-policy": _CSP,
    }
    if not {etag, "*"}.isdisjoint(_listed(request.headers.get("if-none-match", ""))):
        return Response(status_code=304, headers=headers)
    start, end, status = 0, file.size, 200
    wanted = _range(request, file, headers)
    if wanted is not None:
        start, end, status = *wanted, 206
        if start >= end:
            refused = answer(request, RangeUnsatisfiable(file.size))
            refused.headers["content-range"] = f"bytes */{file.size}"
            return refused
        headers["content-range"] = f"bytes {start}-{end - 1}/{file.size}"
    headers["content-length"] = str(end - start)
    chunks = await open_at(start, end)
    return _Sent(chunks, status_code=status, headers=headers, media_type="application/octet-stream")


class _Sent(StreamingResponse):
    """Lets go of the file as soon as it is sent, or whoever asked has left."""

    def __init__(self, chunks: AsyncGenerator[bytes], **more: object) -> None:
        super().__init__(chunks, **more)  # type: ignore[arg-type]
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._chunks):
            await super().__call__(scope, receive, send)


def _range(request: Request, file: Download, headers: dict[str, str]) -> tuple[int, int] | None:
    """What is asked for, as a slice. What is no single range of bytes means all of it."""
    asked = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    unless = request.headers.get("if-range")
    if asked is None or unless not in {None, headers["etag"], headers["last-modified"]}:
        return None
    first, last = asked.groups()
    if not first and not last:
        return None
    if first and last and int(last) < int(first):
        return None
    if first:
        return int(first), min(int(last) + 1 if last else file.size, file.size)
    return max(0, file.size - int(last)), file.size


def _listed(tags: str) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in tags.split(",")}
