"""Group B: no token but a good one opens a door, and a dead one stays dead."""

import asyncio
import base64
import json
import socket
import threading
from typing import Any

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey

from support.forgery import b64, confused, own_keys, part, unpack
from support.live import Cast, LiveServer, a_password, ok


def status_of(cast: Cast, headers: Any, path: str = "/auth/me") -> int:
    with cast.client() as nobody:
        answer = nobody.get(path, headers=headers)
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["detail"] == "Not authenticated"
    return answer.status_code


def a_login(cast: Cast, name: str) -> dict[str, Any]:
    with cast.client() as nobody:
        person = cast[name]
        body = {"email": person.email, "password": person.password}
        answer: dict[str, Any] = ok(nobody.post("/auth/login", json=body))
        return answer


@pytest.fixture
def someone(cast: Cast) -> dict[str, Any]:
    """A person of their own for each test: registered, a viewer of the default tenant."""
    password = a_password()
    with cast.client() as nobody:
        body = {"email": f"{a_password()[:12]}@someone.test", "password": password, "name": "S"}
        made: dict[str, Any] = ok(nobody.post("/auth/register", json=body))
    return made | {"password": password}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer x"},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": "Bearer mlp_" + "x" * 46},
        {"Authorization": "Basic " + base64.b64encode(b"admin@A.test:wrong").decode()},
        {"Authorization": "Digest x"},
        {"Authorization": b"Bearer \xff\xfe"},
        {"Cookie": "__Host-session=x"},
        {"X-User-Id": "1", "X-Forwarded-User": "admin"},
    ],
)
def test_what_is_no_token_is_nobody(cast: Cast, headers: dict[str, Any]) -> None:
    assert status_of(cast, headers) == 401


def test_the_scheme_is_case_insensitive_and_one_header_only(cast: Cast) -> None:
    good = cast["adminA"].token
    assert status_of(cast, {"Authorization": f"bearer {good}"}) == 200
    twice = [("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {good}")]
    assert status_of(cast, twice) in {400, 401}
    assert status_of(cast, {"Authorization": f"Bearer {good} {good}"}) == 401
    assert status_of(cast, {"Authorization": f"Bearer {'x' * 100_000}"}) in {400, 401, 431}


def test_a_password_is_no_basic_credential(cast: Cast) -> None:
    person = cast["adminA"]
    pair = base64.b64encode(f"{person.email}:{person.password}".encode()).decode()
    assert status_of(cast, {"Authorization": f"Basic {pair}"}) == 401


def test_a_token_counts_in_the_header_only(cast: Cast) -> None:
    good = cast["adminA"].token
    for path in (f"/auth/me?access_token={good}", f"/auth/me?token={good}"):
        assert status_of(cast, {}, path) == 401
    assert status_of(cast, {"Cookie": f"access_token={good}"}) == 401


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "NONE", "", None, ["Ed25519"], "HS256"])
@pytest.mark.parametrize("keep", [True, False])
def test_an_algorithm_of_the_callers_choice_is_refused(cast: Cast, alg: Any, keep: bool) -> None:
    head, body, signature = unpack(cast["adminA"].token)
    forged = f"{part(head | {'alg': alg})}.{part(body)}.{signature if keep else ''}"
    assert status_of(cast, {"Authorization": f"Bearer {forged}"}) == 401


@pytest.mark.parametrize(
    "change",
    [
        {"sub": "0" * 32},
        {"sid": "0" * 32},
        {"exp": 9999999999},
        {"tid": "0" * 32},
        {"role": "admin"},
    ],
    ids=str,
)
def test_a_changed_payload_is_refused(cast: Cast, change: dict[str, Any]) -> None:
    head, body, signature = unpack(cast["viewerA"].token)
    forged = f"{part(head)}.{part(body | change)}.{signature}"
    assert status_of(cast, {"Authorization": f"Bearer {forged}"}) == 401


def test_a_flipped_cut_or_padded_signature_is_refused(cast: Cast) -> None:
    good = cast["adminA"].token
    head, body, signature = good.split(".")
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    last = signature[:-1] + ("B" if signature[-1] != "B" else "C")
    for bad in (flipped, last, signature[:-4], signature + "=", signature + "A", ""):
        assert status_of(cast, {"Authorization": f"Bearer {head}.{body}.{bad}"}) == 401


def test_a_token_signed_by_anybody_else_is_refused(cast: Cast) -> None:
    public = httpx2.get(f"{cast.url}/.well-known/jwks.json").json()["keys"][0]
    good = cast["adminA"].token
    forged = [*confused(good, public), *own_keys(good)]
    assert len(forged) > 10
    for token in forged:
        assert status_of(cast, {"Authorization": f"Bearer {token}"}) == 401


def test_a_key_named_by_the_token_is_never_fetched(cast: Cast) -> None:
    own = OKPKey.generate_key("Ed25519")
    head, claims, _ = unpack(cast["adminA"].token)
    hits: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.5)

        def listen() -> None:
            try:
                hits.append(listener.accept())
            except TimeoutError:
                return

        thread = threading.Thread(target=listen)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/keys"
        for extra in ({"jku": url}, {"x5u": url}, {"x5c": [b64(b"x")]}):
            signed = f"{part(head | extra)}.{part(claims)}"
            token = f"{signed}.{b64(b'0' * 64)}"
            assert status_of(cast, {"Authorization": f"Bearer {token}"}) == 401
        own_token = jwt.encode(head | {"jku": url}, claims, own, algorithms=["Ed25519"])
        assert status_of(cast, {"Authorization": f"Bearer {own_token}"}) == 401
        thread.join()
    assert not hits


@pytest.mark.parametrize(
    "kid",
    ["../../../../dev/null", "' UNION SELECT 'k'--", "|id", "x" * 3000, ["k"], {"a": 1}, None, 7],
)
def test_a_strange_key_id_is_refused(cast: Cast, kid: Any) -> None:
    head, body, signature = unpack(cast["adminA"].token)
    forged = f"{part(head | {'kid': kid})}.{part(body)}.{signature}"
    assert status_of(cast, {"Authorization": f"Bearer {forged}"}) == 401


@pytest.mark.parametrize(
    "extra",
    [
        {"crit": ["x"], "x": 1},
        {"crit": ["b64"], "b64": False},
        {"zip": "DEF"},
        {"typ": "JWT"},
        {"cty": "JWT"},
    ],
    ids=str,
)
def test_a_strange_header_is_refused(cast: Cast, extra: dict[str, Any]) -> None:
    head, body, signature = unpack(cast["adminA"].token)
    forged = f"{part(head | extra)}.{part(body)}.{signature}"
    assert status_of(cast, {"Authorization": f"Bearer {forged}"}) == 401


def test_a_token_of_the_wrong_form_is_refused(cast: Cast) -> None:
    good = cast["adminA"].token
    head, body, signature = good.split(".")
    deep = b64(b"[" * 1500 + b"]" * 1500)
    shapes = [
        f"{head}.{body}",
        f"{good}.{signature}",
        f"{good}.x.y",
        json.dumps({"protected": head, "payload": body, "signature": signature}),
        f"{head}.{deep}.{signature}",
        f"{head}.{part([1])}.{signature}",
    ]
    for shape in shapes:
        assert status_of(cast, {"Authorization": f"Bearer {shape}"}) == 401


@pytest.mark.parametrize("junk", [b"\x0b", b"\x00", b"\xff", b"\r\n "], ids=repr)
def test_a_token_with_junk_behind_it_is_refused(cast: Cast, live: LiveServer, junk: bytes) -> None:
    """By hand: no client sends such a header."""
    head = (
        f"GET /api/v1/auth/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {cast['adminA'].token}"
    )
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as raw:
        raw.sendall(head.encode() + junk + b"x\r\nConnection: close\r\n\r\n")
        status = raw.recv(4096).split(b" ")[1]
    assert status in {b"400", b"401"}


def test_one_kind_of_token_is_never_another(cast: Cast, someone: dict[str, Any]) -> None:
    assert status_of(cast, {"Authorization": f"Bearer {someone['refresh_token']}"}) == 401
    with cast.client("adminA") as admin:
        key = ok(admin.post("/api-keys", json={"name": "kinds"}))["secret"]
    with cast.client() as nobody:
        for wrong in (someone["access_token"], key, "mlr_" + "x" * 49, ""):
            answer = nobody.post("/auth/refresh", json={"refresh_token": wrong})
            assert answer.status_code in {401, 422}


def test_logout_ends_the_token_on_every_route_at_once(cast: Cast, someone: dict[str, Any]) -> None:
    bearer = {"Authorization": f"Bearer {someone['access_token']}"}
    with cast.client() as client:
        assert client.post("/auth/logout", headers=bearer).status_code in {200, 204}
        for path in ("/auth/me", "/projects", "/api-keys", "/jobs", "/tenants/current"):
            assert client.get(path, headers=bearer).status_code == 401
        again = client.post("/auth/refresh", json={"refresh_token": someone["refresh_token"]})
        assert again.status_code == 401


def test_logout_all_ends_every_session_and_no_key(cast: Cast, someone: dict[str, Any]) -> None:
    with cast.client() as client:
        body = {"email": someone["user"]["email"], "password": someone["password"]}
        logins = [ok(client.post("/auth/login", json=body)) for _ in range(2)]
        bearers = [
            {"Authorization": f"Bearer {login['access_token']}"} for login in (someone, *logins)
        ]
        made = ok(client.post("/api-keys", json={"name": "stays"}, headers=bearers[0]))
        assert client.post("/auth/logout-all", headers=bearers[1]).status_code in {200, 204}
        assert [client.get("/auth/me", headers=b).status_code for b in bearers] == [401] * 3
        for login in (someone, *logins):
            refresh = {"refresh_token": login["refresh_token"]}
            assert client.post("/auth/refresh", json=refresh).status_code == 401
        key = {"Authorization": f"Bearer {made['secret']}"}
        assert client.get("/auth/me", headers=key).status_code == 200


def test_a_refresh_token_used_twice_ends_its_session_and_no_other(
    cast: Cast, someone: dict[str, Any]
) -> None:
    with cast.client() as client:
        body = {"email": someone["user"]["email"], "password": someone["password"]}
        other = ok(client.post("/auth/login", json=body))
        first = {"refresh_token": someone["refresh_token"]}
        pair = ok(client.post("/auth/refresh", json=first))
        assert client.post("/auth/refresh", json=first).status_code == 401
        second = {"refresh_token": pair["refresh_token"]}
        assert client.post("/auth/refresh", json=second).status_code == 401
        assert status_of(cast, {"Authorization": f"Bearer {pair['access_token']}"}) == 401
        assert status_of(cast, {"Authorization": f"Bearer {other['access_token']}"}) == 200


async def test_of_forty_parallel_refreshes_one_wins(cast: Cast, someone: dict[str, Any]) -> None:
    who = {"email": someone["user"]["email"], "password": someone["password"]}
    async with httpx2.AsyncClient(base_url=f"{cast.url}/api/v1", timeout=60) as client:
        for _ in range(5):
            login = ok(await client.post("/auth/login", json=who))
            body = {"refresh_token": login["refresh_token"]}
            answers = await asyncio.gather(
                *(client.post("/auth/refresh", json=body) for _ in range(40))
            )
            assert sorted(answer.status_code for answer in answers) == [200] + [401] * 39


def test_a_demotion_holds_on_the_next_request(cast: Cast) -> None:
    with cast.client("adminA") as admin:
        invited = {"email": f"{a_password()[:12]}@a.test", "role": "admin"}
        token = ok(admin.post("/users/invitations", json=invited))["token"]
        accept = {"token": token, "password": a_password(), "name": "Briefly admin"}
        made = ok(admin.post("/auth/invitations/accept", json=accept))
        theirs = {"Authorization": f"Bearer {made['access_token']}"}
        users = f"{cast.url}/api/v1/users"
        assert httpx2.get(users, headers=theirs).status_code == 200
        ok(admin.patch(f"/users/{made['user']['id']}", json={"role": "viewer"}))
        assert httpx2.get(users, headers=theirs).status_code == 403
        pair = ok(admin.post("/auth/refresh", json={"refresh_token": made["refresh_token"]}))
        again = {"Authorization": f"Bearer {pair['access_token']}"}
        assert httpx2.get(users, headers=again).status_code == 403
        ok(admin.patch(f"/users/{made['user']['id']}", json={"role": "admin"}))
        assert httpx2.get(users, headers=again).status_code == 200


def test_an_api_key_lives_dies_and_does_no_more_than_its_scope(cast: Cast) -> None:
    with cast.client("memberA") as member:
        made = ok(member.post("/api-keys", json={"name": "reader", "scopes": ["read"]}))
        listed = ok(member.get("/api-keys"))["items"]
        assert made["secret"] not in json.dumps(listed)
        key = {"Authorization": f"Bearer {made['secret']}"}
        assert httpx2.get(f"{cast.url}/api/v1/projects", headers=key).status_code == 200
        refused = [
            httpx2.post(f"{cast.url}/api/v1/projects", json={"name": "x"}, headers=key),
            httpx2.post(f"{cast.url}/api/v1/api-keys", json={"name": "x"}, headers=key),
            httpx2.get(f"{cast.url}/api/v1/api-keys", headers=key),
            httpx2.post(f"{cast.url}/api/v1/auth/logout-all", headers=key),
        ]
        assert [answer.status_code for answer in refused] == [403] * 4
        wrong = made["secret"][:-1] + ("A" if made["secret"][-1] != "A" else "B")
        assert status_of(cast, {"Authorization": f"Bearer {wrong}"}) == 401
        pair = base64.b64encode(f"anything:{made['secret']}".encode()).decode()
        assert status_of(cast, {"Authorization": f"Basic {pair}"}) == 200
        assert member.delete(f"/api-keys/{made['id']}").status_code == 204
        assert status_of(cast, key) == 401


def test_a_restart_forgets_nothing(live: LiveServer, cast: Cast, someone: dict[str, Any]) -> None:
    login = a_login(cast, "viewerB")
    bearer = {"Authorization": f"Bearer {someone['access_token']}"}
    with cast.client() as client:
        client.post("/auth/logout", headers=bearer)
        live.stop()
        live.start()
        assert client.get("/auth/me", headers=bearer).status_code == 401
    assert status_of(cast, {"Authorization": f"Bearer {login['access_token']}"}) == 200
    assert status_of(cast, cast["adminA"].bearer) == 200
