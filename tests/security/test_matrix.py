"""Group D: every operation, as everybody, against the table in `support.policy`."""

import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import update

from maestro_ml.core.access import Access, Role, Scope
from maestro_ml.core.clock import utc_now
from maestro_ml.core.settings import Settings
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_system_work, open_work
from maestro_ml.identity import tokens
from maestro_ml.identity.keys import KeyRing
from maestro_ml.identity.models import User
from maestro_ml.identity.secret import load_secret
from maestro_ml.identity.service import signing_keys
from maestro_ml.jobs.service import enqueue
from support.forgery import unpack
from support.live import METRICS_TOKEN, Cast, LiveServer, a_password, ok
from support.policy import METRICS, POLICY, PUBLIC, Operation, Standing, operations, verdict
from support.signin import an_api_key

OPERATIONS = operations()
MLFLOW = "/api/2.0/mlflow"
LEAKS = ("Traceback", "sqlalchemy", "asyncpg", "site-packages", "/usr/", "$argon2")
GIVES_TOKENS = {"register_user", "login", "refresh_tokens", "accept_invitation", "set_up_platform"}


@dataclass
class Call:
    """What an operation is sent, and how it ends for whoever may."""

    body: Any = None
    query: dict[str, str] = field(default_factory=dict)
    path: dict[str, str] = field(default_factory=dict)
    bearer: str | None = None  # in place of the caller's own
    ends: str | None = None  # the code of a refusal; None: it is done
    finds: bool = False  # a search: what is elsewhere is not found, and that is no fault
    after: Callable[[], object] = lambda: None
    used_up: bool = False


@dataclass(frozen=True)
class Principal:
    name: str
    standing: Standing
    headers: Callable[[], dict[str, str]]
    person: str | None = None  # of the cast, in a session
    at_home: bool = False  # names no workspace, so that MLflow's calls are in their own


@dataclass
class Stage:
    """Tenant A's things, made anew where a call would use them up. Each carries the mark in its
    free text, and `theirs` holds what names one."""

    cast: Cast
    http: httpx2.Client
    principals: list[Principal]
    jobs: list[str]
    mark: str = field(default_factory=lambda: f"SENT{secrets.token_hex(6)}")
    theirs: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.theirs |= {self.mark, *self.jobs, self.cast["viewerA"].id}
        self.project, self.slug = self.a_project()
        self.with_viewer(self.project)
        self.workspace = {"X-MLFLOW-WORKSPACE": self.slug}
        self.experiment_name = f"{self.mark} {secrets.token_hex(4)}"
        self.experiment = self.an_experiment(self.experiment_name)
        self.run = self.a_run()
        self.ended_job = self.jobs.pop()
        ok(self.made("POST", f"/api/v1/jobs/{self.ended_job}/cancel"))

    def made(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        """By tenant A's maintainer, who so leads the team of what they make and nobody else."""
        headers = self.cast["maintainerA"].bearer | getattr(self, "workspace", {})
        return self.http.request(method, path, json=body, headers=headers)

    def by_admin(self, method: str, path: str, body: Any = None) -> Any:
        return ok(self.http.request(method, path, json=body, headers=self.cast["adminA"].bearer))

    def a_project(self) -> tuple[str, str]:
        body = {"name": f"{self.mark} {secrets.token_hex(4)}", "description": self.mark}
        made = ok(self.made("POST", "/api/v1/projects", body))
        self.theirs |= {made["id"], made["slug"]}
        return made["id"], made["slug"]

    def with_viewer(self, project: str) -> str:
        body = {"user_id": self.cast["viewerA"].id, "role": "viewer"}
        ok(self.made("POST", f"/api/v1/projects/{project}/members", body))
        return project

    def an_experiment(self, name: str | None = None, *, deleted: bool = False) -> str:
        body = {"name": name or f"{self.mark} {secrets.token_hex(4)}"}
        made = ok(self.made("POST", f"{MLFLOW}/experiments/create", body))
        id: str = made["experiment_id"]
        self.theirs.add(id)
        tag = {"experiment_id": id, "key": "tag", "value": self.mark}
        ok(self.made("POST", f"{MLFLOW}/experiments/set-experiment-tag", tag))
        if deleted:
            ok(self.made("POST", f"{MLFLOW}/experiments/delete", {"experiment_id": id}))
        return id

    def a_run(self) -> str:
        body = {"experiment_id": self.experiment, "run_name": self.mark}
        made = ok(self.made("POST", f"{MLFLOW}/runs/create", body))
        id: str = made["run"]["info"]["run_id"]
        self.theirs.add(id)
        batch = {
            "run_id": id,
            "metrics": [{"key": "m", "value": 1.0, "timestamp": 1}],
            "params": [{"key": "p", "value": self.mark}],
            "tags": [{"key": "tag", "value": self.mark}],
        }
        ok(self.made("POST", f"{MLFLOW}/runs/log-batch", batch))
        return id

    def an_invitation(self) -> str:
        body = {"email": f"{secrets.token_hex(6)}@{self.mark.lower()}.test", "role": "viewer"}
        id: str = self.by_admin("POST", "/api/v1/users/invitations", body)["id"]
        self.theirs.add(id)
        return id

    def an_api_key(self, who: Principal) -> str:
        """Of the caller's own, if they are of A and can have one; else of A's admin."""
        owner = who.person if who.person and who.standing.home == "A" else "adminA"
        made = self.http.post(
            "/api/v1/api-keys", json={"name": self.mark}, headers=self.cast[owner].bearer
        )
        id: str = ok(made)["id"]
        self.theirs.add(id)
        return id

    def a_login(self, who: Principal) -> dict[str, Any]:
        person = self.cast[who.person or "spare"]
        body = {"email": person.email, "password": person.password}
        answer: dict[str, Any] = ok(self.http.post("/api/v1/auth/login", json=body))
        return answer

    def fill(self, stem: str, who: Principal) -> str:
        """An object of A, by the word before its place in the address."""
        match stem:
            case "projects":
                return self.project
            case "users" | "members":
                return self.cast["viewerA"].id
            case "invitations":
                return self.an_invitation()
            case "api-keys":
                return self.an_api_key(who)
            case "jobs":
                return self.jobs[-1]
        pytest.fail(f"nothing is known to put behind /{stem}/: teach `Stage.fill`")

    def call_of(self, operation: Operation, who: Principal) -> Call:
        prepare = CALLS.get(operation.name)
        if prepare is None and operation.has_body:
            pytest.fail(f"no body is known for {operation}: teach `CALLS`")
        call = prepare(self, who) if prepare else Call()
        words = operation.path.split("/")
        for before, word in pairwise(words):
            if word.startswith("{") and word[1:-1] not in call.path:
                call.path[word[1:-1]] = self.fill(before, who)
        return call


def _named(**changes: Any) -> dict[str, Any]:
    return {"name": f"Mine {secrets.token_hex(4)}"} | changes


def _signing_in(stage: Stage, who: Principal) -> Call:
    person = stage.cast[who.person or "spare"]
    return Call({"email": person.email, "password": person.password})


def _leaving(stage: Stage, who: Principal) -> Call:
    return Call(bearer=stage.a_login(who)["access_token"] if who.person else None)


def _leaving_everywhere(stage: Stage, who: Principal) -> Call:
    person = who.person
    return Call(after=lambda: stage.cast.sign_in(person) if person else None)


def _accepting(token: str) -> dict[str, str]:
    return {"token": token, "password": a_password(), "name": "N"}


def _of_experiment(**more: Any) -> Callable[[Stage, Principal], Call]:
    return lambda stage, _: Call({"experiment_id": stage.experiment} | more)


def _of_run(**more: Any) -> Callable[[Stage, Principal], Call]:
    return lambda stage, _: Call({"run_id": stage.run} | more)


def _deleted_run(stage: Stage) -> str:
    run = stage.a_run()
    ok(stage.made("POST", f"{MLFLOW}/runs/delete", {"run_id": run}))
    return run


def _tagged_run(stage: Stage) -> str:
    tag = {"run_id": stage.run, "key": "gone", "value": "x"}
    ok(stage.made("POST", f"{MLFLOW}/runs/set-tag", tag))
    return stage.run


def _tagged_experiment(stage: Stage) -> str:
    tag = {"experiment_id": stage.experiment, "key": "gone", "value": "x"}
    ok(stage.made("POST", f"{MLFLOW}/experiments/set-experiment-tag", tag))
    return stage.experiment


# What needs more than an address. Where a call would destroy what others need, it gets an object
# of its own, or makes a mistake that is found out last.
CALLS: Mapping[str, Callable[[Stage, Principal], Call]] = {
    "register_user": lambda stage, _: Call(
        {"email": stage.cast["viewerA"].email, "password": a_password(), "name": "N"},
        ends="email-taken",
    ),
    "login": _signing_in,
    "refresh_tokens": lambda stage, who: Call(
        {"refresh_token": stage.a_login(who)["refresh_token"]}
    ),
    "set_up_platform": lambda *_: Call(
        _accepting(tokens.mint(tokens.SETUP)) | {"email": "another@root.test"}, ends="setup-refused"
    ),
    "accept_invitation": lambda *_: Call(
        _accepting(tokens.mint(tokens.INVITATION)), ends="invitation-invalid"
    ),
    "logout": _leaving,
    "logout_everywhere": _leaving_everywhere,
    "create_tenant": lambda *_: Call(
        _named(slug=f"t-{secrets.token_hex(4)}", admin_email="new@admin.test")
    ),
    "create_api_key": lambda *_: Call(_named()),
    "invite_user": lambda *_: Call(
        {"email": f"{secrets.token_hex(6)}@invited.test", "role": "viewer"}
    ),
    "change_user": lambda *_: Call({"role": "viewer"}),
    "create_project": lambda *_: Call(_named()),
    "change_project": lambda *_: Call({"status": secrets.choice(("planned", "active"))}),
    "delete_project": lambda *_: Call(query={"confirm": "no"}, ends="project-delete-unconfirmed"),
    "archive_project": lambda stage, _: Call(path={"id": stage.a_project()[0]}),
    "add_project_member": lambda stage, _: Call(
        {"user_id": stage.cast["viewerA"].id, "role": "viewer"},
        path={"id": stage.a_project()[0]},
    ),
    "change_project_member": lambda *_: Call({"role": "viewer"}),
    "remove_project_member": lambda stage, _: Call(
        path={"id": stage.with_viewer(stage.a_project()[0])}
    ),
    "cancel_job": lambda stage, _: Call(path={"id": stage.jobs.pop()}),
    "watch_job": lambda stage, _: Call(path={"id": stage.ended_job}),
    "POST experiments/create": lambda *_: Call(_named()),
    "GET experiments/get": lambda stage, _: Call(query={"experiment_id": stage.experiment}),
    "GET experiments/get-by-name": lambda stage, _: Call(
        query={"experiment_name": stage.experiment_name}
    ),
    "POST experiments/search": lambda *_: Call({"max_results": 5}),
    "POST experiments/update": lambda stage, _: Call(
        {"experiment_id": stage.an_experiment(), "new_name": secrets.token_hex(6)}
    ),
    "POST experiments/delete": lambda stage, _: Call({"experiment_id": stage.an_experiment()}),
    "POST experiments/restore": lambda stage, _: Call(
        {"experiment_id": stage.an_experiment(deleted=True)}
    ),
    "POST experiments/set-experiment-tag": _of_experiment(key="k", value="v"),
    "POST experiments/delete-experiment-tag": lambda stage, _: Call(
        {"experiment_id": _tagged_experiment(stage), "key": "gone"}
    ),
    "POST runs/create": _of_experiment(),
    "GET runs/get": lambda stage, _: Call(query={"run_id": stage.run}),
    "POST runs/update": _of_run(status="RUNNING"),
    "POST runs/delete": lambda stage, _: Call({"run_id": stage.a_run()}),
    "POST runs/restore": lambda stage, _: Call({"run_id": _deleted_run(stage)}),
    "POST runs/log-metric": _of_run(key="k", value=1.0, timestamp=1),
    "POST runs/log-parameter": _of_run(key="k", value="v"),
    "POST runs/log-batch": _of_run(tags=[{"key": "k", "value": "v"}]),
    "POST runs/set-tag": _of_run(key="k", value="v"),
    "POST runs/delete-tag": lambda stage, _: Call({"run_id": _tagged_run(stage), "key": "gone"}),
    "POST runs/search": lambda stage, _: Call({"experiment_ids": [stage.experiment]}, finds=True),
    "GET metrics/get-history": lambda stage, _: Call(
        query={"run_id": stage.run, "metric_key": "m"}
    ),
}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _bearer_of(cast: Cast, name: str) -> dict[str, str]:
    """As they are signed in now."""
    return dict(cast[name].bearer)


@pytest.fixture(scope="module")
async def stage(cast: Cast, live: LiveServer, truth: Sessions) -> AsyncIterator[Stage]:
    tenant = UUID(unpack(cast["adminA"].token)[1]["tid"])
    async with open_work(truth, Access.system(tenant)) as work:
        later = work.now + timedelta(days=1)
        jobs = [(await enqueue(work, "nobody.runs", {}, run_at=later)).id for _ in range(2 * _MANY)]
    with cast.client() as nobody:
        password = a_password()
        body = {"email": "spare@someone.test", "password": password, "name": "Spare"}
        cast.keep("spare", password, ok(nobody.post("/auth/register", json=body)))
    with cast.client("adminB") as admin:
        ok(admin.post("/projects", json=_named()))
    everybody = [
        *await _nobodies(cast, live, truth, tenant),
        *await _somebodies(cast, truth, tenant),
    ]
    with httpx2.Client(base_url=cast.url, timeout=30) as http:
        yield Stage(cast, http, everybody, [str(id) for id in jobs])


_MANY = 25  # more than there are principals
_NOBODY = Standing(known=False)


async def _nobodies(cast: Cast, live: LiveServer, truth: Sessions, tenant: UUID) -> list[Principal]:
    """Who has no credential, or one that is not good, or is not good any more: each would be an
    admin of A."""
    admin, now = cast["adminA"], utc_now()
    with cast.client("adminA") as client:
        offer = ok(
            client.post("/users/invitations", json={"email": "gone@a.test", "role": "admin"})
        )
        gone = ok(client.post("/auth/invitations/accept", json=_accepting(offer["token"])))
        login = {"email": admin.email, "password": admin.password}
        ended = ok(client.post("/auth/login", json=login))["access_token"]
        client.post("/auth/logout", headers=bearer(ended)).raise_for_status()
    every = [scope.value for scope in Scope]
    revoked = await an_api_key(truth, admin.id, tenant, scopes=every, revoked_at=now)
    expired = await an_api_key(
        truth, admin.id, tenant, scopes=every, expires_at=now - timedelta(seconds=1)
    )
    async with truth.begin(SYSTEM) as session:
        await session.execute(
            update(User).where(User.id == UUID(gone["user"]["id"])).values(active=False)
        )
    ring = KeyRing(load_secret(Settings(data=live.data)))
    async with open_system_work(truth, read_only=True) as work:
        key = await signing_keys.active(work)
        ring.learn(key)

    def minted(ago: timedelta) -> dict[str, str]:
        """Signed with the server's own key, for the session that the admin is in."""
        claims = unpack(cast["adminA"].token)[1]
        user, session = UUID(claims["sub"]), UUID(claims["sid"])
        when = utc_now() - ago
        return bearer(ring.issue(key.kid, user=user, session=session, tenant=tenant, now=when))

    fresh = httpx2.get(f"{cast.url}/api/v1/users", headers=minted(timedelta()))
    assert fresh.status_code == 200  # so that only its age is wrong with the other
    return [
        Principal("nobody", _NOBODY, dict),
        Principal("garbage", _NOBODY, lambda: bearer("x.y.z")),
        Principal("a session that ended", _NOBODY, lambda: bearer(ended)),
        Principal("an expired token", _NOBODY, lambda: minted(timedelta(hours=1))),
        Principal("somebody disabled", _NOBODY, lambda: bearer(gone["access_token"])),
        Principal("a revoked key", _NOBODY, lambda: bearer(revoked)),
        Principal("an expired key", _NOBODY, lambda: bearer(expired)),
    ]


async def _somebodies(cast: Cast, truth: Sessions, tenant: UUID) -> list[Principal]:
    found = [
        Principal(name, standing, partial(_bearer_of, cast, name), name)
        for name, standing in (
            *((f"{role}A", Standing(role=role)) for role in Role),
            ("adminB", Standing(home="B", role=Role.ADMIN)),
            ("root", Standing(home="default", role=Role.ADMIN, platform_admin=True)),
        )
    ]
    b = next(one for one in found if one.name == "adminB")
    found.append(Principal("adminB at home", b.standing, b.headers, b.person, at_home=True))
    for owner, role, *scopes in (
        ("adminA", Role.ADMIN, Scope.READ),
        ("adminA", Role.ADMIN, Scope.READ, Scope.WRITE),
        ("adminA", Role.ADMIN, *Scope),
        ("viewerA", Role.VIEWER, Scope.READ, Scope.WRITE),
    ):
        secret = await an_api_key(
            truth, cast[owner].id, tenant, scopes=[scope.value for scope in scopes]
        )
        standing = Standing(role=role, scopes=frozenset(scopes), by_key=True)
        name = f"{owner}'s key to {' and '.join(scopes)}"
        found.append(Principal(name, standing, partial(bearer, secret)))
    return found


def ask(stage: Stage, operation: Operation, who: Principal, call: Call) -> list[str]:
    """What is wrong with the answer."""
    headers = who.headers() if call.bearer is None else bearer(call.bearer)
    if operation.mlflow and not who.at_home:
        headers |= stage.workspace
    path = operation.path.format(**call.path)
    answer = stage.http.request(
        operation.method, path, params=call.query, json=call.body, headers=headers
    )
    call.after()
    call.used_up = answer.is_success
    told = f"{path} {call.query} {json.dumps(call.body)} {headers.get('X-MLFLOW-WORKSPACE')}"
    names = any(word in told for word in stage.theirs) and not (call.finds and who.at_home)
    refused = verdict(operation.name, who.standing, "A" if names else None)
    if refused is not None:
        right = answer.status_code == refused
    elif call.ends is not None:
        right = _problem(answer) == call.ends
    else:
        right = answer.is_success
    if not right:
        wanted = refused or call.ends or "2xx"
        return [f"{who.name}: {answer.status_code} instead of {wanted}: {answer.text[:300]}"]
    if who.standing.home != "A" and stage.mark not in told:
        assert stage.mark not in answer.text + str(answer.headers), f"{who.name} sees A's mark"
    keeps_the_rules(operation, answer)
    return []


def _problem(answer: httpx2.Response) -> str | None:
    with suppress(ValueError):
        return str(answer.json().get("type", "")).removeprefix("/problems/")
    return None


def keeps_the_rules(operation: Operation, answer: httpx2.Response) -> None:
    """What holds for every answer there is."""
    assert answer.status_code < 500
    for leak in LEAKS if operation.name in GIVES_TOKENS else (*LEAKS, "eyJ"):
        assert leak not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-request-id"]
    if operation.name != "read_signing_keys":
        assert answer.headers["cache-control"] == "no-store"
    if answer.is_error:
        problem = "application/json" if operation.mlflow else "application/problem+json"
        assert answer.headers["content-type"] == problem
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_everybody_gets_what_the_table_says(stage: Stage, operation: Operation) -> None:
    assert operation.name in POLICY, f"{operation} is not in the table"
    wrong: list[str] = []
    call = None
    for who in stage.principals:
        if who.at_home and not operation.mlflow:
            continue
        if call is None or call.used_up or who.person is not None:
            call = stage.call_of(operation, who)
        wrong += ask(stage, operation, who, call)
    assert not wrong, "\n".join(wrong)


def test_the_table_is_of_what_there_is(stage: Stage) -> None:
    assert {operation.name for operation in OPERATIONS} == set(POLICY)
    assert len(stage.principals) <= _MANY
    contract = ok(stage.http.get("/openapi.json"))
    named = {o["operationId"] for path in contract["paths"].values() for o in path.values()}
    assert named <= set(POLICY)
    assert {name for name, policy in POLICY.items() if policy in {PUBLIC, METRICS}} == {
        *("read_docs", "read_openapi", "read_health", "read_readiness", "read_version"),
        *("read_metrics", "read_signing_keys", "read_auth_health", "register_user", "login"),
        *("refresh_tokens", "set_up_platform", "accept_invitation"),
    }


def test_the_figures_have_a_token_of_their_own(stage: Stage) -> None:
    answer = stage.http.get("/metrics", headers=bearer(METRICS_TOKEN))
    assert answer.status_code == 200
    assert "maestro_http_requests" in answer.text
    assert stage.mark not in answer.text
    for sent in ({}, bearer("x"), bearer(METRICS_TOKEN + "x"), {"Authorization": METRICS_TOKEN}):
        assert stage.http.get("/metrics", headers=sent).status_code == 401
    assert stage.http.get(f"/metrics?token={METRICS_TOKEN}").status_code == 401
    for path in ("/api/v1/auth/me", "/api/v1/projects"):
        assert stage.http.get(path, headers=bearer(METRICS_TOKEN)).status_code == 401


def test_nothing_of_tenant_a_was_changed_by_others(stage: Stage) -> None:
    project = ok(stage.made("GET", f"/api/v1/projects/{stage.project}"))
    assert (project["description"], project["archived_at"]) == (stage.mark, None)
    run = ok(stage.made("GET", f"{MLFLOW}/runs/get?run_id={stage.run}"))["run"]
    assert (run["info"]["run_name"], run["info"]["lifecycle_stage"]) == (stage.mark, "active")
