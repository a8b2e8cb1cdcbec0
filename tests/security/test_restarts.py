"""Groups A and B: what a server knows before its first sign-in, after a restart, and after its
signing keys have changed. One server's life, in the order of the tests."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import update

from maestro_ml.core.clock import utc_now
from maestro_ml.db.engine import make_engines
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import KeyState, SigningKey
from support.databases import PostgresDatabases, SqliteDatabases
from support.forgery import unpack
from support.live import SETUP, Cast, LiveServer, a_password, ok
from support.starts import run

PATIENCE = 30.0
DEFAULTS = [
    ("admin@maestro.ml", "admin123"),
    ("admin", "admin"),
    ("admin@example.com", "password"),
    ("root", "root"),
    ("admin@maestro.test", "admin"),
    ("root@localhost", "maestro"),
    ("postgres", "postgres"),
]


@pytest.fixture(scope="module")
async def own(
    databases: PostgresDatabases | SqliteDatabases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveServer]:
    """Just installed, without Redis."""
    data = tmp_path_factory.mktemp("own") / "data"
    async with databases.empty() as url:
        with LiveServer(data, {"MAESTRO_DATABASE__URL": url}) as server:
            yield server


def me(http: httpx2.Client, headers: dict[str, str]) -> int:
    return http.get("/auth/me", headers=headers).status_code


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.rows(5)
def test_no_well_known_password_opens_a_new_installation(own: LiveServer) -> None:
    assert len(set(SETUP.findall(own.printed.read_text()))) == 1
    assert not SETUP.findall(own.logged.read_text())
    for email, password in DEFAULTS:
        with Cast(own.url).client() as http:
            body = {"email": email, "password": password}
            assert http.post("/auth/login", json=body).status_code == 401
    with Cast(own.url).client() as http:
        first = {"email": "root@maestro.test", "password": a_password(), "name": "Root"}
        for token in ("", "admin", "mls_" + "x" * 49):
            answer = http.post("/auth/setup", json=first | {"token": token})
            assert answer.status_code in {401, 422}
        secret = {"token": own.setup_token()}
        assert http.post("/auth/setup", json=first | secret).status_code == 201
        another = {"email": "another@maestro.test", "password": a_password(), "name": "A"}
        assert http.post("/auth/setup", json=another | secret).status_code == 401
    for email, password in DEFAULTS:
        with Cast(own.url).client() as http:
            body = {"email": email, "password": password}
            assert http.post("/auth/login", json=body).status_code == 401


def proofs(cast: Cast) -> tuple[list[dict[str, str]], list[dict[str, str]], list[str], list[str]]:
    """Those that live and those that are dead: of requests, and of refreshing."""
    live, out, everywhere, twice = (cast.somebody() for _ in range(4))
    with cast.client() as http:
        web = http.post(
            "/auth/login",
            json={"email": live.email, "password": live.password},
            headers={"X-Client": "web"},
        )
        cookie = {"Cookie": web.headers["set-cookie"].partition(";")[0]}
        http.cookies.clear()
        keys: list[dict[str, Any]] = [
            ok(http.post("/api-keys", json={"name": name}, headers=live.bearer))
            for name in ("stays", "ends")
        ]
        ok(http.delete(f"/api-keys/{keys[1]['id']}", headers=live.bearer))
        ok(http.post("/auth/logout", headers=out.bearer))
        ok(http.post("/auth/logout-all", headers=everywhere.bearer))
        pair = ok(http.post("/auth/refresh", json={"refresh_token": twice.refresh}))
        again = http.post("/auth/refresh", json={"refresh_token": twice.refresh})
        assert again.status_code == 401
    lives = [live.bearer, cookie, bearer(keys[0]["secret"])]
    dead = [out.bearer, everywhere.bearer, twice.bearer, bearer(pair["access_token"])]
    dead.append(bearer(keys[1]["secret"]))
    return lives, dead, [live.refresh], [out.refresh, everywhere.refresh, pair["refresh_token"]]


@pytest.mark.rows(43)
@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_restart_forgets_nothing(own: LiveServer, how: str) -> None:
    cast = Cast(own.url)
    lives, dead, refreshing, spent = proofs(cast)
    if how == "stopped":
        own.stop()
    else:
        own.kill()
    own.start()
    with cast.client() as http:
        assert [me(http, proof) for proof in lives] == [200] * len(lives)
        assert [me(http, proof) for proof in dead] == [401] * len(dead)
        for token in spent:
            body = {"refresh_token": token}
            assert http.post("/auth/refresh", json=body).status_code == 401
        for token in refreshing:
            ok(http.post("/auth/refresh", json={"refresh_token": token}))


def published(own: LiveServer, many: int) -> list[str]:
    """The key ids, once there are so many: a process reads them again after some seconds."""
    deadline = time.monotonic() + PATIENCE
    while True:
        keys = httpx2.get(f"{own.url}/.well-known/jwks.json").json()["keys"]
        if len(keys) == many or time.monotonic() > deadline:
            return [key["kid"] for key in keys]
        time.sleep(0.5)


@pytest.mark.rows(44)
async def test_signing_keys_change_without_an_outage(own: LiveServer) -> None:
    cast = Cast(own.url)
    person = cast.somebody()
    first = unpack(person.token)[0]["kid"]
    assert published(own, 1) == [first]
    command = ("admin", "rotate-keys", "--yes", "--data", str(own.data))
    done = run(*command, MAESTRO_DATABASE__URL=own.database)
    assert done.returncode == 0, done.stderr
    with cast.client() as http:
        body = {"email": person.email, "password": person.password}
        new = ok(http.post("/auth/login", json=body))
        second = unpack(new["access_token"])[0]["kid"]
        assert second != first
        assert me(http, person.bearer) == me(http, bearer(new["access_token"])) == 200
        assert published(own, 2) == [second, first]
        engines = make_engines(own.database)
        async with Sessions(engines).begin(SYSTEM) as session:  # the grace of 15 minutes is over
            late = utc_now() - timedelta(seconds=1)
            old = SigningKey.state == KeyState.RETIRED
            await session.execute(update(SigningKey).where(old).values(retires_at=late))
        await engines.dispose()
        assert published(own, 1) == [second]
        assert me(http, person.bearer) == 401
        assert me(http, bearer(new["access_token"])) == 200
        pair = ok(http.post("/auth/refresh", json={"refresh_token": person.refresh}))
        assert unpack(pair["access_token"])[0]["kid"] == second
