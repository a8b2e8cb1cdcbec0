"""Clients that write at the same time while the server is killed, and what each of them was told.

Every request carries an id of its own, which the audit trail keeps. So each deed can be found
again, whether its answer arrived or not.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2

from maestro_ml.core.ids import new_id
from support.forgery import unpack
from support.live import Cast, LiveServer, a_cast, a_name, a_password, ok

MLFLOW = "/api/2.0/mlflow"
QUOTA = 4  # projects of tenant B
PARAMS = METRICS = 5  # of each batch
ROLES = ("viewer", "member", "maintainer")
_RENEWED = 8 * 60.0  # seconds; an access token lives for fifteen minutes
_KEYS = 6  # that the client of keys keeps alive


@dataclass
class Deed:
    """One request that changes something. `records` are the actions that the trail has of it if
    it was done; `answer` is None as long as nobody knows."""

    kind: str
    records: tuple[str, ...]
    facts: dict[str, Any]
    request: str = field(default_factory=lambda: new_id().hex)
    answer: Any = None

    @property
    def acknowledged(self) -> bool:
        return self.answer is not None


@dataclass
class Ledger:
    """What was asked for and what was acknowledged, over all rounds."""

    deeds: list[Deed] = field(default_factory=list)
    revoked_tokens: list[str] = field(default_factory=list)  # access tokens and keys: dead for good
    spent: list[str] = field(default_factory=list)  # refresh tokens of sessions that have ended
    live: dict[str, str] = field(default_factory=dict)  # by person: an access token that counts
    roles: dict[str, set[str]] = field(default_factory=dict)  # by user: what it may be

    def done(self, kind: str) -> Iterator[Deed]:
        return (deed for deed in self.deeds if deed.kind == kind and deed.acknowledged)


class Clients:
    """Everybody who writes. `run` goes on until the server is gone."""

    def __init__(self, cast: Cast, ledger: Ledger, project: str) -> None:
        self.cast = cast
        self.ledger = ledger
        self._workspace = {"X-MLFLOW-WORKSPACE": project}
        self._signed_in: dict[str, float] = dict.fromkeys(cast.people, time.monotonic())
        self._keys: list[dict[str, Any]] = []
        self._http = httpx2.AsyncClient()

    async def run(self) -> None:
        """Raises whatever is wrong with an answer; a connection that breaks is what we wait for."""
        ways: list[Callable[[], Awaitable[None]]] = [
            lambda: self._sign_ins("signerA"),
            lambda: self._sign_ins("signerB"),
            lambda: self._roles("adminA", "targetA"),
            lambda: self._projects("maintainerA"),
            lambda: self._runs("memberA"),
            lambda: self._runs("maintainerA"),
            lambda: self._api_keys("keeperA"),
            lambda: self._invitations("adminA"),
            lambda: self._quota("adminB"),
            lambda: self._quota("adminB"),
        ]
        async with httpx2.AsyncClient(base_url=self.cast.url, timeout=60) as self._http:
            await asyncio.gather(*(self._until_gone(way) for way in ways))

    @property
    def acknowledged(self) -> int:
        return sum(deed.acknowledged for deed in self.ledger.deeds)

    async def _until_gone(self, way: Callable[[], Awaitable[None]]) -> None:
        with suppress(httpx2.TransportError):
            await way()

    async def _do(
        self,
        deed: Deed,
        method: str,
        path: str,
        body: Any = None,
        *,
        who: str | None = None,
        refusal: str | None = None,
        **headers: str,
    ) -> Any:
        """Its answer, which is kept; None for the one refusal that may come."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if who is not None:
            headers |= (await self._bearer(who)) | self._workspace
        self.ledger.deeds.append(deed)
        headers["X-Request-ID"] = deed.request
        answer = await self._http.request(method, path, json=body, headers=headers)
        if refusal is not None and refusal in answer.text:
            self.ledger.deeds.remove(deed)
            return None
        deed.answer = ok(answer) or {}
        return deed.answer

    async def _bearer(self, who: str) -> dict[str, str]:
        if time.monotonic() - self._signed_in[who] > _RENEWED:
            self._signed_in[who] = time.monotonic()
            person = self.cast[who]
            self.cast.keep(who, person.password, (await self._login(who)).answer)
        return self.cast[who].bearer

    async def _login(self, who: str) -> Deed:
        person = self.cast[who]
        deed = Deed("login", ("session.started",), {"who": who})
        body = {"email": person.email, "password": person.password}
        answer = await self._do(deed, "POST", "/api/v1/auth/login", body)
        deed.facts["session"] = unpack(answer["access_token"])[1]["sid"]
        return deed

    async def _sign_ins(self, who: str) -> None:
        """Sign in, refresh, refresh, sign out. What an earlier round left alive ends first."""
        self.ledger.live.pop(who, None)
        first = await self._login(who)
        everywhere = Deed("logout_all", (), {"who": who})
        mine = [d for d in self.ledger.done("login") if d.facts["who"] == who]
        await self._do(everywhere, "POST", "/api/v1/auth/logout-all", **_as(first.answer))
        everywhere.facts["sessions"] = [d.facts["session"] for d in mine]
        self.ledger.revoked_tokens.append(first.answer["access_token"])
        while True:
            login = await self._login(who)
            session, last = login.facts["session"], login.answer
            self.ledger.live[who] = last["access_token"]
            spent = []
            for _ in range(2):
                token = last["refresh_token"]
                deed = Deed("refresh", ("session.refreshed",), {"session": session, "token": token})
                body = {"refresh_token": token}
                last = await self._do(deed, "POST", "/api/v1/auth/refresh", body)
                spent.append(token)
            del self.ledger.live[who]
            logout = Deed("logout", ("session.ended",), {"session": session})
            await self._do(logout, "POST", "/api/v1/auth/logout", **_as(last))
            self.ledger.revoked_tokens.append(last["access_token"])
            self.ledger.spent += spent

    async def _roles(self, who: str, target: str) -> None:
        id = self.cast[target].id
        (now,) = self.ledger.roles[id]
        while True:
            role = ROLES[(ROLES.index(now) + 1) % len(ROLES)]
            self.ledger.roles[id].add(role)
            deed = Deed("role", ("member.changed",), {"user": id, "role": role})
            await self._do(deed, "PATCH", f"/api/v1/users/{id}", {"role": role}, who=who)
            self.ledger.roles[id] = {role}
            now = role

    async def _projects(self, who: str) -> None:
        while True:
            body = {"name": a_name()}
            deed = Deed("project", ("project.created",), body)
            await self._do(deed, "POST", "/api/v1/projects", body, who=who)

    async def _runs(self, who: str) -> None:
        while True:
            name = a_name()
            body = {"experiment_id": "0", "run_name": name, "tags": [{"key": "k", "value": name}]}
            made = Deed("run", (), {"name": name})
            answer = await self._do(made, "POST", f"{MLFLOW}/runs/create", body, who=who)
            run = answer["run"]["info"]["run_id"]
            batch = {
                "run_id": run,
                "params": [{"key": f"p{n}", "value": name} for n in range(PARAMS)],
                "metrics": [
                    {"key": f"m{n}", "value": float(n), "timestamp": 1, "step": n}
                    for n in range(METRICS)
                ],
            }
            await self._do(
                Deed("batch", (), {"run": run}), "POST", f"{MLFLOW}/runs/log-batch", batch, who=who
            )

    async def _api_keys(self, who: str) -> None:
        while True:
            body = {"name": a_name()}
            deed = Deed("key", ("api_key.created",), body)
            made = await self._do(deed, "POST", "/api/v1/api-keys", body, who=who)
            self._keys.append(made)
            self.ledger.live[made["id"]] = made["secret"]
            if len(self._keys) <= _KEYS:
                continue
            oldest = self._keys.pop(0)
            del self.ledger.live[oldest["id"]]
            ended = Deed("key_end", ("api_key.revoked",), {"key": oldest["id"]})
            await self._do(ended, "DELETE", f"/api/v1/api-keys/{oldest['id']}", who=who)
            self.ledger.revoked_tokens.append(oldest["secret"])

    async def _invitations(self, who: str) -> None:
        """Each is mailed by a job; one request a round has a job verify the whole trail."""
        verify = Deed("verify", ("audit.verification_started",), {})
        await self._do(verify, "POST", "/api/v1/audit-events/verification", who=who)
        while True:
            body = {"email": f"{new_id().hex}@crash.test", "role": "viewer"}
            deed = Deed("invitation", ("invitation.created",), body)
            await self._do(deed, "POST", "/api/v1/users/invitations", body, who=who)

    async def _quota(self, who: str) -> None:
        """Two of these fill the tenant up, and make room again when it is full."""
        path = "/api/v1/projects"
        while True:
            body = {"name": a_name()}
            deed = Deed("quota", ("project.created",), body)
            if await self._do(deed, "POST", path, body, who=who, refusal="quota-exceeded"):
                continue
            there = await self._http.get(path, headers=await self._bearer(who))
            for one in ok(there)["items"][:2]:
                deed = Deed("unquota", ("project.deleted",), {"project": one["id"]})
                confirmed = f"{path}/{one['id']}?confirm={one['slug']}"
                await self._do(deed, "DELETE", confirmed, who=who, refusal="project-not-found")


def a_crowd(server: LiveServer) -> tuple[Cast, Ledger, str]:
    """Everybody, the empty ledger, and the slug of the project that runs go into."""
    cast, ledger = a_cast(server), Ledger()
    people = {"A": ("signer", "target", "keeper"), "B": ("signer",)}
    with cast.client("root") as root:
        for tenant in ok(root.get("/tenants"))["items"]:
            most = {"tenant-a": 1_000_000, "tenant-b": QUOTA}.get(tenant["slug"])
            if most is not None:
                limits = {"limits": {"max_projects": most}}
                ok(root.patch(f"/tenants/{tenant['id']}", json=limits))
    for letter, names in people.items():
        with cast.client(f"admin{letter}") as admin, cast.client() as nobody:
            for name in names:
                place = {"email": f"{name}@{letter}.test", "role": ROLES[0]}
                offer = ok(admin.post("/users/invitations", json=place))
                password = a_password()
                body = {"token": offer["token"], "password": password, "name": name}
                made = ok(nobody.post("/auth/invitations/accept", json=body))
                cast.keep(f"{name}{letter}", password, made)
    ledger.roles = defaultdict(set, {cast["targetA"].id: {ROLES[0]}})
    with cast.client("memberA") as member:
        slug: str = ok(member.post("/projects", json={"name": "Crash"}))["slug"]
    return cast, ledger, slug


def _as(answer: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {answer['access_token']}"}
