"""Group A, rows 4 and 13 to 20: ways back into an account are ways in, and are held like them."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import func, select, update

from maestro_ml.core.clock import utc_now
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import AccountToken, User
from maestro_ml.jobs.models import Job
from support.databases import PostgresDatabases, SqliteDatabases
from support.live import Cast, LiveServer, a_password, ok
from support.races import AT_ONCE, EACH, race, rounds
from support.sources import AllFromEverywhere

PATIENCE = 30
FORGOT, RESET, CHANGE = "/auth/password/forgot", "/auth/password/reset", "/auth/password/change"
VERIFY, NEW_EMAIL = "/auth/email/verify", "/auth/email/change"
Someone = dict[str, str]


@pytest.fixture
async def http(cast: Cast) -> AsyncIterator[httpx2.AsyncClient]:
    """As nobody."""
    async with httpx2.AsyncClient(
        base_url=f"{cast.url}/api/v1", timeout=60, transport=AllFromEverywhere()
    ) as client:
        yield client


async def someone(http: httpx2.AsyncClient) -> Someone:
    """Who has just registered."""
    body = {"email": f"{secrets.token_hex(6)}@way.test", "password": a_password(), "name": "S"}
    made = ok(await http.post("/auth/register", json=body))
    known = {"token": made["access_token"], "refresh": made["refresh_token"]}
    return body | known | {"id": made["user"]["id"]}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def mailed(http: httpx2.AsyncClient, cast: Cast, to: str, kind: str, nth: int = 1) -> str:
    """The link of the nth mail of the kind to them, as the platform's admin finds it."""
    async with asyncio.timeout(PATIENCE):
        while True:
            page = ok(await http.get("/outbox?limit=200", headers=cast["root"].bearer))
            found = [m for m in page["items"] if (m["recipient"], m["kind"]) == (to, kind)]
            if len(found) >= nth:
                path = f"/outbox/{found[0]['id']}"
                mail = ok(await http.get(path, headers=cast["root"].bearer))
                return next(word for word in str(mail["text"]).split() if "#" in word)
            await asyncio.sleep(0.1)


async def forgotten(http: httpx2.AsyncClient, cast: Cast, who: Someone, nth: int = 1) -> str:
    """The token of the nth link that they ask for."""
    assert (await http.post(FORGOT, json={"email": who["email"]})).status_code == 202
    return (await mailed(http, cast, who["email"], "password.forgot", nth)).rpartition("#")[2]


def a_reset(token: str, **more: str) -> dict[str, str]:
    return {"token": token, "new_password": a_password()} | more


async def login(http: httpx2.AsyncClient, who: Someone, **changes: str) -> httpx2.Response:
    body = {"email": who["email"], "password": who["password"]} | changes
    return await http.post("/auth/login", json=body)


@pytest.mark.rows(4)
@pytest.mark.parametrize(
    "extra",
    [
        *("role", "tenant_id", "id", "is_admin", "is_superuser", "is_active", "is_verified"),
        *("password_hash", "created_at", "meta", "token_version", "permissions", "__proto__"),
        *("email", "verified", "active", "platform_admin", "kind", "password"),
    ],
)
async def test_row_4_nobody_gives_themselves_more(
    http: httpx2.AsyncClient, cast: Cast, extra: str
) -> None:
    who = cast["viewerA"].bearer
    before = ok(await http.get("/auth/me", headers=who))
    for value in ("admin", True, None, {"$ne": ""}):
        answer = await http.patch("/auth/me", json={"name": "N", extra: value}, headers=who)
        assert answer.status_code == 422
    assert ok(await http.get("/auth/me", headers=who)) == before


@pytest.mark.rows(13)
async def test_row_13_forgetting_tells_nothing(http: httpx2.AsyncClient, truth: Sessions) -> None:
    known = (await someone(http))["email"]
    unknown = f"{secrets.token_hex(6)}@way.test"
    answers, rows = [], []
    for email in (known, unknown, "no address", known.upper()):
        before = await count(truth)
        answers.append(await http.post(FORGOT, json={"email": email}))
        rows.append(await count(truth) - before)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    names = {tuple(sorted(set(answer.headers) - {"x-request-id", "date"})) for answer in answers}
    assert len(names) == 1
    assert rows == [1, 1, 1, 1]


async def count(truth: Sessions) -> int:
    """Jobs that send a link: all that a request adds."""
    async with truth.begin(SYSTEM, read_only=True) as session:
        query = select(func.count()).select_from(Job).where(Job.kind == "identity.send_reset")
        return int(await session.scalar(query) or 0)


@pytest.mark.rows(15)
async def test_row_15_a_change_takes_the_old_password(http: httpx2.AsyncClient) -> None:
    who = await someone(http)
    new = a_password()
    for body, status in (
        ({"new_password": new}, 422),
        ({"current_password": a_password(), "new_password": new}, 403),
        ({"current_password": who["password"], "new_password": who["password"]}, 422),
    ):
        answer = await http.post(CHANGE, json=body, headers=bearer(who["token"]))
        assert answer.status_code == status, answer.text
    assert (await login(http, who)).status_code == 200


@pytest.mark.rows(34)
async def test_row_34_one_session_goes_on_with_a_new_pair(http: httpx2.AsyncClient) -> None:
    who = await someone(http)
    others = [ok(await login(http, who)) for _ in range(2)]
    words = {"email": who["email"], "password": who["password"]}
    web = await http.post("/auth/login", json=words, headers={"X-Client": "web"})
    cookie = {"Cookie": web.headers["set-cookie"].partition(";")[0]}
    http.cookies.clear()
    ok(await http.get("/auth/me", headers=cookie))
    body = {"current_password": who["password"], "new_password": a_password()}
    mine = ok(await http.post(CHANGE, json=body, headers=bearer(who["token"])))
    for other in others:
        assert (
            await http.get("/auth/me", headers=bearer(other["access_token"]))
        ).status_code == 401
        refresh = {"refresh_token": other["refresh_token"]}
        assert (await http.post("/auth/refresh", json=refresh)).status_code == 401
    assert (await http.get("/auth/me", headers=cookie)).status_code == 401
    ok(await http.get("/auth/me", headers=bearer(mine["access_token"])))
    ok(await http.post("/auth/refresh", json={"refresh_token": mine["refresh_token"]}))


@pytest.mark.rows(16)
async def test_row_16_an_address_takes_the_password_and_waits_for_its_proof(
    http: httpx2.AsyncClient, cast: Cast
) -> None:
    who, new = await someone(http), f"{secrets.token_hex(6)}@way.test"
    me = bearer(who["token"])
    assert (await http.post(NEW_EMAIL, json={"new_email": new}, headers=me)).status_code == 403
    body = {"new_email": new, "current_password": who["password"]}
    assert (await http.post(NEW_EMAIL, json=body, headers=me)).status_code == 202
    assert ok(await http.get("/auth/me", headers=me))["email"] == who["email"]
    token = (await mailed(http, cast, new, "email.verify")).rpartition("#")[2]
    page = ok(await http.get("/outbox?limit=200", headers=cast["root"].bearer))
    assert (who["email"], "email.change_asked") in {
        (mail["recipient"], mail["kind"]) for mail in page["items"]
    }
    ok(await http.post(VERIFY, json={"token": token}))
    after = ok(await http.get("/auth/me", headers=me))
    assert (after["email"], after["verified"]) == (new, True)


@pytest.mark.rows(17, 30)
async def test_row_17_a_link_is_single_use_bound_and_expiring(
    http: httpx2.AsyncClient, cast: Cast, truth: Sessions
) -> None:
    who, other = await someone(http), await someone(http)
    said = set()

    async def refused(token: str) -> None:
        answer = await http.post(RESET, json=a_reset(token))
        assert answer.status_code == 401
        said.add(answer.json()["detail"])

    first = await forgotten(http, cast, who)
    second = await forgotten(http, cast, who, 2)
    await refused(first)
    flipped = second[:20] + ("a" if second[20] != "a" else "b") + second[21:]
    await refused(flipped)
    for field in ("user_id", "email", "id"):
        body = a_reset(second, **{field: other["id"]})
        assert (await http.post(RESET, json=body)).status_code == 422
    assert (await http.get("/auth/me", headers=bearer(second))).status_code == 401
    refresh = {"refresh_token": second}
    assert (await http.post("/auth/refresh", json=refresh)).status_code == 401
    assert (await http.post(VERIFY, json={"token": second})).status_code == 401
    new = a_reset(second)
    assert (await http.post(RESET, json=new)).status_code == 204
    await refused(second)
    assert (await login(http, who, password=new["new_password"])).status_code == 200
    assert (await login(http, other)).status_code == 200
    third = await forgotten(http, cast, who, 3)
    async with truth.begin(SYSTEM) as session:
        mine = AccountToken.user_id == UUID(who["id"])
        late = utc_now() - timedelta(seconds=1)
        await session.execute(update(AccountToken).where(mine).values(expires_at=late))
    await refused(third)
    assert len(said) == 1


@pytest.mark.rows(18)
async def test_row_18_a_link_leads_where_the_settings_say(
    http: httpx2.AsyncClient, cast: Cast
) -> None:
    who = await someone(http)
    lies = {
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Proto": "https",
        "Forwarded": "host=evil.test;proto=https",
        "X-Original-URL": "https://evil.test/",
        "Origin": "https://evil.test",
    }
    to_another = await http.post(
        FORGOT, json={"email": who["email"]}, headers={"Host": "evil.test"}
    )
    assert to_another.status_code == 421
    answer = await http.post(FORGOT, json={"email": who["email"]}, headers=lies)
    assert answer.status_code == 202
    link = await mailed(http, cast, who["email"], "password.forgot")
    assert link.startswith(f"{cast.url}/reset-password#mll_")


@pytest.mark.rows(19)
async def test_row_19_a_reset_ends_everything_and_begins_nothing(
    http: httpx2.AsyncClient, cast: Cast
) -> None:
    who = await someone(http)
    browser = await http.post(
        "/auth/login",
        json={"email": who["email"], "password": who["password"]},
        headers={"X-Client": "web"},
    )
    cookie = browser.headers["set-cookie"].partition(";")[0]
    http.cookies.clear()
    key = ok(await http.post("/api-keys", json={"name": "K"}, headers=bearer(who["token"])))[
        "secret"
    ]
    ok(await http.get("/auth/me", headers={"Cookie": cookie}))
    answer = await http.post(RESET, json=a_reset(await forgotten(http, cast, who)))
    assert (answer.status_code, answer.content) == (204, b"")
    assert "set-cookie" not in answer.headers
    for dead in (bearer(who["token"]), bearer(key), {"Cookie": cookie}):
        assert (await http.get("/auth/me", headers=dead)).status_code == 401
    refresh = {"refresh_token": who["refresh"]}
    assert (await http.post("/auth/refresh", json=refresh)).status_code == 401
    assert (await login(http, who)).status_code == 401


@pytest.mark.rows(20, 30)
async def test_row_20_a_proof_is_its_owners(
    http: httpx2.AsyncClient, cast: Cast, truth: Sessions
) -> None:
    who, other = await someone(http), await someone(http)
    ok(await http.post("/auth/email/resend", headers=bearer(who["token"])))
    token = (await mailed(http, cast, who["email"], "email.verify")).rpartition("#")[2]
    body = {"token": token}
    assert (await http.get("/auth/me", headers=bearer(token))).status_code == 401
    assert (await http.post("/auth/refresh", json={"refresh_token": token})).status_code == 401
    assert (await http.post(RESET, json=a_reset(token))).status_code == 401
    assert (await http.post(VERIFY, json=body, headers=bearer(other["token"]))).status_code == 401
    assert not ok(await http.get("/auth/me", headers=bearer(other["token"])))["verified"]
    # One that was made before the address changed is for an address that is no longer theirs.
    new = {"new_email": f"{secrets.token_hex(6)}@way.test", "current_password": who["password"]}
    async with truth.begin(SYSTEM) as session:  # a link a minute
        mine = AccountToken.user_id == UUID(who["id"])
        before = utc_now() - timedelta(minutes=2)
        await session.execute(update(AccountToken).where(mine).values(created_at=before))
    ok(await http.post(NEW_EMAIL, json=new, headers=bearer(who["token"])))
    late = (await mailed(http, cast, new["new_email"], "email.verify")).rpartition("#")[2]
    assert (await http.post(VERIFY, json=body)).status_code == 401
    ok(await http.post(VERIFY, json={"token": late}))
    assert (await http.post(VERIFY, json={"token": late})).status_code == 401


async def test_of_forty_resets_one_wins(http: httpx2.AsyncClient, cast: Cast) -> None:
    async def one(_: int) -> None:
        who = await someone(http)
        token = await forgotten(http, cast, who)
        # One body: it is the link that is fought for, and few passwords are hashed at a time.
        body, statuses = a_reset(token), Counter[int]()
        while statuses.total() < AT_ONCE:
            left = AT_ONCE - statuses.total()
            done = await race(http.post(RESET, json=body) for _ in range(left))
            del done[429]
            statuses += done
        assert statuses == {204: 1, 401: AT_ONCE - 1}
        assert (await login(http, who, password=body["new_password"])).status_code == 200

    await rounds(one)


async def test_of_forty_proofs_one_counts(http: httpx2.AsyncClient, cast: Cast) -> None:
    async def one(_: int) -> None:
        who = await someone(http)
        ok(await http.post("/auth/email/resend", headers=bearer(who["token"])))
        token = (await mailed(http, cast, who["email"], "email.verify")).rpartition("#")[2]
        done = await race(http.post(VERIFY, json={"token": token}) for _ in EACH)
        # So many wrong ones, round after round, are more than the whole server takes.
        assert done[204] == 1
        assert done[401] + done[429] == AT_ONCE - 1

    await rounds(one)


@contextmanager
def a_careful_server(data: Path, url: str) -> Iterator[LiveServer]:
    env = {"MAESTRO_DATABASE__URL": url, "MAESTRO_AUTH__VERIFY_EMAIL": "true"}
    with LiveServer(data, env) as server:
        yield server


@pytest.mark.rows(14)
async def test_row_14_a_known_address_registers_like_a_new_one(
    databases: PostgresDatabases | SqliteDatabases, tmp_path: Path
) -> None:
    async with databases.empty() as url:
        with a_careful_server(tmp_path / "data", url) as server:
            base = f"{server.url}/api/v1"
            async with httpx2.AsyncClient(base_url=base, timeout=60) as http:
                await registers_alike(http, server)


async def registers_alike(http: httpx2.AsyncClient, server: LiveServer) -> None:
    def a_body(email: str) -> dict[str, Any]:
        return {"email": email, "password": a_password(), "name": "N"}

    root = a_body("root@maestro.test")
    ok(await http.post("/auth/setup", json=root | {"token": server.setup_token()}))
    cast = Cast(server.url)
    entered = ok(await login(http, root))  # the first admin is never locked out
    cast.keep("root", root["password"], entered)
    first = a_body("ada@way.test")
    emails = ("ada@way.test", "ADA@way.test", "new@way.test", root["email"])
    answers = [await http.post("/auth/register", json=first)]
    answers += [await http.post("/auth/register", json=a_body(email)) for email in emails]
    assert {(a.status_code, a.content) for a in answers} == {(202, answers[0].content)}
    assert (await login(http, first)).status_code == 403
    assert (await login(http, first, password=a_password())).status_code == 401
    link = await mailed(http, cast, first["email"], "email.verify")
    ok(await http.post(VERIFY, json={"token": link.rpartition("#")[2]}))
    ok(await login(http, first))
    page = ok(await http.get("/outbox", headers=cast["root"].bearer))
    told = Counter(m["recipient"] for m in page["items"] if m["kind"] == "email.tried")
    assert told == {first["email"]: 2, root["email"]: 1}


@pytest.mark.rows(14)
async def test_row_14_without_proofs_a_known_address_is_a_conflict(
    http: httpx2.AsyncClient, truth: Sessions
) -> None:
    who = await someone(http)
    body = {"email": who["email"].upper(), "password": a_password(), "name": "N"}
    assert (await http.post("/auth/register", json=body)).status_code == 409
    async with truth.begin(SYSTEM, read_only=True) as session:
        same = select(func.count()).select_from(User).where(User.email_norm == who["email"])
        assert await session.scalar(same) == 1
