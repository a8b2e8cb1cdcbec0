"""Group A: an account is what the server makes it, and an address has one."""

import secrets
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import func, select

from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import User
from support.forgery import unpack
from support.live import Cast, a_password, ok

ROLES: list[Any] = [
    *("admin", "owner", "superadmin", "ADMIN", "Viewer", "viewer\u0000admin", "viewer "),
    *(["admin"], {"$ne": ""}, None, 1),
]


def fields(cast: Cast) -> dict[str, Any]:
    """The server's own, or what others call theirs, with the value that would do most."""
    return {
        "tenant_id": unpack(cast["adminA"].token)[1]["tid"],
        "tenant": "tenant-a",
        "id": cast["adminA"].id,
        "is_admin": True,
        "is_superuser": True,
        "is_active": True,
        "is_verified": True,
        "verified": True,
        "platform_admin": True,
        "kind": "service",
        "password_hash": "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAA",
        "created_at": "2020-01-01T00:00:00Z",
        "meta": {"role": "admin"},
        "token_version": 99,
        "permissions": ["*"],
        "__proto__": {"role": "admin"},
    }


def registering(**changes: Any) -> dict[str, Any]:
    email = f"{secrets.token_hex(6)}@someone.test"
    return {"email": email, "password": a_password(), "name": "Some One"} | changes


async def accounts(truth: Sessions, *emails: str) -> int:
    async with truth.begin(SYSTEM, read_only=True) as session:
        which = User.email_norm.in_([email.lower() for email in emails])
        return int(await session.scalar(select(func.count()).select_from(User).where(which)) or 0)


@pytest.mark.rows(1)
def test_registering_as_documented_gives_a_viewer(cast: Cast) -> None:
    body = registering(role="viewer")
    with cast.client() as http:
        answer = http.post("/auth/register", json=body)
        assert answer.status_code == 201
        made = answer.json()
        assert made["user"]["role"] == "viewer"
        http.headers["Authorization"] = f"Bearer {made['access_token']}"
        me = ok(http.get("/auth/me"))
        assert (me["email"], me["role"], me["platform_admin"]) == (body["email"], "viewer", False)
        assert me["tenant"]["slug"] == "default"
        assert http.get("/users").status_code == 403


@pytest.mark.rows(2)
async def test_a_role_in_the_body_gives_no_role(cast: Cast, truth: Sessions) -> None:
    bodies = [registering(role=role) for role in ROLES]
    with cast.client() as http:
        for body in bodies:
            answer = http.post("/auth/register", json=body)
            assert answer.status_code == 422, body["role"]
            assert ["body", "role"] in [fault["at"] for fault in answer.json()["faults"]]
    assert await accounts(truth, *(body["email"] for body in bodies)) == 0


@pytest.mark.rows(3)
async def test_no_field_of_the_servers_is_taken_from_a_registration(
    cast: Cast, truth: Sessions
) -> None:
    bodies = [registering(**{name: value}) for name, value in fields(cast).items()]
    with cast.client() as http:
        for body in bodies:
            assert http.post("/auth/register", json=body).status_code == 422, body
    assert await accounts(truth, *(body["email"] for body in bodies)) == 0


@pytest.mark.rows(4)
def test_nobody_gives_themselves_more_as_a_user_either(cast: Cast) -> None:
    """Beside one's own account, which `test_recovery` tries, there is the address for admins."""
    with cast.client("adminA") as admin:
        for name in ("adminA", "maintainerA", "memberA", "viewerA"):
            path = f"/users/{cast[name].id}"
            before = ok(admin.get(path))
            bodies = [{field: value} for field, value in fields(cast).items()]
            bodies += [
                {"role": role} for role in ROLES if name != "adminA" or role not in ("admin", None)
            ]
            with cast.client(name) as own:
                for body in bodies:
                    answer = own.patch(path, json=body)
                    allowed = {422} if name == "adminA" else {403, 422}
                    assert answer.status_code in allowed, (name, body, answer.text)
                me = ok(own.get("/auth/me"))
            assert (me["role"], me["platform_admin"]) == (cast[name].role, False)
            assert ok(admin.get(path)) == before


@pytest.mark.rows(11)
async def test_one_account_for_each_address(cast: Cast, truth: Sessions) -> None:
    name = secrets.token_hex(6)
    victim = cast.somebody(email=f"{name}.One@Case.test")

    def register(email: str) -> tuple[int, httpx2.Response, dict[str, Any]]:
        body = registering(email=email)
        with cast.client() as http:  # each from another address
            answer = http.post("/auth/register", json=body)
        return answer.status_code, answer, body

    for same in (
        f"{name}.one@case.test",
        f"{name.upper()}.ONE@CASE.TEST",
        f"{name}.one@\uff43ase.test",  # a full-width letter
        f"{name}.one@case\u3002test",  # an ideographic full stop
        f" {name}.one@case.test",
        f"{name}.one@case.test ",
        f"{name}.one@case.test\t",
        f"{name}.one@case.test.",
        f"{name}.one\u200b@case.test",
    ):
        status, answer, _ = register(same)
        assert status in {409, 422}, (same, answer.text)
    for other in (
        f"{name}one@case.test",
        f"{name}.one+tag@case.test",
        f"{name}.one@c\u0430se.test",  # a Cyrillic letter
        f"{name}.\u043ene@case.test",
        f"{name}.\uff4fne@case.test",
    ):
        status, answer, body = register(other)
        assert status in {201, 422}, (other, answer.text)
        if status == 201:  # somebody else, whose password opens nothing of the victim's
            assert answer.json()["user"]["id"] != victim.id
            with cast.client() as http:
                theirs = {"email": victim.email, "password": body["password"]}
                assert http.post("/auth/login", json=theirs).status_code == 401
    assert await accounts(truth, victim.email) == 1
    async with truth.begin(SYSTEM, read_only=True) as session:
        kept = await session.get_one(User, UUID(victim.id))
        assert kept.email_norm == f"{name}.one@case.test"


@pytest.mark.rows(11)
@pytest.mark.parametrize(
    "email",
    ["x@y.test\r\nBcc: all@x.test", "x@y.test\nBcc: all@x.test", "x@y.test\u2028Bcc: all@x.test"],
    ids=repr,
)
def test_an_address_brings_no_second_header_into_a_mail(cast: Cast, email: str) -> None:
    """On any way on which an address comes in."""
    person = cast.somebody()
    with cast.client() as http:
        assert http.post("/auth/register", json=registering(email=email)).status_code == 422
        assert http.post("/auth/password/forgot", json={"email": email}).status_code == 202
        change = {"new_email": email, "current_password": person.password}
        answer = http.post("/auth/email/change", json=change, headers=person.bearer)
        assert answer.status_code == 422
    with cast.client("adminA") as admin:
        offer = {"email": email, "role": "viewer"}
        assert admin.post("/users/invitations", json=offer).status_code == 422
    with cast.client("root") as root:
        tenant = {"name": "N", "slug": f"t-{new_id().hex[:8]}", "admin_email": email}
        assert root.post("/tenants", json=tenant).status_code == 422
        page = ok(root.get("/outbox?limit=200"))
        assert not [mail for mail in page["items"] if "x.test" in str(mail)]
