"""Two servers with one database, one Redis and one secret key, as behind a load balancer."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from support.live import Cast, LiveServer, Person, ok
from support.sources import an_address, transport_of_many

API = "/api/v1"
# What a revocation takes away, and what the other server then answers.
KINDS = {
    "session": 401,
    "every session": 401,
    "key": 401,
    "place in the tenant": 401,
    "role": 403,
    "tenant": 401,
}


@dataclass
class Pair:
    """Each of the two takes things away in turn, and both are asked."""

    servers: Sequence[LiveServer]
    cast: Cast
    tenant: str  # the id of A
    clients: list[httpx2.AsyncClient] = field(default_factory=list)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Pair"]:
        self.clients = [httpx2.AsyncClient(base_url=s.url, timeout=60) for s in self.servers]
        yield self
        for client in self.clients:
            await client.aclose()

    async def race(
        self, method: str, path: str, bodies: Iterable[Any], headers: dict[str, str] | None = None
    ) -> Counter[int]:
        """All at once, every other one at the other server; from one address."""
        address = an_address()
        clients = [
            httpx2.AsyncClient(base_url=s.url, timeout=60, transport=transport_of_many(address))
            for s in self.servers
        ]
        requests = (
            clients[number % 2].request(method, path, json=body, headers=headers)
            for number, body in enumerate(bodies)
        )
        answers = await asyncio.gather(*requests)
        for client in clients:
            await client.aclose()
        return Counter(answer.status_code for answer in answers)

    async def sign_in(self, person: Person, at: int) -> dict[str, str]:
        body = {"email": person.email, "password": person.password}
        answer = ok(await self.clients[at].post(f"{API}/auth/login", json=body))
        return {"Authorization": f"Bearer {answer['access_token']}"}

    async def by(self, name: str, at: int, method: str, path: str, body: Any = None) -> Any:
        request = self.clients[at].request(
            method, API + path, json=body, headers=self.cast[name].bearer
        )
        return ok(await request)


async def take_away(pair: Pair, kind: str, turn: int, follow_ups: int) -> Counter[int]:
    """Somebody signs in at one server, and it is taken away at the other. Gives the answers of
    both to what is asked after that; then all is as before."""
    here, there = turn % 2, 1 - turn % 2
    who = pair.cast["maintainerA"]
    place = f"/users/{who.id}"
    headers = session = await pair.sign_in(who, there)
    body = {"name": f"pair {secrets.token_hex(8)}"}
    if kind == "key":
        path = f"{API}/api-keys"
        made = ok(await pair.clients[there].post(path, json=body, headers=session))
        headers = {"Authorization": f"Bearer {made['secret']}"}
    asked = "POST" if kind == "role" else "GET"
    for client in pair.clients:
        ok(await client.request(asked, f"{API}/projects", headers=headers, json=body))
        body = {"name": f"pair {secrets.token_hex(8)}"}
    match kind:
        case "session":
            ok(await pair.clients[here].post(f"{API}/auth/logout", headers=session))
        case "every session":
            ok(await pair.clients[here].post(f"{API}/auth/logout-all", headers=session))
        case "key":
            path = f"{API}/api-keys/{made['id']}"
            ok(await pair.clients[here].delete(path, headers=session))
        case "place in the tenant":
            await pair.by("adminA", here, "PATCH", place, {"active": False})
        case "role":
            await pair.by("adminA", here, "PATCH", place, {"role": "viewer"})
        case "tenant":
            await pair.by("root", here, "POST", f"/tenants/{pair.tenant}/suspend")
    requests = (
        pair.clients[(there + number) % 2].request(
            asked, f"{API}/projects", headers=headers, json=body
        )
        for number in range(follow_ups)
    )
    after = Counter(answer.status_code for answer in await asyncio.gather(*requests))
    match kind:
        case "place in the tenant":
            await pair.by("adminA", there, "PATCH", place, {"active": True})
        case "role":
            await pair.by("adminA", there, "PATCH", place, {"role": "maintainer"})
        case "tenant":
            await pair.by("root", there, "POST", f"/tenants/{pair.tenant}/resume")
    return after
