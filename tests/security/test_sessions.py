"""Group B: a session ends for good, at once, and it alone."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import func, select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.clock import utc_now
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity import tokens
from maestro_ml.identity.models import RefreshToken, Session
from support.forgery import unpack
from support.live import Cast, Person, a_password, ok
from support.policy import POLICY, PUBLIC, operations
from support.proof import record, scale
from support.races import AT_ONCE, EACH, race, rounds
from support.signin import API, SignInServer, a_signin_server
from support.sources import AllFromEverywhere, FromEverywhere, transport_from

REFRESH = "/auth/refresh"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def login(http: httpx2.Client, who: Person, **headers: str) -> httpx2.Response:
    body = {"email": who.email, "password": who.password}
    answer = http.post("/auth/login", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def refreshed(http: httpx2.Client, token: str, **headers: str) -> int:
    return http.post(REFRESH, json={"refresh_token": token}, headers=headers).status_code


@pytest.mark.rows(32)
def test_logout_ends_the_token_on_every_route_at_once(cast: Cast) -> None:
    person, tried = cast.somebody(), 0
    with cast.client() as http:
        assert http.post("/auth/logout", headers=person.bearer).status_code == 204
    with httpx2.Client(base_url=cast.url, timeout=30, transport=FromEverywhere(50)) as http:
        for operation in operations():
            if POLICY[operation.name] == PUBLIC:
                continue
            words = operation.path.split("/")
            path = "/".join(str(new_id()) if word.startswith("{") else word for word in words)
            answer = http.request(operation.method, path, headers=person.bearer)
            assert answer.status_code == 401, f"{operation}: {answer.text}"
            tried += 1
        assert refreshed(http, person.refresh) in {401, 404}
    assert tried > 20


@pytest.fixture
async def here(sessions: Sessions, tmp_path: Path) -> AsyncIterator[SignInServer]:
    """In this process, where the clock can be moved."""
    async with a_signin_server(sessions, tmp_path) as server:
        yield server


@pytest.mark.rows(32)
async def test_and_stays_ended_for_as_long_as_it_would_have_lived(here: SignInServer) -> None:
    ended, other = await here.register(), await here.register()
    await here.post("logout", authorization=f"Bearer {ended['access_token']}")
    for _ in range(16):
        assert (await here.me(ended["access_token"])).status_code == 401
        here.clock.move(seconds=56)
        assert (await here.me(other["access_token"])).status_code == 200
    answer = await here.http.post(f"{API}{REFRESH}", json={"refresh_token": ended["refresh_token"]})
    assert answer.status_code == 401


@pytest.mark.rows(33)
@pytest.mark.parametrize("keys_too", [False, True], ids=["keys stay", "keys too"])
def test_logout_everywhere_ends_every_session(cast: Cast, keys_too: bool) -> None:
    person = cast.somebody()
    with cast.client() as http:
        logins = [login(http, person).json() for _ in range(2)]
        web = login(http, person, **{"X-Client": "web"})
        cookie = {"Cookie": web.headers["set-cookie"].partition(";")[0]}
        http.cookies.clear()
        access = [person.token, *(one["access_token"] for one in logins)]
        refresh = [person.refresh, *(one["refresh_token"] for one in logins)]
        keys = [
            ok(http.post("/api-keys", json={"name": name}, headers=person.bearer))["secret"]
            for name in ("one", "two")
        ]
        proofs = [*map(bearer, access), cookie]
        for proof in proofs:
            assert http.get("/auth/me", headers=proof).status_code == 200
        path = "/auth/logout-all" + ("?tokens=true" if keys_too else "")
        assert http.post(path, headers=bearer(access[1])).status_code == 204
        for proof in proofs:
            assert http.get("/auth/me", headers=proof).status_code == 401
        for token in refresh:
            assert refreshed(http, token) == 401
        for key in keys:
            status = http.get("/auth/me", headers=bearer(key)).status_code
            assert status == (401 if keys_too else 200)
        assert http.get("/auth/me", headers=cast["adminA"].bearer).status_code == 200


@pytest.mark.rows(36)
def test_a_new_role_holds_on_the_next_request(cast: Cast) -> None:
    with cast.client("adminA") as admin:
        invited = {"email": f"{new_id().hex}@a.test", "role": "admin"}
        token = ok(admin.post("/users/invitations", json=invited))["token"]
        accept = {"token": token, "password": a_password(), "name": "Briefly admin"}
        made = ok(admin.post("/auth/invitations/accept", json=accept))
        person = f"/users/{made['user']['id']}"
        with cast.client() as http:
            old = bearer(made["access_token"])
            assert http.get("/users", headers=old).status_code == 200
            ok(admin.patch(person, json={"role": "viewer"}))
            assert http.get("/users", headers=old).status_code == 403
            pair = ok(http.post(REFRESH, json={"refresh_token": made["refresh_token"]}))
            assert pair["user"]["role"] == "viewer"
            again = bearer(pair["access_token"])
            assert http.get("/users", headers=again).status_code == 403
            ok(admin.patch(person, json={"role": "admin"}))
            for proof in (old, again):
                assert http.get("/users", headers=proof).status_code == 200


async def reuses(truth: Sessions, person: Person) -> int:
    async with truth.begin(SYSTEM, read_only=True) as session:
        found = await session.scalar(
            select(func.count())
            .select_from(AuditEvent)
            .where(
                AuditEvent.action == "session.refresh_reused",
                AuditEvent.target_id == str(UUID(unpack(person.token)[1]["sid"])),
            )
        )
        return int(found or 0)


@pytest.mark.rows(37)
async def test_a_refresh_token_used_twice_ends_its_session_and_no_other(
    cast: Cast, truth: Sessions
) -> None:
    person = cast.somebody()
    with cast.client() as http:
        other = login(http, person).json()
        pair = ok(http.post(REFRESH, json={"refresh_token": person.refresh}))
        for token in (person.refresh, pair["refresh_token"], person.refresh):
            assert refreshed(http, token) == 401
        for dead in (person.token, pair["access_token"]):
            assert http.get("/auth/me", headers=bearer(dead)).status_code == 401
        assert http.get("/auth/me", headers=bearer(other["access_token"])).status_code == 200
        assert refreshed(http, other["refresh_token"]) == 200
    assert await reuses(truth, person) == 1


@pytest.mark.rows(38)
async def test_of_forty_parallel_refreshes_one_wins(cast: Cast, truth: Sessions) -> None:
    async with httpx2.AsyncClient(
        base_url=f"{cast.url}/api/v1", timeout=60, transport=AllFromEverywhere()
    ) as http:

        async def one(_: int) -> None:
            person = cast.somebody()
            body = {"refresh_token": person.refresh}
            done = await race(http.post(REFRESH, json=body) for _ in EACH)
            assert done == {200: 1, 401: AT_ONCE - 1}
            assert await reuses(truth, person) == 1

        await rounds(one)


async def moved(truth: Sessions, person: Person, **ends: Any) -> None:
    """Their session, as if that time had passed."""
    id = UUID(unpack(person.token)[1]["sid"])
    async with truth.begin(SYSTEM) as session:
        row = Session if "session" in ends else RefreshToken
        which = Session.id == id if row is Session else RefreshToken.session_id == id
        late = utc_now() - timedelta(seconds=1)
        await session.execute(update(row).where(which).values(expires_at=late))


@pytest.mark.rows(39)
async def test_a_refresh_ends_with_its_session(cast: Cast, truth: Sessions) -> None:
    """That a token lasts seven days and a session thirty, `tests/api` shows by its clock."""
    out, idle, old, good = (cast.somebody() for _ in range(4))
    with cast.client() as http:
        assert http.post("/auth/logout", headers=out.bearer).status_code == 204
        await moved(truth, idle)
        await moved(truth, old, session=True)
        for dead in (out.refresh, idle.refresh, old.refresh, tokens.mint(tokens.REFRESH)):
            assert refreshed(http, dead) == 401
            assert refreshed(http, dead, **good.bearer) == 401
        assert http.get("/auth/me", headers=old.bearer).status_code == 401
        assert refreshed(http, good.refresh) == 200


@pytest.mark.rows(39)
def test_a_refresh_token_beside_anothers_access_token_is_refused_and_not_spent(cast: Cast) -> None:
    person, other = cast.somebody(), cast.somebody()
    with cast.client() as http:
        assert refreshed(http, person.refresh, **other.bearer) == 401
        for own in ({}, person.bearer):  # what is one's own, or says nothing, does no harm
            pair = ok(http.post(REFRESH, json={"refresh_token": person.refresh}, headers=own))
            person.refresh, person.token = pair["refresh_token"], pair["access_token"]
        assert refreshed(http, other.refresh) == 200


@pytest.mark.rows(39, 50)
def test_made_up_refresh_tokens_are_slowed(cast: Cast) -> None:
    statuses: Counter[int] = Counter()
    guesses = scale(60, 10_000)
    good = cast.somebody()
    url = f"{cast.url}/api/v1"
    with httpx2.Client(base_url=url, timeout=30, transport=transport_from()) as http:
        for _ in range(guesses):
            statuses[refreshed(http, tokens.mint(tokens.REFRESH))] += 1
        assert refreshed(http, good.refresh) == 200  # from that address, too
    record("refresh tokens guessed", guesses)
    assert set(statuses) == {401, 429}
    assert statuses[429] > guesses / 2
