"""Rows 73 and 74, as far as a webhook's address reaches: the server calls nothing inside, and
whoever it calls holds nobody up."""

import asyncio
import secrets
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.webhooks.models import Webhook
from support.hooks import SECRET, Receiver, a_receiver
from support.live import Cast, ok
from support.outside import INSIDE, hangs, port_of, pours
from support.principals import named

PATH, MLFLOW = "/webhooks", "/api/2.0/mlflow/webhooks"
CREATED = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
PATIENCE = 60


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with a_receiver() as receiver:
        yield receiver


@pytest.fixture
def project(cast: Cast) -> str:
    with cast.client("adminA") as admin:
        id: str = ok(admin.post("/projects", json=named()))["id"]
    return id


def a_webhook(cast: Cast, project: str, url: str) -> str:
    body = named(project_id=project, url=url, events=["project.changed"], secret=SECRET)
    with cast.client("adminA") as admin:
        id: str = ok(admin.post(PATH, json=body))["id"]
    return id


def a_test(cast: Cast, id: str) -> Any:
    with cast.client("adminA") as admin:
        return ok(admin.post(f"{PATH}/{id}/test", json={}, timeout=PATIENCE))


def happens(cast: Cast, project: str) -> None:
    with cast.client("adminA") as admin:
        ok(admin.patch(f"/projects/{project}", json={"description": secrets.token_hex(8)}))


def log(cast: Cast, id: str) -> list[dict[str, Any]]:
    with cast.client("adminA") as admin:
        items: list[dict[str, Any]] = ok(admin.get(f"{PATH}/{id}/deliveries"))["items"]
    return items


def tried(cast: Cast, id: str) -> dict[str, Any]:
    """The only delivery, once it was tried."""
    for _ in range(PATIENCE * 10):
        (delivery,) = log(cast, id)
        if delivery["attempts"]:
            return delivery
        time.sleep(0.1)
    raise AssertionError("nobody tried it")


@pytest.mark.rows(73)
@pytest.mark.parametrize("url", INSIDE)
def test_an_address_inside_is_refused_when_it_is_entered(
    cast: Cast, project: str, trap: socket.socket, url: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = port_of(taken)
    body = named(project_id=project, events=["project.changed"])
    theirs = {"name": "w", "events": [CREATED]}
    id = a_webhook(cast, project, "https://hooks.test/x")
    said: dict[str, set[str]] = {}
    with cast.client("adminA") as admin:
        for port in (port_of(trap), closed):
            address = {"url": url.format(port=port)}
            for status, method, path, sent in (
                (422, "POST", PATH, body | address),
                (422, "PATCH", f"{PATH}/{id}", address),
                (400, "POST", f"{cast.url}{MLFLOW}", theirs | address),
            ):
                answer = admin.request(method, path, json=sent)
                assert answer.status_code == status, answer.text
                told = str(answer.json() | {"request_id": ""})
                said.setdefault(f"{method} {path}", set()).add(told)
    assert {len(words) for words in said.values()} == {1}  # an open port reads like a closed one


@pytest.mark.rows(73)
async def test_an_address_that_leads_inside_by_now_is_refused_when_it_is_called(
    cast: Cast, project: str, trap: socket.socket, truth: Sessions
) -> None:
    """As if its name had meant another machine when it was entered."""
    id = a_webhook(cast, project, "https://hooks.test/x")
    inside = f"http://127.0.0.1:{port_of(trap)}/x"
    async with truth.begin(SYSTEM) as session:
        await session.execute(update(Webhook).where(Webhook.id == UUID(id)).values(url=inside))
    await asyncio.to_thread(happens, cast, project)
    delivery = await asyncio.to_thread(tried, cast, id)
    assert delivery["last_status"] is None
    told = await asyncio.to_thread(a_test, cast, id)
    assert (told["works"], told["status"]) == (False, None)
    for error in (delivery["error"], told["error"]):
        assert "inside a network" in error
        assert "127.0.0.1" not in error
    with cast.client("adminA") as admin:
        ok(admin.delete(f"{PATH}/{id}"))


@pytest.mark.rows(73, 74)
def test_a_redirect_inside_is_not_followed(
    cast: Cast, project: str, trap: socket.socket, receiver: Receiver
) -> None:
    def away(door: BaseHTTPRequestHandler) -> bool:
        door.send_response(302)
        door.send_header("Location", f"http://127.0.0.1:{port_of(trap)}/x")
        door.send_header("Content-Length", "0")
        door.end_headers()
        return True

    receiver.answers = away
    told = a_test(cast, a_webhook(cast, project, receiver.url))
    assert (told["works"], told["status"]) == (False, 302)
    assert len(receiver.got) == 1


@pytest.mark.rows(74)
@pytest.mark.parametrize("misbehave", [pours, hangs])
def test_a_receiver_holds_nobody_up(
    cast: Cast, project: str, receiver: Receiver, misbehave: Any
) -> None:
    """While the worker waits for it, others are served and others are told; and the wait ends."""
    slow = a_webhook(cast, project, receiver.url)
    receiver.answers = misbehave
    with a_receiver() as quick:
        other = a_webhook(cast, project, quick.url)
        for _ in range(3):
            happens(cast, project)
        assert receiver.called.wait(PATIENCE)
        assert quick.called.wait(PATIENCE)
        with cast.client("adminA") as admin:
            assert admin.get("/auth/me").status_code == 200
        for _ in range(PATIENCE * 10):
            failed = [one for one in log(cast, slow) if one["error"]]
            told = [one for one in log(cast, other) if one["state"] == "delivered"]
            if len(failed) == len(told) == 3:
                break
            time.sleep(0.1)
        assert len(failed) == len(told) == 3
        assert {one["last_status"] for one in failed} == {None}
        assert all(got.is_signed_by(SECRET) for got in (*receiver.got, *quick.got))
        with cast.client("adminA") as admin:
            for id in (slow, other):
                ok(admin.delete(f"{PATH}/{id}"))


@pytest.mark.rows(74)
def test_a_certificate_that_nobody_vouches_for_is_none(
    cast: Cast, project: str, receiver: Receiver
) -> None:
    secure = receiver.url.replace("http:", "https:")
    told = a_test(cast, a_webhook(cast, project, secure))
    assert (told["works"], told["status"]) == (False, None)
    assert "certificate" not in told["error"].lower()
    assert receiver.got == []


@pytest.mark.rows(73)
def test_who_may_keep_no_webhooks_makes_the_server_ask_nobody(
    cast: Cast, project: str, trap: socket.socket
) -> None:
    address = {"url": f"http://127.0.0.1:{port_of(trap)}"}
    body = named(project_id=project, events=["project.changed"]) | address
    for who in ("viewerA", "memberA", "adminB", None):
        with cast.client(who) as client:
            answer = client.post(PATH, json=body)
        refused = 404 if who == "adminB" else 403
        assert answer.status_code == (refused if who else 401)


@pytest.mark.rows(74)
def test_what_a_receiver_answers_is_shown_to_nobody(
    cast: Cast, project: str, receiver: Receiver
) -> None:
    """A webhook is no way to read what a server says to ours."""
    words = "what-only-the-receiver-knows"

    def talks(door: BaseHTTPRequestHandler) -> bool:
        door.send_response(200)
        door.send_header("X-Words", words)
        door.send_header("Content-Length", str(len(words)))
        door.end_headers()
        door.wfile.write(words.encode())
        return True

    receiver.answers = talks
    id = a_webhook(cast, project, receiver.url)
    told = a_test(cast, id)
    assert told["works"]
    assert words not in str(told)
    assert words not in str(log(cast, id))
