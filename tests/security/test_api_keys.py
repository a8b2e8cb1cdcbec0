"""Group B: what a key may do, and how the MLflow client sends one."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

from maestro_ml.core.clock import utc_now
from maestro_ml.db.work import Sessions
from maestro_ml.mlflow.route import PREFIXES
from support.forgery import unpack
from support.live import Cast, a_name, a_password, ok
from support.signin import SignInServer, a_signin_server, an_api_key


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(name: str, password: str) -> dict[str, str]:
    pair = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def a_key(cast: Cast, name: str, *scopes: str) -> dict[str, Any]:
    with cast.client(name) as owner:
        answer = owner.post("/api-keys", json={"name": a_name(), "scopes": scopes})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


@pytest.mark.rows(41)
def test_a_key_is_shown_once_works_and_ends(cast: Cast) -> None:
    made = a_key(cast, "memberA", "read")
    secret = made["secret"]
    with cast.client("memberA") as owner, cast.client() as http:
        listed = ok(owner.get("/api-keys"))["items"]
        assert secret not in json.dumps(listed)
        shown = next(key for key in listed if key["id"] == made["id"])
        assert "secret" not in shown
        assert (shown["prefix"], shown["last_four"]) == (secret[:8], secret[-4:])
        assert not [v for v in shown.values() if isinstance(v, str) and secret[8:-4] in v]
        assert http.get("/projects", headers=bearer(secret)).status_code == 200
        assert owner.delete(f"/api-keys/{made['id']}").status_code == 204
        assert http.get("/projects", headers=bearer(secret)).status_code == 401
        assert http.get("/projects", headers=basic("x", secret)).status_code == 401


@pytest.mark.rows(41)
async def test_an_expired_key_is_nobodys(cast: Cast, truth: Sessions) -> None:
    tenant = UUID(unpack(cast["adminA"].token)[1]["tid"])
    late = utc_now() - timedelta(seconds=1)
    expired = await an_api_key(truth, cast["adminA"].id, tenant, expires_at=late)
    good = await an_api_key(truth, cast["adminA"].id, tenant)
    with cast.client() as http:
        assert http.get("/auth/me", headers=bearer(expired)).status_code == 401
        assert http.get("/auth/me", headers=bearer(good)).status_code == 200


@pytest.mark.rows(41)
def test_a_key_does_no_more_than_its_scope_and_its_owner(cast: Cast) -> None:
    reader = bearer(a_key(cast, "memberA", "read")["secret"])
    writer = bearer(a_key(cast, "adminA", "read", "write", "admin")["secret"])
    viewers = bearer(a_key(cast, "viewerA", "read", "write")["secret"])
    project = {"name": a_name()}
    with cast.client("memberA") as owner:
        ok(owner.post("/projects", json={"name": a_name()}))
    change = {"current_password": cast["adminA"].password, "new_password": a_password()}
    with cast.client() as http:
        for proof, method, path, body in (
            (reader, "POST", "/projects", project),
            (reader, "POST", f"{cast.url}{PREFIXES[0]}/experiments/create", project),
            (viewers, "POST", "/projects", project),  # what its owner may not, it may not
            (viewers, "GET", "/users", None),
            (writer, "POST", "/api-keys", {"name": "x"}),
            (writer, "GET", "/api-keys", None),
            (writer, "POST", "/auth/password/change", change),
            (writer, "POST", "/auth/email/change", {"new_email": "x@a.test"} | change),
            (writer, "GET", "/auth/sessions", None),
            (writer, "DELETE", f"/auth/sessions/{unpack(cast['adminA'].token)[1]['sid']}", None),
            (writer, "POST", "/auth/logout", None),
            (writer, "POST", "/auth/logout-all", None),
            (writer, "GET", "/auth/mfa", None),
        ):
            answer = http.request(method, path, json=body, headers=proof)
            right = {422} if path == "/auth/email/change" else {403}
            assert answer.status_code in right | {403}, (method, path, answer.text)
        assert http.get("/auth/me", headers=cast["adminA"].bearer).status_code == 200
    for name in ("viewerA", "memberA"):
        with cast.client(name) as owner:
            wished = {"name": a_name(), "scopes": ["read", "admin"]}
            assert owner.post("/api-keys", json=wished).status_code == 403


@pytest.mark.rows(41)
def test_a_key_with_one_character_changed_is_nobodys(cast: Cast) -> None:
    secret = a_key(cast, "memberA", "read")["secret"]
    with cast.client() as http:
        for at in (0, 4, 20, len(secret) - 1):
            wrong = secret[:at] + ("A" if secret[at] != "A" else "B") + secret[at + 1 :]
            assert http.get("/auth/me", headers=bearer(wrong)).status_code == 401
        assert http.get("/auth/me", headers=bearer(secret)).status_code == 200


@pytest.mark.rows(42)
@pytest.mark.parametrize("prefix", [prefix for prefix in PREFIXES if "/2.0/" in prefix])
def test_the_mlflow_clients_ways_to_send_a_key_and_no_password(cast: Cast, prefix: str) -> None:
    person, secret = cast["memberA"], a_key(cast, "memberA", "read", "write")["secret"]
    with cast.client("memberA") as owner:
        ok(owner.post("/projects", json={"name": a_name()}))
    paths = (f"{cast.url}{prefix}/experiments/search?max_results=5", "/auth/me")
    with cast.client() as http:
        for path in paths:
            for proof in (bearer(secret), basic(person.email, secret), basic("any", secret)):
                assert http.get(path, headers=proof).status_code == 200, path
            for proof in (
                basic(person.email, person.password),
                basic(secret, ""),
                basic(secret, person.password),
                basic(person.email, person.token),
                bearer(person.password),
            ):
                assert http.get(path, headers=proof).status_code == 401, path


@pytest.fixture
async def here(sessions: Sessions, tmp_path: Path) -> AsyncIterator[SignInServer]:
    """In this process, where hashes and queries can be counted."""
    async with a_signin_server(sessions, tmp_path) as server:
        yield server


@pytest.mark.rows(41, 42)
async def test_a_key_costs_no_hash_and_a_mistyped_one_no_query(
    here: SignInServer, sessions: Sessions
) -> None:
    made = await here.register()
    secret = await an_api_key(sessions, made["user"]["id"])
    hashed, asked = here.identity.passwords.hashed, []

    @event.listens_for(sessions.engines.reading.sync_engine, "before_cursor_execute")
    def count(_: Any, __: Any, statement: str, *___: Any) -> None:
        asked.append(statement)

    wrong = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    for proof in (bearer(wrong), basic("x", wrong), basic(made["email"], made["password"])):
        answer = await here.get("me", authorization=proof["Authorization"])
        assert answer.status_code == 401
    assert asked == []
    for proof in (bearer(secret), basic("x", secret)):
        answer = await here.get("me", authorization=proof["Authorization"])
        assert answer.status_code == 200
    assert asked
    assert here.identity.passwords.hashed == hashed
