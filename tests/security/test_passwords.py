"""Group A: which passwords are taken, and what they cost the server."""

import random
import secrets
import string
import time
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import update

from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.limits.models import RateCounter
from support.live import Cast, a_password, ok
from support.signin import SignInServer, a_signin_server

EMOJI = "😀😎🚀🎉🔥🌈🍕🎸🐍🦊🌵🍩🎯🚲🛸🧩🪐🥑🐙🦄🍄🎻🧊🪁🐝🌻🍇🎲🧭🪶"
LENGTH, GUESSABLE = {"length"}, {"common", "sequence", "repeated", "weak"}
REFUSED: list[tuple[str, set[str]]] = [
    *((text, LENGTH) for text in ("a", "sevench", "fourteen chars")),
    *((text, LENGTH) for text in ("password123", "secure123", "test123", "pass123", "admin123")),
    *((text, GUESSABLE) for text in ("passwordpassword", "123456789012345", "aaaaaaaaaaaaaaaa")),
    *((text, GUESSABLE) for text in ("qwertyuiopasdfgh", "P@ssw0rdP@ssw0rd")),
    ("ada.lovelace@engine.test", {"context"}),
    ("ADA.LOVELACE@ENGINE.TEST", {"context"}),
    ("Ada LovelaceAda Lovelace", {"context"}),
    ("maestro2026maestro", {"context"}),
    ("Maestro-ML2026Maestro-ML", {"context"}),
    ("maestro-ml-admin", {"context"}),
    ("x" * 129, {"long"}),
]
TAKEN = [
    *("".join(random.Random(1).choices(string.ascii_lowercase, k=length)) for length in (15, 22)),
    "".join(random.Random(2).choices(string.digits, k=20)),
    "lamp tunnel ocean violin",
    EMOJI,
    *(secrets.token_urlsafe(128)[:length] for length in (64, 100, 128)),
    "  between two spaces  ",
    "Grüße-aus-dem-Bärental",
]
MIB = 2**20


def registering(password: str, **changes: Any) -> dict[str, Any]:
    email = f"{secrets.token_hex(6)}@someone.test"
    return {"email": email, "password": password, "name": "Some One"} | changes


def login(http: httpx2.Client, email: str, password: str) -> int:
    body = {"email": email, "password": password}
    return http.post("/auth/login", json=body).status_code


@pytest.mark.rows(6)
def test_what_attackers_try_first_is_refused_by_its_rule(cast: Cast) -> None:
    ada = {"email": "ada.lovelace@engine.test", "name": "Ada Lovelace"}
    with cast.client() as http:
        for password, rules in REFUSED:
            answer = http.post("/auth/register", json=registering(password, **ada))
            assert answer.status_code == 422, password
            problem = answer.json()
            assert problem["type"] == "/problems/password-refused"
            assert problem["rule"] in rules, (password, problem)
            assert problem["detail"].endswith(".")
            assert password not in answer.text or len(password) == 1


@pytest.mark.rows(6)
def test_it_is_refused_wherever_a_password_is_chosen(cast: Cast) -> None:
    person = cast.somebody()
    with cast.client("adminA") as admin:
        offer = {"email": f"{secrets.token_hex(6)}@a.test", "role": "viewer"}
        token = ok(admin.post("/users/invitations", json=offer))["token"]
    with cast.client() as http:
        for password in ("secure123", "passwordpassword", "maestro-ml-admin", person.email):
            change = {"current_password": person.password, "new_password": password}
            accept = {"token": token, "password": password, "name": "N"}
            changed = http.post("/auth/password/change", json=change, headers=person.bearer)
            joined = http.post("/auth/invitations/accept", json=accept)
            assert changed.status_code == 422, password
            assert password == person.email or joined.status_code == 422, password
        assert login(http, person.email, person.password) == 200


@pytest.mark.rows(7)
@pytest.mark.parametrize("password", TAKEN, ids=[str(n) for n in range(len(TAKEN))])
def test_no_kind_of_character_is_asked_for_or_forbidden(cast: Cast, password: str) -> None:
    body = registering(password)
    with cast.client() as http:
        assert http.post("/auth/register", json=body).status_code == 201
        assert login(http, body["email"], password) == 200
        if password.strip() != password:
            assert login(http, body["email"], password.strip()) == 401
        assert login(http, body["email"], password.swapcase() + "x") == 401


@pytest.mark.rows(8)
@pytest.mark.parametrize(("first", "then"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_composed_and_decomposed_text_are_one_password(cast: Cast, first: Any, then: Any) -> None:
    text = f"café tunnel ünïque {secrets.token_hex(4)}"
    made, typed = unicodedata.normalize(first, text), unicodedata.normalize(then, text)
    assert made != typed
    body = registering(made)
    with cast.client() as http:
        assert http.post("/auth/register", json=body).status_code == 201
        assert login(http, body["email"], typed) == 200
        assert login(http, body["email"], made) == 200


@pytest.mark.rows(9)
def test_length_is_counted_in_code_points(cast: Cast) -> None:
    assert len(EMOJI[:15].encode("utf-16-le")) == 60  # 30 units of two bytes
    with cast.client() as http:
        assert http.post("/auth/register", json=registering(EMOJI[:15])).status_code == 201
        for short in (EMOJI[:14], unicodedata.normalize("NFD", "äëïöüáéíóúàèìò")):
            answer = http.post("/auth/register", json=registering(short))
            assert (answer.status_code, answer.json().get("rule")) == (422, "length")


@pytest.mark.rows(10)
@pytest.mark.parametrize("size", [MIB, 10 * MIB])
def test_a_password_of_megabytes_is_refused_on_every_way(cast: Cast, size: int) -> None:
    person, huge = cast.somebody(), "x" * size
    for path, body in (
        ("register", registering(huge)),
        ("login", {"email": person.email, "password": huge}),
        ("password/change", {"current_password": huge, "new_password": a_password()}),
        ("password/change", {"current_password": person.password, "new_password": huge}),
        ("password/reset", {"token": "x", "new_password": huge}),
        ("invitations/accept", {"token": "x", "password": huge, "name": "N"}),
    ):
        with cast.client() as http:
            answer = http.post(f"/auth/{path}", json=body, headers=person.bearer)
            assert answer.status_code in {413, 422}, (path, answer.text)


@pytest.fixture
async def here(sessions: Sessions, tmp_path: Path) -> AsyncIterator[SignInServer]:
    """In this process, where hashes can be counted."""
    async with a_signin_server(sessions, tmp_path) as server:
        yield server


@pytest.mark.rows(10)
async def test_it_costs_no_hash(here: SignInServer) -> None:
    made = await here.register()
    counted = here.identity.passwords.hashed
    for size in (129, 5000, 500_000, MIB, 10 * MIB):
        login = {"email": made["email"], "password": "x" * size}
        assert (await here.post("login", login)).status_code in {401, 413, 422}
        assert (await here.post("register", registering("x" * size))).status_code in {413, 422}
    assert here.identity.passwords.hashed == counted
    await here.login(made)
    assert here.identity.passwords.hashed == counted + 1


@pytest.mark.rows(12)
def test_who_has_an_account_reads_like_who_has_none(cast: Cast) -> None:
    """By status, words and headers; by time, `benchmarks.timing` tells."""
    known = cast.somebody().email
    same, seen = {"X-Request-ID": "same"}, set()
    for email in (known, known.upper(), "nobody.yet@someone.test", "no address", "root@x.test"):
        with cast.client() as http:
            body = {"email": email, "password": a_password()}
            answer = http.post("/auth/login", json=body, headers=same)
        names = frozenset(answer.headers) - {"date"}
        seen.add((answer.status_code, answer.content, names))
    assert len(seen) == 1
    assert seen.pop()[0] == 401


@pytest.mark.rows(12)
async def test_and_costs_as_many_hashes(here: SignInServer) -> None:
    known, costs = (await here.register())["email"], []
    for email in (known, "nobody.yet@someone.test", known, "no address"):
        before = here.identity.passwords.hashed
        body = {"email": email, "password": a_password()}
        assert (await here.post("login", body)).status_code == 401
        costs.append(here.identity.passwords.hashed - before)
    assert costs == [1, 1, 1, 1]


@pytest.mark.rows(15, 50)
@pytest.mark.parametrize(
    ("path", "new"),
    [
        ("password/change", {"new_password": a_password()}),
        ("email/change", {"new_email": "new@someone.test"}),
    ],
)
async def test_a_wrong_current_password_counts_like_a_wrong_sign_in(
    cast: Cast, truth: Sessions, path: str, new: dict[str, str]
) -> None:
    """Until the wait is of a length that a slow machine does not sit out by being slow."""
    person = cast.somebody()
    with cast.client() as http:
        for _ in range(10):
            async with truth.begin(SYSTEM) as session:  # the waits so far are over
                waiting = update(RateCounter).where(RateCounter.in_a_row > 0)
                await session.execute(waiting.values(until=time.time() - 1))
            body = {"current_password": a_password()} | new
            answer = http.post(f"/auth/{path}", json=body, headers=person.bearer)
            assert answer.status_code == 403, answer.text
        right = {"current_password": person.password} | new
        answer = http.post(f"/auth/{path}", json=right, headers=person.bearer)
        assert answer.status_code == 429
        assert login(http, person.email, person.password) == 429
        assert http.get("/auth/me", headers=person.bearer).status_code == 200
