"""Rows 73 and 74, as far as an identity provider's address reaches: the server calls nothing
inside, and lets nobody hold it up."""

import asyncio
import secrets
import socket
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from support.issuer import Issuer, an_issuer
from support.live import Cast, ok
from support.outside import INSIDE, hangs, port_of, pours
from support.sso import Browser, a_provider, code_of, registered

PATH = "/identity-providers"


@pytest.mark.rows(73)
@pytest.mark.parametrize("url", INSIDE)
def test_an_address_inside_is_refused_when_it_is_entered(
    cast: Cast, trap: socket.socket, url: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = port_of(taken)
    said = set()
    with cast.client("adminA") as admin:
        for port in (port_of(trap), closed):
            body = {"name": "N", "slug": f"s-{secrets.token_hex(4)}", "client_id": "c"}
            answer = admin.post(PATH, json=body | {"issuer": url.format(port=port)})
            assert answer.status_code == 422
            said.add(str(answer.json() | {"request_id": ""}))
    assert len(said) == 1  # an open port reads like a closed one


@pytest.mark.rows(73)
@pytest.mark.parametrize("where", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
async def test_an_address_inside_is_refused_when_an_issuer_names_it(
    cast: Cast, trap: socket.socket, browser: Browser, where: str
) -> None:
    inside = f"http://127.0.0.1:{port_of(trap)}/x"
    with an_issuer(document={where: inside}) as evil:
        start = registered(cast, evil)
        with cast.client("adminA") as admin:
            id = ok(admin.get(PATH))["items"][0]["id"]
            told = ok(admin.post(f"{PATH}/{id}/test"))
            assert told["works"] == (where != "jwks_uri")
        begun = await browser.start(start)
        assert begun.status_code == 303
        if where != "authorization_endpoint":  # there only the browser goes
            refused = await browser.get(await browser.consent())
            assert code_of(refused) == (401, "single-sign-on-refused")


@pytest.mark.rows(73, 74)
async def test_a_redirect_inside_is_not_followed(
    cast: Cast, trap: socket.socket, browser: Browser
) -> None:
    with an_issuer() as evil:
        start = registered(cast, evil)

        def away(door: BaseHTTPRequestHandler) -> bool:
            door.send_response(302)
            door.send_header("Location", f"http://127.0.0.1:{port_of(trap)}/x")
            door.send_header("Content-Length", "0")
            door.end_headers()
            return True

        evil.answers = away
        assert (await browser.start(start)).status_code == 503
        assert evil.requests == ["/.well-known/openid-configuration"]


@pytest.mark.rows(74)
@pytest.mark.parametrize("misbehave", [pours, hangs])
async def test_an_issuer_holds_nobody_up(cast: Cast, browser: Browser, misbehave: Any) -> None:
    """While one waits for it, others are served; and the wait ends."""
    with an_issuer() as evil:
        start = registered(cast, evil)
        evil.answers = misbehave
        waiting = asyncio.create_task(browser.start(start))
        assert await asyncio.to_thread(evil.called.wait, 30)
        me = await browser.http.get("/api/v1/auth/me", headers=cast["adminA"].bearer)
        assert me.status_code == 200
        assert (await waiting).status_code == 503
        evil.answers = lambda _: False
        assert (await browser.start(start)).status_code == 303


@pytest.mark.rows(74)
async def test_a_certificate_that_nobody_vouches_for_is_none(
    cast: Cast, issuer: Issuer, browser: Browser
) -> None:
    plain = issuer.url.replace("http:", "https:")
    with cast.client("adminA") as admin:
        body = a_provider(issuer, issuer=plain, slug=f"s-{secrets.token_hex(4)}")
        made = ok(admin.post(PATH, json=body))
        told = ok(admin.post(f"{PATH}/{made['id']}/test"))
    assert not told["works"]
    assert "certificate" not in told["detail"].lower()
    assert (await browser.start(made["start_path"])).status_code == 503


@pytest.mark.rows(73)
def test_who_may_not_keep_providers_makes_the_server_ask_nobody(
    cast: Cast, trap: socket.socket
) -> None:
    body = {"name": "N", "slug": "none", "client_id": "c"}
    for who in ("viewerA", "memberA", "maintainerA", None):
        with cast.client(who) as client:
            answer = client.post(PATH, json=body | {"issuer": f"http://127.0.0.1:{port_of(trap)}"})
        assert answer.status_code == (403 if who else 401)
