"""A server under load while what it needs goes away and comes back."""

import asyncio
import secrets
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from support.live import Cast, ok

API = "/api/v1"
_EACH = 2  # clients of every kind


@dataclass
class Load:
    """Some write, some read, some sign in, and some come with a token that has ended. `seen` is
    what they were answered since `more` was last asked for."""

    http: httpx2.AsyncClient
    cast: Cast
    dead: dict[str, str]
    made: list[str] = field(default_factory=list)
    seen: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    async def more(self, answers: int = 3) -> dict[str, set[int]]:
        """Wait for so many more from each kind of client; gives the statuses of each."""
        self.seen.clear()
        while (  # noqa: ASYNC110 - nothing tells
            len(self.seen) < len(KINDS) or min(map(Counter.total, self.seen.values())) < answers
        ):
            await asyncio.sleep(0.01)
        return {kind: set(statuses) for kind, statuses in self.seen.items()}

    async def until_well(self) -> None:
        """Until everybody is answered as if nothing had been, and for a while after that."""
        while await self.more(1) != WELL:
            pass
        assert await self.more(10) == WELL

    async def check_made(self) -> None:
        """What was acknowledged is there."""
        headers = self.cast["memberA"].bearer
        for id in self.made:
            ok(await self.http.get(f"{API}/projects/{id}", headers=headers))

    async def check_jobs(self) -> None:
        """The worker has not died of it: a job that comes now is done."""
        admin = self.cast["adminA"].bearer
        path = f"{API}/audit-events/verification"
        job = ok(await self.http.post(path, headers=admin))["job_id"]
        while (found := ok(await self.http.get(f"{API}/jobs/{job}", headers=admin)))[
            "state"
        ] != "done":
            assert found["state"] in {"queued", "running"}, found
            await asyncio.sleep(0.05)
        assert found["result"]["sound"]

    async def write(self) -> httpx2.Response:
        body = {"name": secrets.token_hex(12)}
        answer = await self.http.post(
            f"{API}/projects", json=body, headers=self.cast["memberA"].bearer
        )
        if answer.is_success:
            self.made.append(answer.json()["id"])
        return answer

    async def read(self) -> httpx2.Response:
        headers = self.cast["viewerA"].bearer
        return await self.http.get(f"{API}/projects?limit=1", headers=headers)

    async def sign_in(self) -> httpx2.Response:
        person = self.cast["viewerB"]
        body = {"email": person.email, "password": person.password}
        return await self.http.post(f"{API}/auth/login", json=body)

    async def come_back(self) -> httpx2.Response:
        return await self.http.get(f"{API}/projects?limit=1", headers=self.dead)

    async def go_on(self, kind: str, ask: Callable[[], Awaitable[httpx2.Response]]) -> None:
        while True:
            answer = await ask()
            if answer.status_code >= 500:
                assert answer.headers["content-type"] == "application/problem+json", answer.text
                assert answer.json()["type"] == "/problems/unavailable", answer.text
            self.seen[kind][answer.status_code] += 1


KINDS = {
    "write": (Load.write, 201),
    "read": (Load.read, 200),
    "sign in": (Load.sign_in, 200),
    "come back": (Load.come_back, 401),
}
WELL = {kind: {status} for kind, (_, status) in KINDS.items()}
# What may be answered while the database is away: nobody is let in, and nothing is said to be done
# that is not.
AWAY = {kind: {status, 503} for kind, (_, status) in KINDS.items()}


@asynccontextmanager
async def load(cast: Cast) -> AsyncIterator[Load]:
    """Goes on until it is left; an answer that nobody expects ends it with an error."""
    async with httpx2.AsyncClient(base_url=cast.url, timeout=60) as http:
        root = cast["root"].bearer
        for tenant in ok(await http.get(f"{API}/tenants", headers=root))["items"]:
            path = f"{API}/tenants/{tenant['id']}"
            room = {"limits": {"max_projects": 1_000_000}}
            ok(await http.patch(path, json=room, headers=root))
        person = cast["maintainerA"]
        body: Any = {"email": person.email, "password": person.password}
        token = ok(await http.post(f"{API}/auth/login", json=body))["access_token"]
        dead = {"Authorization": f"Bearer {token}"}
        ok(await http.post(f"{API}/auth/logout", headers=dead))
        found = Load(http, cast, dead)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(found.go_on(kind, ask.__get__(found)))
                for kind, (ask, _) in KINDS.items()
                for _ in range(_EACH)
            ]
            yield found
            for task in tasks:
                task.cancel()
        await found.check_made()
        await found.check_jobs()
