"""`python -m benchmarks.bare PORT FILE`: the least that this web server can do."""

import sys
from pathlib import Path

import uvicorn
from starlette.types import Receive, Scope, Send

BODY = Path(sys.argv[2]).read_bytes() if __name__ == "__main__" else b""
HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(BODY)).encode()),
]


async def app(scope: Scope, _: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="error", access_log=False, lifespan="off")
