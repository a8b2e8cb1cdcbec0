"""What a request may prove itself with, and all that is nobody."""

import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import event, update
from starlette.requests import Request

from maestro_ml.core.clock import utc_now
from maestro_ml.core.errors import Unauthenticated
from maestro_ml.db.engine import make_engines
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity import tokens
from maestro_ml.identity.lookup import Lookup
from maestro_ml.identity.models import ApiKey
from maestro_ml.identity.service import signing_keys
from support import forgery
from support.signin import API, SignInServer, a_signin_server, an_api_key

ME = f"{API}/auth/me"


@pytest.fixture
async def server(sessions: Sessions, tmp_path: Path) -> AsyncIterator[SignInServer]:
    async with a_signin_server(sessions, tmp_path) as server:
        yield server


async def status(server: SignInServer, headers: Any, path: str = ME) -> int:
    answer = await server.http.get(path, headers=headers)
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"] == "Not authenticated"
    return answer.status_code


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(name: str, password: str) -> dict[str, str]:
    pair = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


async def test_what_is_no_credential_is_nobody(server: SignInServer) -> None:
    nobodies: list[Any] = [
        {},
        {"Authorization": ""},
        {"Authorization": " "},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer x"},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": "Bearer ..."},
        {"Authorization": f"Bearer {tokens.API_KEY}{'x' * 46}"},
        {"Authorization": f"Bearer {tokens.mint(tokens.API_KEY)}"},
        {"Authorization": f"Bearer {tokens.mint(tokens.SETUP)}"},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic eA=="},
        {"Authorization": "Basic /////w=="},
        {"Authorization": "Digest x"},
        {"Authorization": "Token x"},
        {"Authorization": b"Bearer \xff\xfe"},
        {"Authorization": "Bearer " + "x" * 10_000},
        {"Authorization": "Basic " + "eHh4" * 3_000},
        {"Cookie": "__Host-session=x"},
        {"Cookie": f"__Host-session={tokens.mint(tokens.COOKIE)}"},
        {"X-User-Id": "1", "X-Forwarded-User": "admin"},
    ]
    assert [await status(server, headers) for headers in nobodies] == [401] * len(nobodies)


async def test_a_nul_in_the_header_is_nobody(server: SignInServer) -> None:
    made = await server.register()
    scope = {
        "type": "http",
        "method": "GET",
        "path": ME,
        "headers": [(b"authorization", f"Bearer {made['access_token']}\x00".encode())],
    }
    with pytest.raises(Unauthenticated):
        await server.identity.authenticate(Request(scope))


async def test_the_scheme_is_case_insensitive_and_there_is_one_header(
    server: SignInServer,
) -> None:
    good = (await server.register())["access_token"]
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert await status(server, {"Authorization": f"{scheme} {good}"}) == 200
    twice = [("Authorization", f"Bearer {good}")] * 2
    assert await status(server, twice) == 401
    for wrong in (f"Bearer {good} {good}", f"Bearer  {good}", good, f"Bearer {good},"):
        assert await status(server, {"Authorization": wrong}) == 401


async def test_a_token_counts_in_the_header_only(server: SignInServer) -> None:
    good = (await server.register())["access_token"]
    for name in ("access_token", "token"):
        assert await status(server, {}, f"{ME}?{name}={good}") == 401
    for name in ("access_token", "session", "__Host-session", "maestro-session"):
        assert await status(server, {"Cookie": f"{name}={good}"}) == 401
    form = await server.http.post(f"{API}/auth/logout", data={"access_token": good})
    assert form.status_code == 401
    assert await status(server, bearer(good)) == 200


async def test_an_api_key_is_a_bearer_or_the_password_of_a_basic_pair(
    server: SignInServer, sessions: Sessions
) -> None:
    made = await server.register()
    secret = await an_api_key(sessions, made["user"]["id"])
    for headers in (bearer(secret), basic("", secret), basic("josé", secret)):
        answer = await server.http.get(ME, headers=headers)
        assert answer.status_code == 200
        assert answer.json()["id"] == made["user"]["id"]
    for headers in (
        basic(made["email"], made["password"]),
        basic(secret, ""),
        basic(made["email"], made["access_token"]),
        bearer(secret[:-1] + ("A" if secret[-1] != "A" else "B")),
        bearer(f"{secret}\t"),
    ):
        assert await status(server, headers) == 401
    assert server.identity.passwords.hashed == 1  # the registration's


async def test_a_revoked_or_expired_key_is_nobodys(
    server: SignInServer, sessions: Sessions
) -> None:
    user = (await server.register())["user"]["id"]
    expired = await an_api_key(sessions, user, expires_at=utc_now() - timedelta(seconds=1))
    revoked = await an_api_key(sessions, user)
    assert await status(server, bearer(expired)) == 401
    assert await status(server, bearer(revoked)) == 200
    async with sessions.begin(SYSTEM) as session:
        await session.execute(
            update(ApiKey).where(ApiKey.hash == tokens.digest(revoked)).values(revoked_at=utc_now())
        )
    assert await status(server, bearer(revoked)) == 401


async def test_an_api_key_ends_no_session(server: SignInServer, sessions: Sessions) -> None:
    made = await server.register()
    secret = await an_api_key(sessions, made["user"]["id"], scopes=["read", "write", "admin"])
    for path in ("logout", "logout-all"):
        answer = await server.post(path, authorization=f"Bearer {secret}")
        assert answer.status_code == 403
    assert await status(server, bearer(made["access_token"])) == 200


async def test_every_forged_token_is_nobodys(server: SignInServer) -> None:
    good = (await server.register())["access_token"]
    jwks = (await server.http.get("/.well-known/jwks.json")).json()
    forged = [
        *forgery.without_signature(good),
        *forgery.changed(good),
        *forgery.confused(good, jwks["keys"][0]),
        *forgery.own_keys(good),
        *(token for token in forgery.named_keys(good)),
        *forgery.extended(good),
        *(token for token in forgery.misshapen(good) if token.strip() == token),
    ]
    assert len(forged) > 80
    for token in forged:
        assert await status(server, bearer(token)) == 401, token
    assert await status(server, bearer(good)) == 200


async def test_unknown_keys_are_looked_for_at_most_once_in_ten_seconds(
    server: SignInServer, sessions: Sessions
) -> None:
    good = (await server.register())["access_token"]
    header, claims, signature = forgery.unpack(good)
    loads: list[str] = []

    @event.listens_for(sessions.engines.reading.sync_engine, "before_cursor_execute")
    def count(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "FROM signing_keys" in statement:
            loads.append(statement)

    server.clock.move(seconds=11)
    for n in range(1000):
        kid = f"{n:016}"
        forged = f"{forgery.part(header | {'kid': kid})}.{forgery.part(claims)}.{signature}"
        assert await status(server, bearer(forged)) == 401
    assert len(loads) == 1


async def test_a_key_that_another_process_brought_in_is_found(
    server: SignInServer, sessions: Sessions, tmp_path: Path
) -> None:
    made = await server.register()
    async with a_signin_server(sessions, tmp_path) as other:
        for _ in range(2):  # the next key is known ahead, the one after it is not
            async with open_system_work(sessions) as work:
                await signing_keys.rotate(work, other.identity.secret)
        token = (await other.login(made))["access_token"]
        server.clock.move(seconds=11)
        assert await status(server, bearer(token)) == 200
        assert await status(server, bearer(made["access_token"])) == 200


@pytest.mark.parametrize(
    "gone", ["postgresql+asyncpg://127.0.0.1:1/gone", "sqlite+aiosqlite:////gone/maestro.db"]
)
async def test_a_database_that_does_not_answer_lets_nobody_in(
    server: SignInServer, sessions: Sessions, gone: str
) -> None:
    made = await server.register()
    secret = await an_api_key(sessions, made["user"]["id"])
    await server.identity.lookup.close()
    server.identity.lookup = Lookup(make_engines(gone))
    for token in (made["access_token"], secret):
        answer = await server.http.get(ME, headers=bearer(token))
        assert answer.status_code == 503


def test_the_client_here_sends_what_it_is_told() -> None:
    """Guards the tests above: a client that mended the headers would prove nothing."""
    request = httpx2.Request("GET", "http://x/", headers=[("Authorization", "a")] * 2)
    assert len(request.headers.get_list("authorization")) == 2
