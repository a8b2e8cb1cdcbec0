"""Group C: brute force and enumeration, against servers of their own, alone and with Redis.

What would take hours is brought about in the server's database: waits are over when the rows say
so. Whatever is counted is counted in answers: a 401 is a password that was tried, a 429 none.
"""

import asyncio
import re
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx2
import psutil
import pytest
from sqlalchemy import func, select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Access
from maestro_ml.db.engine import make_engines
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.identity import tokens
from maestro_ml.identity.passwords import QUEUE, SLOTS
from maestro_ml.jobs.service import enqueue
from maestro_ml.limits.models import RateCounter
from maestro_ml.limits.openings import MOST_EACH
from maestro_ml.mail.models import Mail
from support.databases import REDIS, PostgresDatabases, SqliteDatabases
from support.forgery import unpack
from support.live import Cast, LiveServer, Person, a_cast, a_password, ok
from support.mail import mails
from support.proof import record, scale
from support.sources import transport_from, transport_of_many

PER_ADDRESS = 20
SPOOFED = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "CF-Connecting-IP", "X-Client-IP")
MIB = 2**20
SECONDS = re.compile(r"\d+(?= s )|(?<=\"retry_after\":)\d+")  # some pass between two answers


@pytest.fixture(scope="module", params=[None, REDIS], ids=["alone", "redis"])
async def attacked(
    request: pytest.FixtureRequest,
    databases: PostgresDatabases | SqliteDatabases,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[LiveServer]:
    data = tmp_path_factory.mktemp("attacked") / "data"
    async with databases.empty() as url:
        env = {"MAESTRO_DATABASE__URL": url}
        if request.param:
            env["MAESTRO_REDIS__URL"] = request.param
        with LiveServer(data, env) as server:
            yield server


@pytest.fixture(scope="module")
def people(attacked: LiveServer) -> Cast:
    return a_cast(attacked)


@pytest.fixture
async def rows(attacked: LiveServer) -> AsyncIterator[Sessions]:
    engines = make_engines(attacked.database)
    yield Sessions(engines)
    await engines.dispose()


def attacker(server: LiveServer, address: str | None = None) -> httpx2.Client:
    return httpx2.Client(
        base_url=f"{server.url}/api/v1/auth", timeout=60, transport=transport_from(address)
    )


def wrong(email: str) -> dict[str, str]:
    return {"email": email, "password": a_password()}


def somebody(people: Cast) -> Person:
    """New for each test: registered on this machine."""
    email, password = f"{secrets.token_hex(6)}@someone.test", a_password()
    body = {"email": email, "password": password, "name": "Some One"}
    with people.client() as nobody:
        return people.keep(email, password, ok(nobody.post("/auth/register", json=body)))


async def waits_are_over(rows: Sessions) -> None:
    async with rows.begin(SYSTEM) as session:
        await session.execute(
            update(RateCounter).where(RateCounter.in_a_row > 0).values(until=time.time() - 1)
        )


@pytest.mark.rows(45)
async def test_45_the_sixth_waits_and_the_right_password_with_it(
    attacked: LiveServer, people: Cast, rows: Sessions
) -> None:
    victim = somebody(people)
    right = {"email": victim.email, "password": victim.password}
    waits = []
    with attacker(attacked) as http:
        for _ in range(5):
            assert http.post("/login", json=wrong(victim.email)).status_code == 401
        for _ in range(12):
            same = {"X-Request-ID": "same"}
            one = http.post("/login", json=wrong(victim.email), headers=same)
            two = http.post("/login", json=right, headers=same)
            assert one.status_code == two.status_code == 429
            assert SECONDS.sub("", one.text) == SECONDS.sub("", two.text)
            waits.append(int(one.headers["retry-after"]))
            await waits_are_over(rows)
            assert http.post("/login", json=wrong(victim.email)).status_code == 401
        for n, wait in enumerate(waits):  # some of the last seconds may have passed
            assert min(2**n, 900) * 0.5 <= wait <= min(2**n, 900), waits
        await waits_are_over(rows)
        assert http.post("/login", json=right).status_code == 200
    with attacker(attacked) as http:  # an address has 20 of its own
        for _ in range(5):
            assert http.post("/login", json=wrong(victim.email)).status_code == 401


@pytest.mark.rows(46, 47)
async def test_46_and_47_a_hundred_tries_from_everywhere_and_the_owner_is_not_locked_out(
    attacked: LiveServer, people: Cast, rows: Sessions
) -> None:
    victim = somebody(people)
    with people.client(victim.email) as client:
        body = {"name": "key", "scopes": ["read"]}
        key = ok(client.post("/api-keys", json=body))["secret"]
    tried, each = 0, scale(6, 200)
    for _ in range(50):  # addresses
        with attacker(attacked) as http:
            for _ in range(each):
                answer = http.post("/login", json=wrong(victim.email))
                if answer.status_code == 429 and tried < 100:
                    await waits_are_over(rows)
                    answer = http.post("/login", json=wrong(victim.email))
                tried += answer.status_code == 401
    record("passwords guessed for one account", 50 * each)
    assert tried == 100
    await waits_are_over(rows)
    with attacker(attacked) as http:
        right = http.post("/login", json={"email": victim.email, "password": victim.password})
        assert right.json()["type"] == "/problems/attempts-exhausted"
        renewed = http.post("/refresh", json={"refresh_token": victim.refresh})
        assert renewed.status_code == 200
        for proof in (victim.token, key):
            me = http.get("/me", headers={"Authorization": f"Bearer {proof}"})
            assert me.status_code == 200
    async with rows.begin(SYSTEM) as session:
        off = (
            select(func.count())
            .select_from(AuditEvent)
            .where(
                AuditEvent.action == "user.password_login_off", AuditEvent.target_id == victim.id
            )
        )
        assert await session.scalar(off) == 1
    told = await mailed(rows, victim.email, "password.login_off")
    assert "password" in told.subject
    new = {"token": "", "new_password": a_password()}
    with attacker(attacked) as http:
        assert http.post("/password/forgot", json={"email": victim.email}).status_code == 202
        link = (await mailed(rows, victim.email, "password.forgot")).id
        with people.client("root") as root:
            text = str(ok(root.get(f"/outbox/{link}"))["text"])
        new["token"] = next(word for word in text.split() if "#" in word).rpartition("#")[2]
        assert http.post("/password/reset", json=new).status_code == 204
        again = {"email": victim.email, "password": new["new_password"]}
        assert http.post("/login", json=again).status_code == 200


async def mailed(rows: Sessions, to: str, kind: str) -> Mail:
    async with asyncio.timeout(30):
        while True:
            for mail in await mails(rows, kind):
                if mail.recipient == to:
                    return mail
            await asyncio.sleep(0.1)


@pytest.mark.rows(48, 49)
@pytest.mark.parametrize("header", [None, *SPOOFED])
def test_48_and_49_one_address_tries_twenty_accounts_whatever_it_says_of_itself(
    attacked: LiveServer, people: Cast, header: str | None
) -> None:
    statuses: Counter[int] = Counter()
    with attacker(attacked) as http:
        for n in range(scale(40, 200)):
            headers = (
                {}
                if header is None
                else {header: f"for=192.0.2.{n}" if header == "Forwarded" else f"192.0.2.{n}"}
            )
            body = wrong(f"{secrets.token_hex(6)}@someone.test")
            statuses[http.post("/login", json=body, headers=headers).status_code] += 1
    assert set(statuses) == {401, 429}
    assert PER_ADDRESS <= statuses[401] <= PER_ADDRESS + 2  # one more for each fifteen seconds


@pytest.mark.rows(50)
def test_50_refresh_setup_and_invitations_are_slowed_from_one_address(
    attacked: LiveServer, people: Cast
) -> None:
    person = somebody(people)
    more = {"password": a_password(), "name": "N"}
    doors: list[tuple[str, int, Any]] = [
        ("/refresh", 401, lambda: {"refresh_token": tokens.mint(tokens.REFRESH)}),
        (
            "/setup",
            401,
            lambda: more | {"token": tokens.mint(tokens.SETUP), "email": "x@root.test"},
        ),
        ("/invitations/accept", 422, lambda: more | {"token": tokens.mint(tokens.INVITATION)}),
    ]
    with attacker(attacked) as http:
        for path, refusal, body in doors:
            statuses = Counter(
                http.post(path, json=body()).status_code for _ in range(PER_ADDRESS + 10)
            )
            assert set(statuses) == {refusal, 429}, path
            assert PER_ADDRESS <= statuses[refusal] <= PER_ADDRESS + 2
        renewed = http.post("/refresh", json={"refresh_token": person.refresh})
        assert renewed.status_code == 200


@pytest.mark.rows(50)
def test_50_reading_an_invitation_is_no_guess_more(attacked: LiveServer) -> None:
    statuses: Counter[int] = Counter()
    ways = [("read", {}), ("accept", {"password": a_password(), "name": "N"})]
    with attacker(attacked) as http:
        for verb, more in ways * (PER_ADDRESS // 2 + 5):
            body = {"token": tokens.mint(tokens.INVITATION)} | more
            statuses[http.post(f"/invitations/{verb}", json=body).status_code] += 1
    assert set(statuses) == {422, 429}
    assert PER_ADDRESS <= statuses[422] <= PER_ADDRESS + 2


@pytest.mark.rows(50)
def test_50_an_invitation_is_no_way_around_an_accounts_wait(
    attacked: LiveServer, people: Cast
) -> None:
    victim = somebody(people)
    with people.client("adminA") as admin:
        offer = {"email": victim.email, "role": "viewer"}
        token = ok(admin.post("/users/invitations", json=offer))["token"]
    body = {"token": token, "name": "N"}
    with attacker(attacked) as http:
        for _ in range(5):
            wrong_one = http.post("/invitations/accept", json=body | {"password": a_password()})
            assert wrong_one.status_code == 401
        right = body | {"password": victim.password}
        assert http.post("/invitations/accept", json=right).status_code == 429
        login = {"email": victim.email, "password": victim.password}
        assert http.post("/login", json=login).status_code == 429


@pytest.mark.rows(50)
@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
def test_50_made_up_keys_are_slowed_and_a_good_one_from_there_works(
    attacked: LiveServer, people: Cast, scheme: str
) -> None:
    with people.client("memberA") as client:
        key = ok(client.post("/api-keys", json={"name": secrets.token_hex(4)}))["secret"]

    def proof(text: str) -> httpx2.Auth | None:
        return httpx2.BasicAuth("any", text) if scheme == "Basic" else None

    def headers(text: str) -> dict[str, str]:
        return {} if scheme == "Basic" else {"Authorization": f"Bearer {text}"}

    with attacker(attacked) as http:
        statuses: Counter[int] = Counter()
        for _ in range(120):
            made_up = tokens.mint(tokens.API_KEY)
            answer = http.get("/me", headers=headers(made_up), auth=proof(made_up))
            statuses[answer.status_code] += 1
        assert set(statuses) == {401, 429}
        assert statuses[429] >= 10
        assert http.get("/me", headers=headers(key), auth=proof(key)).status_code == 200


@pytest.mark.rows(14, 50)
def test_14_who_has_an_account_is_told_five_times_an_hour(
    attacked: LiveServer, people: Cast
) -> None:
    known = [people[name].email for name in ("root", "adminA", "memberA", "viewerA", "adminB")]
    with attacker(attacked) as http:
        for email in known:
            taken = http.post("/register", json=wrong(email) | {"name": "N"})
            assert taken.status_code == 409
        for email in (known[0], "nobody.yet@someone.test"):
            answer = http.post("/register", json=wrong(email) | {"name": "N"})
            assert answer.status_code == 429


@pytest.mark.rows(51)
async def test_51_a_hundred_logins_at_once_leave_a_reader_alone(
    attacked: LiveServer, people: Cast
) -> None:
    persons = [somebody(people) for _ in range(10)]
    process = psutil.Process(attacked.process.pid if attacked.process else 0)
    before = process.memory_info().rss
    url = f"{people.url}/api/v1"
    reader = httpx2.AsyncClient(base_url=url, headers=people["viewerA"].bearer, timeout=60)
    clients = [
        httpx2.AsyncClient(base_url=url, timeout=60, transport=transport_of_many())
        for _ in range(20)
    ]

    async def login(n: int) -> int:
        person = persons[n % 10]
        password = person.password if n % 2 else a_password()
        body = {"email": person.email, "password": password}
        return (await clients[n % 20].post("/auth/login", json=body)).status_code

    logins = asyncio.gather(*(login(n) for n in range(100)))
    reads = []
    while not logins.done():
        reads.append((await reader.get("/projects")).status_code)
        await asyncio.sleep(0)
    statuses = Counter(await logins)
    assert set(reads) == {200}
    assert set(statuses) <= {200, 401, 429}
    assert sum(statuses[code] for code in (200, 401)) <= 100
    assert process.memory_info().rss - before < (19 * SLOTS + 50) * MIB
    for client in (reader, *clients):
        await client.aclose()
    assert SLOTS + QUEUE < 100  # so that a hundred are more than there is room for


async def test_ten_streams_each_and_no_more(
    attacked: LiveServer, people: Cast, rows: Sessions
) -> None:
    tenant = UUID(unpack(people["viewerA"].token)[1]["tid"])
    async with open_work(rows, Access.system(tenant)) as work:
        job = await enqueue(work, "nobody.runs", {}, run_at=work.now.replace(year=2100))
    path = f"/jobs/{job.id}/events"
    url = f"{people.url}/api/v1"
    async with (
        httpx2.AsyncClient(base_url=url, headers=people["viewerA"].bearer, timeout=60) as viewer,
        httpx2.AsyncClient(base_url=url, headers=people["memberA"].bearer, timeout=60) as member,
    ):
        streams = [
            await viewer.send(viewer.build_request("GET", path), stream=True)
            for _ in range(MOST_EACH)
        ]
        assert {stream.status_code for stream in streams} == {200}
        refused = await viewer.get(path)
        assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-streams")
        assert refused.headers["retry-after"]
        other = await member.send(member.build_request("GET", path), stream=True)
        assert other.status_code == 200
        await other.aclose()
        await streams.pop().aclose()
        for _ in range(50):  # until the server has seen it go
            again = await viewer.send(viewer.build_request("GET", path), stream=True)
            await again.aclose()
            if again.status_code == 200:
                break
            await asyncio.sleep(0.1)
        assert again.status_code == 200
        for stream in streams:
            await stream.aclose()
