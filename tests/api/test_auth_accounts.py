"""Registering and signing in with a password: who is taken, and what the refused are told."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from sqlalchemy import select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.settings import Settings
from maestro_ml.core.settings_groups import Registration
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import User, UserKind
from maestro_ml.identity.signin import registration
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID, Tenant
from support.live import a_password
from support.signin import API, SignInServer, a_registration, a_signin_server


@pytest.fixture
async def server(sessions: Sessions, tmp_path: Path) -> AsyncIterator[SignInServer]:
    async with a_signin_server(sessions, tmp_path) as server:
        yield server


async def users(sessions: Sessions) -> list[User]:
    async with sessions.begin(SYSTEM) as session:
        found = await session.scalars(select(User).where(User.password_hash.is_not(None)))
        return list(found)


async def test_whoever_registers_is_a_viewer_of_the_default_tenant(server: SignInServer) -> None:
    made = await server.register(email="Test.User@Example.COM", name="Test User", role="viewer")
    assert made["token_type"] == "bearer"
    assert made["expires_in"] == 900
    me = (await server.me(made["access_token"])).json()
    assert (me["role"], me["name"], me["tenant"]["slug"]) == ("viewer", "Test User", "default")
    assert me["email"] == "Test.User@example.com"
    assert not me["platform_admin"]
    assert me["csrf_token"] is None
    assert made["user"] == {k: v for k, v in me.items() if k != "csrf_token"}


async def test_nobody_registers_as_more_than_a_viewer(
    server: SignInServer, sessions: Sessions
) -> None:
    roles = ("admin", "owner", "superadmin", "ADMIN", "Viewer", ["admin"], {"$ne": ""}, None, 1)
    for role in (*roles, "viewer\u0000admin", "viewer "):
        answer = await server.post("register", a_registration(role=role))
        assert answer.status_code == 422, role
        assert ["body", "role"] in [fault["at"] for fault in answer.json()["faults"]]
    assert await users(sessions) == []


async def test_nobody_registers_with_a_field_of_the_servers(
    server: SignInServer, sessions: Sessions
) -> None:
    for field in (
        *("tenant_id", "id", "is_admin", "is_superuser", "is_active", "is_verified", "verified"),
        *("password_hash", "created_at", "meta", "token_version", "permissions", "__proto__"),
        *("platform_admin", "tenant", "kind"),
    ):
        answer = await server.post("register", a_registration(**{field: "x"}))
        assert answer.status_code == 422, field
    assert await users(sessions) == []


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"password": "secure123"}, "password-refused"),
    ({"password": "passwordpassword"}, "password-refused"),
    ({"password": "maestro-ml-admin"}, "password-refused"),
    ({"password": "Some One Some One"}, "password-refused"),
    ({"email": "ada@lovelace.test", "password": "ada@lovelace.test"}, "password-refused"),
    ({"password": "x" * 129}, "password-refused"),
    ({"password": "x" * 2000}, "invalid"),
    ({"password": ""}, "invalid"),
    ({"password": "lamp tunnel \x00 violin"}, "invalid"),
    ({"password": 123456789012345678}, "invalid"),
    ({"email": "nobody"}, "invalid"),
    ({"email": "a@b@c"}, "invalid"),
    ({"email": '"<script>"@x.y'}, "invalid"),
    ({"email": "x@y.test\r\nBcc: all@example.com"}, "invalid"),
    ({"email": "x@y.test "}, "invalid"),
    ({"email": "x" * 300 + "@y.test"}, "invalid"),
    ({"name": ""}, "invalid"),
    ({"name": "   "}, "invalid"),
    ({"name": "x" * 101}, "invalid"),
    ({"name": "a\x00b"}, "invalid"),
]


async def test_what_does_not_fit_is_refused_and_nothing_is_left(
    server: SignInServer, sessions: Sessions
) -> None:
    for changes, code in REFUSED:
        answer = await server.post("register", a_registration(**changes))
        assert answer.status_code == 422, changes
        problem = answer.json()
        assert problem["type"] == f"/problems/{code}"
        assert ("rule" if code == "password-refused" else "faults") in problem
        assert len(answer.text) < 2000  # what was sent is not sent back
    assert server.identity.passwords.hashed == 0
    assert await users(sessions) == []


async def test_a_lone_surrogate_is_refused_wherever_it_stands(server: SignInServer) -> None:
    for field in ("email", "password", "name"):
        body = json.dumps(a_registration(**{field: "lamp \ud800 tunnel ocean"}))
        for path in ("register", "login"):
            answer = await server.http.post(
                f"{API}/auth/{path}", content=body, headers={"Content-Type": "application/json"}
            )
            assert answer.status_code == 422


async def test_the_name_is_asked_for_and_the_role_is_not(server: SignInServer) -> None:
    body = a_registration()
    del body["name"]
    assert (await server.post("register", body)).status_code == 422
    assert (await server.post("register", a_registration())).status_code == 201


async def test_one_address_is_one_account(server: SignInServer, sessions: Sessions) -> None:
    await server.register(email="caf\u00e9.Ada@Example.com")
    for same in ("café.ada@example.com", "CAFE\u0301.ADA@EXAMPLE.COM"):
        answer = await server.post("register", a_registration(email=same))
        assert answer.status_code == 409
        assert answer.json()["type"] == "/problems/email-taken"
    await server.register(email="café.ada+other@example.com")
    assert len(await users(sessions)) == 2


async def test_of_many_who_register_one_address_at_once_one_wins(
    server: SignInServer, sessions: Sessions
) -> None:
    bodies = [a_registration(email="ada@example.com") for _ in range(10)]
    answers = await asyncio.gather(*(server.post("register", body) for body in bodies))
    # One address is told five times an hour that somebody has an account.
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5 + [429] * 4
    (ada,) = await users(sessions)
    async with sessions.begin(SYSTEM) as session:
        tenant = await session.get_one(Tenant, DEFAULT_TENANT_ID)
        assert tenant.n_users == 1
    assert ada.email == "ada@example.com"


async def test_a_full_tenant_takes_exactly_as_many_as_it_may(
    server: SignInServer, sessions: Sessions
) -> None:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(
            update(Tenant).where(Tenant.id == DEFAULT_TENANT_ID).values(max_users=3)
        )
    bodies = [a_registration() for _ in range(8)]
    answers = await asyncio.gather(*(server.post("register", body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 5
    assert {a.json()["type"] for a in answers if a.status_code == 409} == {
        "/problems/quota-exceeded"
    }
    assert len(await users(sessions)) == 3


@pytest.mark.parametrize("policy", ["invite", "closed"])
async def test_where_people_are_invited_nobody_registers(
    sessions: Sessions, tmp_path: Path, policy: str
) -> None:
    async with a_signin_server(sessions, tmp_path, auth={"registration": policy}) as server:
        answer = await server.post("register", a_registration())
    assert answer.status_code == 403
    assert answer.json()["type"] == "/problems/registration-closed"
    assert server.identity.passwords.hashed == 0


@pytest.mark.parametrize(
    ("host", "policy"),
    [
        ("127.0.0.1", Registration.OPEN),
        ("127.8.9.1", Registration.OPEN),
        ("::1", Registration.OPEN),
        ("[::1]", Registration.OPEN),
        ("localhost", Registration.OPEN),
        ("0.0.0.0", Registration.INVITE),
        ("::", Registration.INVITE),
        ("10.0.0.1", Registration.INVITE),
        ("maestro.example.com", Registration.INVITE),
        ("localhost.example.com", Registration.INVITE),
        ("", Registration.INVITE),
    ],
)
def test_registration_is_open_on_this_machine_only(host: str, policy: Registration) -> None:
    settings = Settings(data=Path("unused"))
    listening = settings.model_copy(
        update={"server": settings.server.model_copy(update={"host": host})}
    )
    assert registration(listening) is policy


async def test_dev_mode_takes_the_specifications_passwords(
    sessions: Sessions, tmp_path: Path
) -> None:
    async with a_signin_server(sessions, tmp_path, dev=True) as server:
        for email, password in (
            ("test@example.com", "secure123"),
            ("test@test.com", "test123"),
            ("user@example.com", "pass123"),
            ("admin@maestro.ml", "admin123"),
        ):
            made = await server.register(email=email, password=password)
            await server.login(made)


async def test_whatever_is_wrong_the_refusal_is_one_and_costs_one_hash(
    server: SignInServer, sessions: Sessions
) -> None:
    made, disabled, service = [await server.register() for _ in range(3)]
    async with sessions.begin(SYSTEM) as session:
        for person, values in (
            (disabled, {"active": False}),
            (service, {"kind": UserKind.SERVICE}),
        ):
            changed = update(User).where(User.email == person["email"]).values(**values)
            await session.execute(changed)
    told = set()
    for email, password in (
        (made["email"], a_password()),
        (made["email"], made["password"] + " "),
        (made["email"], made["password"][:-1]),
        ("nobody@someone.test", made["password"]),
        ("no address", made["password"]),
        ("admin@acme.test", made["password"]),  # an account without a password
        (disabled["email"], disabled["password"]),
        (service["email"], service["password"]),
        ("admin@maestro.ml", "admin123"),
    ):
        before = server.identity.passwords.hashed
        answer = await server.post("login", {"email": email, "password": password})
        assert answer.status_code == 401
        assert server.identity.passwords.hashed == before + 1
        problem = answer.json()
        del problem["request_id"]
        told.add(str(problem))
    assert len(told) == 1


async def test_the_case_of_the_address_does_not_matter(server: SignInServer) -> None:
    made = await server.register(email="Ada@Example.com")
    await server.login(made | {"email": "aDA@eXAMPLE.COM"})


async def test_a_password_is_never_trimmed_and_always_composed(server: SignInServer) -> None:
    password = " cafe\u0301 violin ocean lamp "
    made = await server.register(password=password)
    await server.login(made | {"password": " caf\u00e9 violin ocean lamp "})
    body = {"email": made["email"], "password": password.strip()}
    assert (await server.post("login", body)).status_code == 401


@pytest.mark.parametrize("password", ["x" * 129, "x" * 1024, "x" * 1025, "x" * 900_000])
async def test_a_password_beyond_measure_is_not_hashed(server: SignInServer, password: str) -> None:
    before = server.identity.passwords.hashed
    body = {"email": "ada@example.com", "password": password}
    assert (await server.post("login", body)).status_code in {401, 422}
    assert server.identity.passwords.hashed == before


async def test_an_old_bcrypt_hash_lets_in_and_is_renewed(
    server: SignInServer, sessions: Sessions
) -> None:
    made = await server.register()
    old = bcrypt.hashpw(made["password"].encode(), bcrypt.gensalt(4)).decode()
    async with sessions.begin(SYSTEM) as session:
        await session.execute(
            update(User).where(User.email == made["email"]).values(password_hash=old)
        )
    body = {"email": made["email"], "password": a_password()}
    assert (await server.post("login", body)).status_code == 401
    await server.login(made)
    (kept,) = await users(sessions)
    assert (kept.password_hash or "").startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    await server.login(made)


async def test_more_sign_ins_than_can_wait_are_told_when_to_come_back(
    server: SignInServer,
) -> None:
    body = {"email": "ada@example.com", "password": "x"}
    answers = await asyncio.gather(*(server.post("login", body) for _ in range(40)))
    statuses = {answer.status_code for answer in answers}
    assert statuses <= {401, 429, 500}
    assert len([a for a in answers if a.status_code != 401]) >= 10


async def test_what_happened_is_written_down_without_a_secret(
    server: SignInServer, sessions: Sessions
) -> None:
    made = await server.register()
    signed_in = await server.login(made)
    bearer = f"Bearer {signed_in['access_token']}"
    await server.post("refresh", {"refresh_token": made["refresh_token"]})
    await server.post("logout", authorization=bearer)
    async with sessions.begin(SYSTEM) as session:
        events = list(await session.scalars(select(AuditEvent).order_by(AuditEvent.id)))
    assert [event.action for event in events] == [
        "user.created",
        "member.joined",
        "session.started",
        "session.started",
        "session.refreshed",
        "session.ended",
    ]
    assert {event.tenant_id for event in events} == {DEFAULT_TENANT_ID}
    assert {str(event.actor_id) for event in events} == {made["user"]["id"]}
    written = str([vars(event) for event in events])
    for secret in (made["password"], made["refresh_token"], signed_in["access_token"]):
        assert secret not in written


async def test_no_secret_is_kept_as_it_is(server: SignInServer, sessions: Sessions) -> None:
    made = await server.register()
    (user,) = await users(sessions)
    kept = str(vars(user))
    assert made["password"] not in kept


async def test_auth_health_answers_anybody(server: SignInServer) -> None:
    answer = await server.get("health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
