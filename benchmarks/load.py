"""An open loop: requests leave when their time comes, whether or not the last ones are back.

And a closed one: so many clients, each of which asks again as soon as it is answered.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    milliseconds: list[float]  # from when a request was due, so that a stall counts for all
    failures: list[str]


class _Connections:
    """Kept alive, and made when all are busy."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self._port = port
        self._source = source
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, head: bytes) -> tuple[int, bytes]:
        if self._idle:
            reader, writer = self._idle.pop()
        else:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self._port, local_addr=(self._source, 0)
            )
        writer.write(head)
        start = await reader.readuntil(b"\r\n\r\n")
        lines = start.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        body = await reader.readexactly(length)
        self._idle.append((reader, writer))
        return int(lines[0].split()[1]), body

    async def close(self) -> None:
        for _, writer in self._idle:
            writer.close()
            await writer.wait_closed()


def request(path: str, token: str = "") -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def post(path: str, body: object, token: str = "") -> bytes:
    data = json.dumps(body)
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    return "\r\n".join([*lines, f"Content-Length: {len(data)}", "", data]).encode()


def fetch(port: int, head: bytes) -> bytes:
    """One answer's body."""

    async def once() -> bytes:
        connections = _Connections(port)
        status, body = await connections.ask(head)
        await connections.close()
        if status != 200:
            raise SystemExit(f"{head.split(b' ')[1]!r} answered {status}: {body[:500]!r}")
        return body

    return asyncio.run(once())


def open_loop(
    port: int, heads: Sequence[bytes], *, rate: float, seconds: float, timeout: float = 10.0
) -> Outcome:
    return asyncio.run(_open_loop(port, lambda n: heads[n % len(heads)], rate, seconds, timeout))


async def _open_loop(
    port: int,
    head: Callable[[int], bytes],
    rate: float,
    seconds: float,
    timeout: float,  # noqa: ASYNC109
) -> Outcome:
    connections = _Connections(port)
    outcome = Outcome([], [])
    began = time.perf_counter() + 0.05

    async def one(n: int, due: float) -> None:
        try:
            status, body = await asyncio.wait_for(connections.ask(head(n)), timeout)
        except (OSError, EOFError, TimeoutError) as failed:
            outcome.failures.append(repr(failed))
            return
        if status == 200:
            outcome.milliseconds.append((time.perf_counter() - due) * 1000)
        else:
            outcome.failures.append(f"{status}: {body[:200]!r}")

    async with asyncio.TaskGroup() as group:
        for n in range(int(rate * seconds)):
            due = began + n / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(n, due))
    await connections.close()
    return outcome


@dataclass(frozen=True, slots=True)
class Client:
    """Asks again and again, from one address: at once, or at a pace of its own, and then what it
    waits is counted from when it was due. `answered` sees each status and body."""

    ask: Callable[[], bytes]
    source: str = "127.0.0.1"
    answered: Callable[[int, bytes], None] = lambda *_: None
    every: float = 0.0  # seconds
    times: int = 1  # at least


def closed_loop(port: int, clients: Sequence[Client], *, seconds: float) -> "Answered":
    """For so long, and each at least as often as it says."""
    return asyncio.run(_closed_loop(port, clients, seconds))


@dataclass(frozen=True, slots=True)
class Answered:
    statuses: Counter[int]
    milliseconds: list[float]
    seconds: float


async def _closed_loop(port: int, clients: Sequence[Client], seconds: float) -> Answered:
    statuses: Counter[int] = Counter()
    took: list[float] = []
    began = time.perf_counter()

    async def one(number: int, client: Client) -> None:
        connections = _Connections(port, client.source)
        due = began + client.every * number / len(clients)
        asked = 0
        while True:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sent = due if client.every else time.perf_counter()
            due += client.every
            status, body = await connections.ask(client.ask())
            took.append((time.perf_counter() - sent) * 1000)
            statuses[status] += 1
            client.answered(status, body)
            asked += 1
            if asked >= client.times and time.perf_counter() - began >= seconds:
                break
        await connections.close()

    await asyncio.gather(*(one(number, client) for number, client in enumerate(clients)))
    return Answered(statuses, took, time.perf_counter() - began)
