"""Groups B and I: what a second factor withstands, on the live server."""

import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pyotp
import pytest
from sqlalchemy import select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.clock import utc_now
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity import tokens
from maestro_ml.identity.models import MfaChallenge, RecoveryCode, TotpFactor, User
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID, Tenant
from support.live import Cast, LiveServer, a_password, ok
from support.policy import METRICS, POLICY, PUBLIC, operations
from support.races import EACH, race, rounds
from support.sources import transport_from

STEP = "/auth/login/mfa"


@dataclass
class Phone:
    """A person with an app. The server's clock is the real one, and a code works once: as clocks
    may differ, there is one more code to use without waiting, after the one that set it up."""

    url: str
    email: str
    password: str
    bearer: dict[str, str]
    secret: str = ""
    recovery: list[str] = field(default_factory=list)
    shown: int = 0

    def code(self) -> str:
        """The next one."""
        code = pyotp.TOTP(self.secret).at(utc_now(), counter_offset=self.shown)
        self.shown += 1
        return code

    def post(self, path: str, body: Any, **headers: str) -> httpx2.Response:
        with httpx2.Client(transport=transport_from(), timeout=60) as http:
            return http.post(f"{self.url}/api/v1{path}", json=body, headers=headers)

    def half_way(self, **more: str) -> str:
        body = {"email": self.email, "password": self.password} | more
        return str(ok(self.post("/auth/login", body))["mfa_token"])


@pytest.fixture
def phone(cast: Cast) -> Callable[[], Phone]:
    """Makes somebody new, with a second factor."""

    def make() -> Phone:
        email, password = f"{secrets.token_hex(6)}@someone.test", a_password()
        body = {"email": email, "password": password, "name": "S"}
        with cast.client() as nobody:
            made = ok(nobody.post("/auth/register", json=body))
        bearer = {"Authorization": f"Bearer {made['access_token']}"}
        phone = Phone(cast.url, email, password, bearer)
        begun = phone.post("/auth/mfa/totp", {"current_password": password}, **bearer)
        phone.secret = ok(begun)["secret"]
        done = phone.post("/auth/mfa/totp/confirm", {"code": phone.code()}, **bearer)
        phone.recovery = ok(done)["recovery_codes"]
        return phone

    return make


def code_of(answer: httpx2.Response) -> str:
    return str(answer.json()["type"]).removeprefix("/problems/")


@pytest.mark.rows(76)
def test_half_a_sign_in_opens_no_route(cast: Cast, phone: Callable[[], Phone]) -> None:
    half = phone().half_way()
    tried = 0
    with httpx2.Client(base_url=cast.url, timeout=30) as http:
        for operation in operations():
            if POLICY[operation.name] in {PUBLIC, METRICS}:
                continue
            words = operation.path.split("/")
            path = "/".join(str(new_id()) if word.startswith("{") else word for word in words)
            for headers in (
                {"Authorization": f"Bearer {half}"},
                {"Cookie": f"__Host-session={half}"},
                {"Cookie": f"__Host-session={half.replace('mlm_', 'mlc_')}"},
            ):
                answer = http.request(operation.method, path, headers=headers, json={})
                assert answer.status_code == 401, f"{operation}: {answer.text}"
            tried += 1
        for path, name in (
            ("refresh", "refresh_token"),
            ("invitations/accept", "token"),
            ("setup", "token"),
        ):
            body = {name: half, "password": a_password(), "name": "N"}
            body |= {"email": "x@someone.test"} if path == "setup" else {}
            body = body if path != "refresh" else {name: half}
            answer = http.post(f"/api/v1/auth/{path}", json=body)
            assert answer.status_code in {401, 422}, answer.text
            assert "access_token" not in answer.text
    assert tried > 20


@pytest.mark.rows(76)
def test_a_code_and_a_recovery_code_work_once(phone: Callable[[], Phone]) -> None:
    safe = phone()
    code = safe.code()
    ok(safe.post(STEP, {"mfa_token": safe.half_way(), "code": code}))
    again = safe.post(STEP, {"mfa_token": safe.half_way(), "code": code})
    assert (again.status_code, code_of(again)) == (403, "wrong-code")
    recovery = {"recovery_code": safe.recovery[0]}
    ok(safe.post(STEP, {"mfa_token": safe.half_way()} | recovery))
    again = safe.post(STEP, {"mfa_token": safe.half_way()} | recovery)
    assert (again.status_code, code_of(again)) == (403, "wrong-code")


@pytest.mark.rows(50, 76)
def test_new_sign_ins_are_no_new_guesses(phone: Callable[[], Phone]) -> None:
    safe = phone()
    for _ in range(2):
        half = safe.half_way()
        for _ in range(5):
            wrong = safe.post(STEP, {"mfa_token": half, "code": "000000"})
            assert code_of(wrong) == "wrong-code"
    for proof in ({"code": safe.code()}, {"recovery_code": safe.recovery[0]}):
        waiting = safe.post(STEP, {"mfa_token": safe.half_way()} | proof)
        assert (waiting.status_code, code_of(waiting)) == (429, "too-many-codes")
        assert 0 < int(waiting.headers["retry-after"]) <= 900
    session = safe.post("/auth/mfa/recovery-codes", {"code": safe.code()}, **safe.bearer)
    assert code_of(session) == "too-many-codes"
    me = httpx2.get(f"{safe.url}/api/v1/auth/me", headers=safe.bearer)
    assert me.status_code == 200  # whoever is in stays in


@pytest.mark.rows(50, 76)
def test_ten_wrong_codes_are_five_too_many(phone: Callable[[], Phone], truth: Sessions) -> None:
    safe = phone()
    half = safe.half_way()
    statuses = [
        safe.post(STEP, {"mfa_token": half, "code": f"{number:06}"}).status_code
        for number in range(10)
    ]
    assert statuses == [403] * 5 + [401] * 5
    right = safe.post(STEP, {"mfa_token": half, "code": safe.code()})
    assert (right.status_code, code_of(right)) == (401, "mfa-token-invalid")


async def test_wrong_codes_are_written_down(phone: Callable[[], Phone], truth: Sessions) -> None:
    safe = phone()
    safe.post(STEP, {"mfa_token": safe.half_way(), "code": "000000"})
    id = ok(httpx2.get(f"{safe.url}/api/v1/auth/me", headers=safe.bearer))["id"]
    async with truth.begin(SYSTEM) as session:
        query = select(AuditEvent).where(AuditEvent.target_id == id)
        events = {event.action: event for event in await session.scalars(query)}
    assert {"mfa.enrolment_begun", "mfa.enabled", "mfa.asked", "mfa.refused"} <= set(events)
    refused = events["mfa.refused"]
    assert (str(refused.actor_id), refused.facts) == (id, {"method": "otp"})
    assert str(refused.ip).startswith("127.")


@pytest.mark.rows(76)
def test_nothing_takes_a_factor_away_without_a_code(phone: Callable[[], Phone]) -> None:
    safe = phone()
    password = {"current_password": safe.password}
    for status, body in (
        (422, {}),
        (422, password),
        (422, password | {"code": ""}),
        (422, password | {"code": None}),
        (422, password | {"code": ["000000"]}),
        (422, password | {"recovery_code": {"$ne": ""}}),
        (403, password | {"code": "000000"}),
        (403, password | {"recovery_code": "' OR '1'='1"}),
        (403, {"current_password": "x", "code": "000000"}),
    ):
        answer = safe.post("/auth/mfa/disable", body, **safe.bearer)
        assert answer.status_code == status, answer.text
    begin = safe.post("/auth/mfa/totp", password, **safe.bearer)
    assert (begin.status_code, code_of(begin)) == (409, "mfa-active")
    assert (
        "mfa_token"
        in safe.post("/auth/login", {"email": safe.email, "password": safe.password}).json()
    )


async def a_race(truth: Sessions, safe: Phone, proof: dict[str, str]) -> Counter[int]:
    """The same proof forty times at once, each for a sign-in of its own. Those are half done, as
    if the password had been right forty times."""
    halves = [tokens.mint(tokens.MFA) for _ in EACH]
    async with truth.begin(SYSTEM) as session:
        user = await session.scalar(select(User.id).where(User.email == safe.email))
        assert user is not None
        now = utc_now()
        session.add_all(
            MfaChallenge(
                user_id=user,
                tenant_id=DEFAULT_TENANT_ID,
                hash=tokens.digest(half),
                web=False,
                amr=["pwd"],
                created_at=now,
                expires_at=now + timedelta(minutes=5),
            )
            for half in halves
        )
    async with httpx2.AsyncClient(base_url=f"{safe.url}/api/v1", timeout=60) as client:
        return await race(client.post(STEP, json={"mfa_token": half} | proof) for half in halves)


@pytest.mark.rows(76)
async def test_of_forty_with_one_code_one_gets_in(
    phone: Callable[[], Phone], truth: Sessions
) -> None:
    async def one(_: int) -> None:
        safe = phone()
        done = await a_race(truth, safe, {"code": safe.code()})
        assert done[200] == 1
        assert set(done) <= {200, 403, 429}  # ten wrong ones, and no more are looked at

    await rounds(one)


@pytest.mark.rows(76)
async def test_of_forty_with_one_recovery_code_one_gets_in(
    phone: Callable[[], Phone], truth: Sessions
) -> None:
    async def one(_: int) -> None:
        safe = phone()
        done = await a_race(truth, safe, {"recovery_code": safe.recovery[0]})
        assert done[200] == 1
        assert set(done) <= {200, 403, 429}  # hashing has a queue, and it is short

    await rounds(one)


@pytest.mark.rows(78)
async def test_what_is_kept_opens_nothing(
    live: LiveServer, phone: Callable[[], Phone], truth: Sessions
) -> None:
    safe = phone()
    half = safe.half_way()
    told = live.logged.read_text() + live.printed.read_text()
    async with truth.begin(SYSTEM) as session:
        for kind in (TotpFactor, RecoveryCode, MfaChallenge, AuditEvent):
            for row in await session.scalars(select(kind)):
                told += repr(vars(row))
    for word in (safe.secret, half, half[4:], *safe.recovery, *(c[5:] for c in safe.recovery)):
        assert word not in told


async def test_a_tenants_wish_holds_on_every_way_in(cast: Cast, truth: Sessions) -> None:
    slug = f"safe-{secrets.token_hex(4)}"
    email, password = f"admin@{slug}.test", a_password()
    with cast.client("root") as root:
        made = ok(root.post("/tenants", json={"name": slug, "slug": slug, "admin_email": email}))
    async with truth.begin(SYSTEM) as session:
        wish = update(Tenant).where(Tenant.id == UUID(made["tenant"]["id"]))
        await session.execute(wish.values(mfa_required=True))
    accept = {"token": made["invitation"]["token"], "password": password, "name": "N"}
    with cast.client() as nobody:
        for answer in (
            nobody.post("/auth/invitations/accept", json=accept),
            nobody.post("/auth/login", json={"email": email, "password": password}),
            nobody.post(
                "/auth/login",
                json={"email": email, "password": password, "tenant": slug},
                headers={"X-Client": "web"},
            ),
        ):
            half = ok(answer)
            assert half["methods"] == ["enrol"]
            assert "set-cookie" not in answer.headers
        begun = ok(nobody.post(f"{STEP}/enrol", json={"mfa_token": half["mfa_token"]}))
        code = pyotp.TOTP(begun["secret"]).at(utc_now())
        body = {"mfa_token": half["mfa_token"], "code": code}
        entered = nobody.post(f"{STEP}/confirm", json=body)
        assert set(ok(entered)) == {"csrf_token", "user", "recovery_codes"}
        cookie = entered.headers["set-cookie"]
        assert cookie.startswith("__Host-session=mlc_")
        for flag in ("Secure", "HttpOnly", "SameSite=lax", "Path=/"):
            assert flag in cookie


def test_a_code_stays_used_through_a_restart(live: LiveServer, phone: Callable[[], Phone]) -> None:
    safe = phone()
    code, half = safe.code(), safe.half_way()
    ok(safe.post(STEP, {"mfa_token": half, "code": code}))
    waiting = safe.half_way()
    live.stop()
    live.start()
    for token in (waiting, safe.half_way()):
        answer = safe.post(STEP, {"mfa_token": token, "code": code})
        assert code_of(answer) == "wrong-code"
    assert code_of(safe.post(STEP, {"mfa_token": half, "code": code})) == "mfa-token-invalid"
    ok(safe.post(STEP, {"mfa_token": waiting, "recovery_code": safe.recovery[0]}))


@pytest.mark.rows(40)
def test_a_device_is_ended_by_its_owner_alone(cast: Cast) -> None:
    with cast.client("viewerA") as mine, cast.client("adminB") as theirs:
        foreign = ok(theirs.get("/auth/sessions"))["items"][0]["id"]
        same = {"X-Request-ID": "same"}
        answers = [mine.delete(f"/auth/sessions/{id}", headers=same) for id in (foreign, new_id())]
        assert [one.status_code for one in answers] == [404, 404]
        assert answers[0].content == answers[1].content
        assert [s["current"] for s in ok(mine.get("/auth/sessions"))["items"]].count(True) == 1
        body = {"email": cast["viewerA"].email, "password": cast["viewerA"].password}
        other = ok(mine.post("/auth/login", json=body))
        id = next(s["id"] for s in ok(mine.get("/auth/sessions"))["items"] if not s["current"])
        assert mine.delete(f"/auth/sessions/{id}").status_code == 204
        bearer = {"Authorization": f"Bearer {other['access_token']}"}
        assert mine.get("/auth/me", headers=bearer).status_code == 401
        assert theirs.get("/auth/me").status_code == 200
