"""Rows 21, 35, 36, 58 and 63 of what an admin can do, and of what nobody can do with it."""

import json
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx2
import pytest

from maestro_ml.core.access import Access
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.jobs.service import enqueue
from support.live import Cast, a_password, ok
from support.races import AT_ONCE, EACH, race, rounds


def join(cast: Cast, token: str, password: str, *, web: bool = False) -> httpx2.Response:
    body = {"token": token, "password": password, "name": "Somebody"}
    headers = {"X-Client": "web"} if web else {}
    with cast.client() as nobody:
        answer = nobody.post("/auth/invitations/accept", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@dataclass
class Place:
    """A tenant of a test's own, with an admin, and a member who holds every kind of credential."""

    cast: Cast
    http: httpx2.Client
    id: str
    slug: str
    admin: dict[str, str]
    user_id: str
    member: dict[str, str]
    refresh: str
    key: dict[str, str]
    cookie: dict[str, str]
    job: str

    def ask(self, headers: dict[str, str], method: str, path: str, body: Any = None) -> Any:
        return self.http.request(method, f"/api/v1{path}", json=body, headers=headers)

    def entries(self) -> dict[str, int]:
        """The status that each of the member's credentials gets."""
        found = {
            name: self.ask(headers, "GET", "/auth/me").status_code
            for name, headers in (
                ("access", self.member),
                ("key", self.key),
                ("cookie", self.cookie),
            )
        }
        token = {"refresh_token": self.refresh}
        found["refresh"] = self.ask({}, "POST", "/auth/refresh", token).status_code
        return found


@pytest.fixture(scope="module")
def http(cast: Cast) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=cast.url, timeout=60) as http:
        yield http


NONE = {"access": 401, "key": 401, "cookie": 401, "refresh": 401}


@pytest.fixture
async def place(cast: Cast, http: httpx2.Client, truth: Sessions) -> Place:
    slug, password = f"p-{secrets.token_hex(5)}", a_password()
    with cast.client("root") as root:
        new = {"name": slug, "slug": slug, "admin_email": f"admin@{slug}.test"}
        made = ok(root.post("/tenants", json=new))
    admin = join(cast, made["invitation"]["token"], a_password()).json()
    email = f"member@{slug}.test"
    with cast.client() as client:
        client.headers |= bearer(admin["access_token"])
        invite = {"email": email, "role": "member"}
        offer = ok(client.post("/users/invitations", json=invite))
        entered = join(cast, offer["token"], password).json()
        login = {"email": email, "password": password}
        web = client.post("/auth/login", json=login, headers={"X-Client": "web"})
        cookie = {"Cookie": web.headers["set-cookie"].split(";")[0]}
        own = bearer(entered["access_token"])
        key = ok(client.post("/api-keys", json={"name": "k"}, headers=own))["secret"]
    tenant = UUID(made["tenant"]["id"])
    async with open_work(truth, Access.system(tenant)) as work:
        later = work.now + timedelta(days=1)
        job = await enqueue(work, "nobody.runs", {}, run_at=later)
    found = Place(
        cast,
        http,
        made["tenant"]["id"],
        slug,
        bearer(admin["access_token"]),
        entered["user"]["id"],
        own,
        entered["refresh_token"],
        bearer(key),
        cookie,
        str(job.id),
    )
    for headers in (found.member, found.key, found.cookie):
        assert found.ask(headers, "GET", "/auth/me").status_code == 200
    return found


def stop(place: Place, how: str) -> None:
    root = dict(place.cast["root"].bearer)
    user, tenant = f"/users/{place.user_id}", f"/tenants/{place.id}"
    match how:
        case "deactivated":
            answer = place.ask(place.admin, "PATCH", user, {"active": False})
        case "removed":
            answer = place.ask(place.admin, "DELETE", user)
        case "disabled":
            email = {"email": f"member@{place.slug}.test"}
            answer = place.ask(root, "POST", "/accounts/disable", email)
        case "tenant suspended":
            answer = place.ask(root, "POST", f"{tenant}/suspend")
        case _:
            answer = place.ask(root, "POST", f"{tenant}/deletion", {"confirm": place.slug})
    assert answer.is_success, answer.text


def end_keys(place: Place) -> None:
    for key in ok(place.ask(place.member, "GET", "/api-keys"))["items"]:
        ok(place.ask(place.member, "DELETE", f"/api-keys/{key['id']}"))


@pytest.mark.rows(35)
@pytest.mark.parametrize(
    "how", ["deactivated", "removed", "disabled", "tenant suspended", "tenant deleted"]
)
def test_access_ends_with_the_answer(place: Place, how: str) -> None:
    """Row 35: the very next request is refused, and an open stream closes by itself."""
    url = f"{place.cast.url}/api/v1/jobs/{place.job}/events"
    with httpx2.stream("GET", url, headers=place.member, timeout=30) as stream:
        assert stream.status_code == 200
        stop(place, how)
        assert place.entries() == NONE
        assert list(stream.iter_lines())  # it comes to an end, and the job has none


@pytest.mark.rows(36)
def test_demotion_and_promotion_hold_for_tokens_that_exist(place: Place) -> None:
    """Row 36, the refresh token included."""
    up, down = {"role": "admin"}, {"role": "viewer"}
    user = f"/users/{place.user_id}"
    for headers in (place.member, place.key):
        assert place.ask(headers, "GET", "/users").status_code == 403
    ok(place.ask(place.admin, "PATCH", user, up))
    assert place.ask(place.member, "GET", "/users").status_code == 200
    assert place.ask(place.key, "GET", "/users").status_code == 403  # its scope is too low
    ok(place.ask(place.admin, "PATCH", user, down))
    assert place.ask(place.member, "GET", "/users").status_code == 403
    assert place.ask(place.key, "POST", "/projects", {"name": "x"}).status_code == 403
    fresh = ok(place.ask({}, "POST", "/auth/refresh", {"refresh_token": place.refresh}))
    assert fresh["user"]["role"] == "viewer"
    assert place.ask(bearer(fresh["access_token"]), "GET", "/users").status_code == 403


Asked = tuple[str, str, dict[str, Any]]


def held(place: Place, headers: dict[str, str], asked: Asked, then: Callable[[], Any]) -> int:
    """The status of a request that had begun before something happened, and whose body ended after
    its sender had seen that."""
    method, path, body = asked
    where, sent = urlsplit(place.cast.url), json.dumps(body).encode()
    lines = [f"{method} /api/v1{path} HTTP/1.1", f"Host: {where.netloc}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += ["Content-Type: application/json", f"Content-Length: {len(sent)}", "", ""]
    with socket.create_connection((where.hostname, where.port), timeout=60) as sock:
        sock.sendall("\r\n".join(lines).encode() + sent[:1])
        time.sleep(1)  # by now its head was looked at
        then()
        sock.sendall(sent[1:])
        return int(sock.makefile("rb").readline().split()[1])


@pytest.mark.rows(35)
@pytest.mark.parametrize("how", ["deactivated", "removed", "disabled", "tenant suspended"])
def test_a_request_that_is_held_open_does_not_outlive_its_sender(place: Place, how: str) -> None:
    """An admin who sees the end coming would keep a way back in with it."""
    ok(place.ask(place.admin, "PATCH", f"/users/{place.user_id}", {"role": "admin"}))
    offer = {"email": f"back@{place.slug}.test", "role": "admin"}
    invite = ("POST", "/users/invitations", offer)
    assert held(place, place.member, invite, lambda: None) == 201  # it is only slow
    assert held(place, place.member, invite, lambda: stop(place, how)) == 401


@pytest.mark.rows(36)
def test_nor_does_it_keep_a_role_that_was_taken(place: Place) -> None:
    user, up, down = f"/users/{place.user_id}", {"role": "admin"}, {"role": "viewer"}
    ok(place.ask(place.admin, "PATCH", user, up))
    demote = partial(place.ask, place.admin, "PATCH", user, down)
    assert held(place, place.member, ("PATCH", user, up), demote) == 403
    assert ok(place.ask(place.member, "GET", "/auth/me"))["role"] == "viewer"


@pytest.mark.rows(32)
def test_nor_a_key_or_a_session_that_has_ended(place: Place) -> None:
    for headers, end in (
        (place.key, partial(end_keys, place)),
        (place.member, partial(place.ask, place.member, "POST", "/auth/logout")),
    ):
        assert held(place, headers, ("POST", "/projects", {"name": "late"}), end) == 401
    assert ok(place.ask(place.admin, "GET", "/projects"))["items"] == []


@pytest.mark.rows(21)
def test_no_admin_sets_or_sees_a_password(place: Place) -> None:
    """Row 21."""
    user = f"/users/{place.user_id}"
    for body in (
        {"password": a_password()},
        {"role": "viewer", "password": a_password()},
        {"password_hash": "$argon2id$x"},
        {"email": "mine@x.test"},
        {"verified": True},
    ):
        assert place.ask(place.admin, "PATCH", user, body).status_code == 422
    seen = place.ask(place.admin, "GET", user).text + place.ask(place.admin, "GET", "/users").text
    assert "argon2" not in seen
    assert "password" not in seen


@pytest.mark.rows(58)
def test_a_tenants_admin_does_not_rise(cast: Cast, place: Place) -> None:
    """Row 58."""
    own, b = f"/tenants/{place.id}", cast["viewerB"].id
    me = ok(place.ask(place.admin, "GET", "/auth/me"))["id"]
    tenant_b = ok(place.ask(dict(cast["adminB"].bearer), "GET", "/tenants/current"))["id"]
    elsewhere = {"email": f"x@{place.slug}.test", "role": "viewer", "tenant_id": tenant_b}
    for method, path, body, status in (
        ("PATCH", own, {"limits": {"max_users": 1000}}, 403),
        ("PATCH", own, {"name": "Mine"}, 403),
        ("POST", f"{own}/suspend", None, 403),
        ("POST", f"{own}/resume", None, 403),
        ("POST", f"{own}/deletion", {"confirm": place.slug}, 403),
        ("GET", "/tenants", None, 403),
        ("POST", "/users/invitations", elsewhere, 422),
        ("POST", "/service-accounts", {"name": "x", "tenant_id": tenant_b}, 422),
        ("POST", "/accounts/disable", {"email": cast["adminB"].email}, 403),
        ("PATCH", f"/users/{me}", {"platform_admin": True}, 422),
        ("PATCH", f"/users/{me}", {"role": "viewer"}, 409),
        ("PATCH", f"/users/{me}", {"active": False}, 409),
        ("DELETE", f"/users/{me}", None, 409),
        ("PATCH", f"/users/{b}", {"role": "admin"}, 404),
        ("PATCH", "/tenants/current/policy", {"max_users": 1}, 422),
        ("PATCH", "/tenants/current", {"name": "x"}, 403),
    ):
        answer = place.ask(place.admin, method, path, body)
        assert answer.status_code == status or (
            path == "/tenants/current" and answer.status_code in {404, 405, 422}
        ), (path, answer.text)
    assert not ok(place.ask(place.admin, "GET", "/auth/me"))["platform_admin"]


@pytest.mark.rows(63)
async def test_forty_people_and_machines_stop_at_the_limit(cast: Cast, place: Place) -> None:
    """Row 63, for seats: offers are accepted and machines made at once."""
    api = f"{cast.url}/api/v1"
    root = dict(cast["root"].bearer)
    async with httpx2.AsyncClient(base_url=api, headers=place.admin, timeout=60) as admin:

        async def one(_: int) -> None:
            used = ok(await admin.get("/tenants/current"))["usage"]["users"]
            room = {"limits": {"max_users": used + 7}}
            ok(await admin.patch(f"/tenants/{place.id}", json=room, headers=root))
            bodies = [{"name": secrets.token_hex(6)} for _ in EACH]
            done = await race(admin.post("/service-accounts", json=body) for body in bodies)
            assert done == {201: 7, 409: AT_ONCE - 7}
            assert ok(await admin.get("/tenants/current"))["usage"]["users"] == used + 7

        await rounds(one)


async def test_a_machines_name_is_taken_once(cast: Cast, place: Place) -> None:
    api = f"{cast.url}/api/v1"
    async with httpx2.AsyncClient(base_url=api, headers=place.admin, timeout=60) as admin:

        async def one(_: int) -> None:
            body = {"name": f"same {secrets.token_hex(6)}"}
            before = ok(await admin.get("/tenants/current"))["usage"]["users"]
            done = await race(admin.post("/service-accounts", json=body) for _ in EACH)
            assert done == {201: 1, 409: AT_ONCE - 1}
            # Whoever lost took no seat.
            assert ok(await admin.get("/tenants/current"))["usage"]["users"] == before + 1

        await rounds(one)


async def test_somebody_is_taken_out_once(cast: Cast, place: Place) -> None:
    api = f"{cast.url}/api/v1"
    async with httpx2.AsyncClient(base_url=api, headers=place.admin, timeout=60) as admin:

        async def one(_: int) -> None:
            bot = ok(await admin.post("/service-accounts", json={"name": secrets.token_hex(6)}))
            before = ok(await admin.get("/tenants/current"))["usage"]["users"]
            done = await race(admin.delete(f"/users/{bot['id']}") for _ in EACH)
            assert done == {204: 1, 404: AT_ONCE - 1}
            assert ok(await admin.get("/tenants/current"))["usage"]["users"] == before - 1

        await rounds(one)
