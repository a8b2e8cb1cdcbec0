"""Requests that nobody thought of, made from the server's own contract and sent as several callers.

Each operation gets its share as each caller. The ids in addresses and bodies are mostly of things
that exist: whatever an answer names is used from then on.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any
from uuid import UUID

import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi import checks
from sqlalchemy import update

from maestro_ml.core.access import Scope
from maestro_ml.core.settings import Settings
from maestro_ml.db.engine import make_engines
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity.models import User
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.service import sessions as verbs
from maestro_ml.identity.service.places import place_of
from maestro_ml.tenancy.models import SessionProfile, Tenant, TenantStatus
from support.forgery import unpack
from support.live import Cast, LiveServer, a_cast, ok
from support.signin import an_api_key
from support.sources import an_address

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.ignored_auth,
]
CALLERS = ("adminA", "viewerA", "key", "root", "nobody")
# The only place that an identity provider may be said to be at: nobody listens there.
NOWHERE = "http://localhost:1"
# Where a body names a thing, by what such things are listed under.
NAMED = {"user_id": "users", "default_project_id": "projects", "project_ids": "projects"}
_THINGS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("adminA", "/projects", {"name": "Project {}"}),
    ("adminA", "/service-accounts", {"name": "Machine {}", "role": "member"}),
    ("adminA", "/users/invitations", {"email": "{}@invited.test", "role": "viewer"}),
    ("adminA", "/api-keys", {"name": "Key {}"}),
    (
        "adminA",
        "/identity-providers",
        {"name": "P {}", "slug": "p-{}", "issuer": NOWHERE, "client_id": "c"},
    ),
    (
        "adminA",
        "/webhooks",
        {"name": "W {}", "url": NOWHERE, "events": ["project.deleted"]},
    ),
    ("root", "/tenants", {"name": "T {}", "slug": "fuzz-{}", "admin_email": "{}@new.test"}),
)
_EACH = 4  # requests from one address
_ORDER = ("post", "put", "get", "patch", "delete")


@dataclass
class Fuzz:
    """A server of its own, what is known to be there, and what was found."""

    url: str
    cast: Cast
    identity: Identity
    runner: asyncio.Runner
    credentials: dict[str, str] = field(default_factory=dict)
    there: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    findings: dict[str, str] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)

    def run(self, cases: int, seed: int, *, say: Callable[[str], object] = str) -> None:
        """So many cases, with each operation's share the same: of one that has fewer to offer, the
        rest is left to those after it.

        With fewer cases than operations times callers, the callers take turns.
        """
        contract = schemathesis.openapi.from_url(f"{self.url}/openapi.json")
        every: Any = contract.get_all_operations()
        operations = sorted(
            (one.ok() for one in every),
            key=lambda one: ("{" in one.path, _ORDER.index(one.method), one.path),
        )
        random = Random(seed)
        pairs = [(one, who) for one in operations for who in CALLERS]
        if cases < 2 * len(pairs):
            first = random.randrange(len(CALLERS))
            pairs = [
                (one, CALLERS[(first + turn) % len(CALLERS)]) for turn, one in enumerate(operations)
            ]
        self.restore()
        for number, (operation, who) in enumerate(pairs, start=1):
            left = cases - self.statuses.total()
            share = max(1, -(-left // (len(pairs) - number + 1)))
            self._operation(operation, who, share, random.randrange(2**32))
            if number % 20 == 0 or number == len(pairs):
                sent, found = self.statuses.total(), len(self.findings)
                say(f"{number} of {len(pairs)}: {sent} cases, {found} findings")

    def fill(self) -> None:
        """Something to name, of every kind that an admin makes."""
        for who, path, body in _THINGS:
            with self.cast.client(who) as client:
                for turn in range(3):
                    sent = {name: _filled(value, turn) for name, value in body.items()}
                    self._keep(path, ok(client.post(path, json=sent)))

    def restore(self) -> None:
        """Everybody is in a session of their own again, under the policy they began with."""
        self.runner.run(self._restore())

    async def _restore(self) -> None:
        async with open_system_work(self.identity.sessions) as work:
            await work.session.execute(
                update(Tenant)
                .where(Tenant.slug.in_(("default", "tenant-a", "tenant-b")))
                .values(
                    status=TenantStatus.ACTIVE,
                    mfa_required=False,
                    session_profile=SessionProfile.STANDARD,
                    allowed_domains=[],
                    max_users=10**6,
                    max_projects=10**6,
                    max_requests_per_minute=None,
                )
            )
            for name in ("adminA", "viewerA", "root"):
                claims = unpack(self.cast[name].token)[1]
                user = await work.session.get_one(User, UUID(claims["sub"]))
                place = await place_of(work, user.id, UUID(claims["tid"]))
                begun = await verbs.start(work, self.identity, place)
                self.credentials[name] = begun.access_token

    def _operation(self, operation: Any, who: str, cases: int, seed: int) -> None:
        there = {stem: ids[-20:] for stem, ids in self.there.items()}
        sender = _Sender()

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=cases,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(_cases(operation, there))
        def ask(case: Any) -> None:
            self._ask(case, who, sender)

        ask()
        sender.close()
        if operation.path.startswith("/api/v1/tenants") and operation.method != "get":
            self.restore()

    def _ask(self, case: Any, who: str, sender: "_Sender") -> None:
        case.path_parameters = dict(case.path_parameters or {})
        for _ in range(2):
            headers = {}
            if who in self.credentials:
                headers["Authorization"] = f"Bearer {self.credentials[who]}"
            sent = {"base_url": self.url, "session": sender.session(), "timeout": 30}
            answer = case.call(headers=headers, **sent)
            if answer.status_code != 401 or who == "nobody" or not case.operation.security:
                break
            self.restore()  # this, or an earlier one, ended the caller's session
        self.statuses[answer.status_code] += 1
        try:
            case.validate_response(
                answer, checks=CHECKS, headers=headers, transport_kwargs=sent | {"headers": headers}
            )
        except (Failure, FailureGroup) as failure:
            self._note(case, who, failure)
        if answer.status_code in {200, 201}:
            self._learn(case.operation.path, answer)

    def _note(self, case: Any, who: str, failure: Failure | FailureGroup) -> None:
        every = failure.exceptions if isinstance(failure, FailureGroup) else [failure]
        for one in every:
            title = f"{case.operation.label} as {who}: {type(one).__name__}"
            self.findings.setdefault(title, f"{one}\n{case.as_curl_command()}")

    def _learn(self, path: str, answer: Any) -> None:
        """What is there, by the word that stands before its place in an address."""
        if answer.headers.get("content-type") != ["application/json"]:
            return
        self._keep(path, answer.json())

    def _keep(self, path: str, found: Any) -> None:
        stem = path.rpartition("/")[2]
        if stem.startswith("{"):
            return
        things = found.get("items", [found]) if isinstance(found, dict) else []
        for thing in things:
            named = thing.get("tenant", thing)
            id = named.get("id") or named.get("user_id")
            if isinstance(id, str) and id not in self._own and id not in self.there[stem]:
                self.there[stem].append(id)

    @property
    def _own(self) -> set[str]:
        """The callers and their tenants: a case that ended one would end what comes after it."""
        claims = [unpack(person.token)[1] for person in self.cast.people.values()]
        return {one[name] for one in claims for name in ("sub", "tid")}

    def summary(self) -> str:
        spread = ", ".join(f"{n} x {status}" for status, n in sorted(self.statuses.items()))
        found = "".join(f"\n\n{title}\n{what}" for title, what in self.findings.items())
        return f"{self.statuses.total()} cases: {spread}{found}"


@contextmanager
def a_fuzz(server: LiveServer) -> Iterator[Fuzz]:
    cast = a_cast(server)
    claims = unpack(cast["adminA"].token)[1]
    sessions = Sessions(make_engines(server.database))
    identity = Identity.build(Settings(data=server.data), sessions)
    with asyncio.Runner() as runner:
        runner.run(identity.start())
        fuzz = Fuzz(server.url, cast, identity, runner)
        every = [scope.value for scope in Scope]
        key = an_api_key(sessions, claims["sub"], UUID(claims["tid"]), scopes=every)
        fuzz.credentials["key"] = runner.run(key)
        fuzz.fill()
        yield fuzz
        runner.run(identity.stop())
        runner.run(sessions.engines.dispose())


def _filled(value: Any, turn: int) -> Any:
    return value.format(turn) if isinstance(value, str) else value


@st.composite
def _cases(draw: st.DrawFn, operation: Any, there: dict[str, list[str]]) -> Any:
    mode = draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
    case = draw(operation.as_strategy(generation_mode=mode))
    parts = operation.path.split("/")
    for stem, part in pairwise(parts):
        known = there.get(stem)
        if part.startswith("{") and known and draw(st.integers(0, 3)):
            case.path_parameters[part[1:-1]] = draw(st.sampled_from(known))
    if isinstance(case.body, dict):
        for name, stem in NAMED.items():
            if name in case.body and there.get(stem) and draw(st.booleans()):
                id = draw(st.sampled_from(there[stem]))
                case.body[name] = [id] if name.endswith("s") else id
        if isinstance(case.body.get("issuer"), str):
            case.body["issuer"] = NOWHERE
        if isinstance(case.body.get("url"), str):
            case.body["url"] = NOWHERE
    return case


class _FromSomewhere(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, source_address=(an_address(), 0))


class _Sender:
    """Sessions that come from another address every few requests."""

    def __init__(self) -> None:
        self._sent = 0
        self._session = requests.Session()

    def session(self) -> requests.Session:
        if self._sent % _EACH == 0:
            self.close()
            self._session = requests.Session()
            self._session.trust_env = False
            self._session.mount("http://", _FromSomewhere())
        self._sent += 1
        return self._session

    def close(self) -> None:
        self._session.close()
