"""The browser's session: no token in its scripts' reach, and no other site's page may use it."""

from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from pathlib import Path

import httpx2
import pytest

from maestro_ml.db.work import Sessions
from maestro_ml.identity import tokens
from support.signin import SignInServer, a_registration, a_signin_server

OWN = "http://127.0.0.1:8000"
NAME = "__Host-session"


@pytest.fixture
async def server(sessions: Sessions, tmp_path: Path) -> AsyncIterator[SignInServer]:
    options = {
        "server": {"public_url": "https://maestro.example.com/ml"},
        "auth": {"registration": "open"},
    }
    async with a_signin_server(sessions, tmp_path, **options) as server:
        yield server


async def entered(server: SignInServer, name: str = NAME) -> tuple[str, str]:
    """The cookie's value and the CSRF token of somebody who has just registered."""
    answer = await server.post("register", a_registration(), x_client="web")
    assert answer.status_code == 201
    server.http.cookies.clear()
    return SimpleCookie(answer.headers["set-cookie"])[name].value, answer.json()["csrf_token"]


async def logout(server: SignInServer, cookie: str, **headers: str) -> httpx2.Response:
    return await server.post("logout", cookie=f"{NAME}={cookie}", **headers)


async def me(server: SignInServer, cookie: str, **headers: str) -> int:
    return (await server.get("me", cookie=f"{NAME}={cookie}", **headers)).status_code


@pytest.mark.rows(75)
async def test_a_browser_gets_a_cookie_and_no_token(server: SignInServer) -> None:
    body = a_registration()
    for path, status in (("register", 201), ("login", 200)):
        sent = body if path == "register" else {k: body[k] for k in ("email", "password")}
        answer = await server.post(path, sent, x_client="web")
        assert answer.status_code == status
        assert set(answer.json()) == {"csrf_token", "user"}
        cookie = SimpleCookie(answer.headers["set-cookie"])[NAME]
        assert tokens.well_formed(cookie.value, tokens.COOKIE)
        assert cookie.value not in answer.text
        assert (cookie["httponly"], cookie["secure"], cookie["path"]) == (True, True, "/")
        assert (cookie["samesite"], cookie["domain"]) == ("lax", "")


async def test_the_cookie_reads_and_tells_the_csrf_token_again(server: SignInServer) -> None:
    cookie, csrf = await entered(server)
    answer = await server.get("me", cookie=f"{NAME}={cookie}")
    assert answer.status_code == 200
    assert answer.json()["csrf_token"] == csrf
    assert answer.json()["role"] == "viewer"


@pytest.mark.rows(75)
async def test_a_change_needs_the_token_and_our_own_pages(server: SignInServer) -> None:
    cookie, csrf = await entered(server)
    _, other = await entered(server)
    refused: list[dict[str, str]] = [
        {},
        {"origin": OWN},
        {"x_csrf_token": csrf},
        {"x_csrf_token": csrf, "origin": "https://evil.test"},
        {"x_csrf_token": csrf, "origin": "null"},
        {"x_csrf_token": csrf, "origin": "http://127.0.0.1:8001"},
        {"x_csrf_token": csrf, "origin": "https://maestro.example.com.evil.test"},
        {"x_csrf_token": csrf, "origin": "https://evil.test", "sec_fetch_site": "same-origin"},
        {"x_csrf_token": csrf, "sec_fetch_site": "cross-site"},
        {"x_csrf_token": csrf, "sec_fetch_site": "same-site"},
        {"x_csrf_token": "", "origin": OWN},
        {"x_csrf_token": "\u00e9", "origin": OWN},
        {"x_csrf_token": other, "origin": OWN},
        {"x_csrf_token": csrf.upper(), "origin": OWN},
    ]
    for headers in refused:
        raw = {name: value for name, value in headers.items() if value.isascii()}
        answer = await logout(server, cookie, **raw)
        assert answer.status_code == 403, headers
        assert answer.json()["type"] == "/problems/csrf-refused"
    assert await me(server, cookie) == 200
    answer = await logout(server, cookie, x_csrf_token=csrf, origin=OWN)
    assert answer.status_code == 204
    assert await me(server, cookie) == 401


@pytest.mark.rows(75)
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": OWN},
        {"origin": "https://maestro.example.com"},
        {"sec_fetch_site": "same-origin"},
        {"origin": OWN, "sec_fetch_site": "same-origin"},
    ],
    ids=str,
)
async def test_our_own_pages_may_change(server: SignInServer, headers: dict[str, str]) -> None:
    cookie, csrf = await entered(server)
    answer = await logout(server, cookie, x_csrf_token=csrf, **headers)
    assert answer.status_code == 204
    dropped = SimpleCookie(answer.headers["set-cookie"])[NAME]
    assert (dropped.value, dropped["max-age"]) == ("", "0")


async def test_a_header_wins_over_the_cookie_even_if_it_is_bad(server: SignInServer) -> None:
    cookie, _ = await entered(server)
    made = await server.register()
    server.http.cookies.clear()
    assert await me(server, cookie, authorization="Bearer x") == 401
    answer = await logout(server, cookie, authorization=f"Bearer {made['access_token']}")
    assert answer.status_code == 204
    assert await me(server, cookie) == 200


async def test_the_cookie_is_no_bearer_and_its_session_idles_out(server: SignInServer) -> None:
    cookie, _ = await entered(server)
    assert (await server.me(cookie)).status_code == 401
    server.clock.move(days=6)
    assert await me(server, cookie) == 200
    await server.identity.flush()
    server.clock.move(days=6)
    assert await me(server, cookie) == 200
    server.clock.move(days=2)
    assert await me(server, cookie) == 401


async def test_logout_all_ends_browsers_too(server: SignInServer) -> None:
    made = await server.register()
    answer = await server.post(
        "login", {"email": made["email"], "password": made["password"]}, x_client="web"
    )
    cookie = SimpleCookie(answer.headers["set-cookie"])[NAME].value
    server.http.cookies.clear()
    await server.post("logout-all", authorization=f"Bearer {made['access_token']}")
    assert await me(server, cookie) == 401


@pytest.mark.rows(75)
async def test_on_a_plain_network_the_cookie_has_a_plain_name(
    sessions: Sessions, tmp_path: Path
) -> None:
    async with a_signin_server(sessions, tmp_path, auth={"cookie_insecure": True}) as server:
        answer = await server.post("register", a_registration(), x_client="web")
        cookie = SimpleCookie(answer.headers["set-cookie"])["maestro-session"]
        assert (cookie["httponly"], cookie["secure"]) == (True, "")
        assert answer.headers["set-cookie"].count("__Host-") == 0
        server.http.cookies.clear()
        sent = f"maestro-session={cookie.value}"
        assert (await server.get("me", cookie=sent)).status_code == 200
        assert (await server.get("me", cookie=f"{NAME}={cookie.value}")).status_code == 401
