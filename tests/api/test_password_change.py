"""Changing a password: by who knows it, with one session left, and no key may."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from argon2 import PasswordHasher
from sqlalchemy import update

from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import User
from support.live import a_password
from support.people import People, a_people_server
from support.recovery import a_person, audited, login, signs_in, stored
from support.signin import an_api_key

CHANGE = "/auth/password/change"
ORIGIN = "http://127.0.0.1:8000"


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path) as people:
        yield people


def a_change(person: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"current_password": person["password"], "new_password": a_password()} | changes


async def test_one_session_goes_on_and_the_others_end(people: People, sessions: Sessions) -> None:
    ada = await a_person(people)
    other = await signs_in(people, ada)
    body = a_change(ada)
    made = await people.ok(ada["token"], "POST", CHANGE, body)
    assert set(made) == {"access_token", "refresh_token", "token_type", "expires_in", "user"}
    assert made["user"]["id"] == ada["user"]["id"]
    await people.refused(401, other, "GET", "/auth/me")
    await people.refused(401, ada["token"], "GET", "/auth/me")  # the old pair is no pair any more
    refresh = {"refresh_token": ada["refresh_token"]}
    await people.refused(401, None, "POST", "/auth/refresh", refresh)
    await people.ok(made["access_token"], "GET", "/auth/me")
    await people.ok(None, "POST", "/auth/refresh", {"refresh_token": made["refresh_token"]})
    assert (await login(people, ada)).status_code == 401
    await signs_in(people, ada, password=body["new_password"])
    assert "user.password_changed" in await audited(sessions)


async def test_its_owner_is_told_by_mail(people: People) -> None:
    ada = await a_person(people)
    body = a_change(ada)
    await people.ok(ada["token"], "POST", CHANGE, body)
    mail = (await people.mailed())[-1]
    assert (mail.recipient, mail.kind) == (ada["email"], "password.changed")
    assert body["new_password"] not in str(mail.text)
    assert "127.0.0.1" in str(mail.text)


async def test_a_browser_gets_a_new_cookie_and_no_tokens(people: People) -> None:
    ada = await a_person(people)
    sent = {"email": ada["email"], "password": ada["password"]}
    signed = await people(None, "POST", "/auth/login", sent, X_Client="web")
    before = signed.cookies["__Host-session"]
    headers = {
        "Cookie": f"__Host-session={before}",
        "X_CSRF_Token": signed.json()["csrf_token"],
        "Origin": ORIGIN,
    }
    people.http.cookies.clear()
    forged = headers | {"Origin": "https://evil.test"}
    assert (await people(None, "POST", CHANGE, a_change(ada), **forged)).status_code == 403
    changed = await people(None, "POST", CHANGE, a_change(ada), **headers)
    assert changed.status_code == 200, changed.text
    assert set(changed.json()) == {"csrf_token", "user"}
    after = changed.cookies["__Host-session"]
    assert after != before
    people.http.cookies.clear()
    for cookie, status in ((before, 401), (after, 200)):
        answer = await people(None, "GET", "/auth/me", Cookie=f"__Host-session={cookie}")
        assert answer.status_code == status


async def test_a_wrong_current_password_changes_nothing(people: People, sessions: Sessions) -> None:
    ada = await a_person(people)
    before = (await stored(sessions, ada)).password_hash
    body = a_change(ada, current_password=a_password())
    assert await people.code(403, ada["token"], "POST", CHANGE, body) == "wrong-password"
    assert (await stored(sessions, ada)).password_hash == before
    await people.ok(ada["token"], "GET", "/auth/me")
    assert await people.mailed() == []


@pytest.mark.parametrize("form", ["same", "decomposed"])
async def test_the_old_password_is_no_new_one(people: People, form: str) -> None:
    password = f"caf\u00e9 {a_password()}"
    ada = await a_person(people, password=password)
    again = password if form == "same" else password.replace("\u00e9", "e\u0301")
    body = a_change(ada, new_password=again)
    assert await people.code(422, ada["token"], "POST", CHANGE, body) == "password-refused"


@pytest.mark.parametrize(
    "body",
    [
        {"new_password": "x" * 20},
        {"current_password": "x" * 20},
        {},
        {"current_password": "", "new_password": a_password()},
        {"current_password": "x" * 1025, "new_password": a_password()},
        {"current_password": "x" * 20, "new_password": a_password(), "user_id": "1"},
        {"current_password": ["x"], "new_password": a_password()},
    ],
)
async def test_a_body_that_does_not_fit_costs_no_hash(people: People, body: Any) -> None:
    ada = await a_person(people)
    before = people.identity.passwords.hashed
    await people.refused(422, ada["token"], "POST", CHANGE, body)
    assert people.identity.passwords.hashed == before


async def test_a_new_password_keeps_the_rules(people: People) -> None:
    ada = await a_person(people, name="Ada Lovelace")
    for poor in ("short", "secure123", "a" * 20, "Ada Lovelace Ada Lovelace", ada["email"]):
        body = a_change(ada, new_password=poor)
        assert await people.code(422, ada["token"], "POST", CHANGE, body) == "password-refused"
    await people.ok(ada["token"], "GET", "/auth/me")


async def test_no_key_and_nobody_changes_a_password(people: People, sessions: Sessions) -> None:
    ada = await a_person(people)
    key = await an_api_key(sessions, ada["user"]["id"], scopes=["read", "write", "admin"])
    assert await people.code(403, key, "POST", CHANGE, a_change(ada)) == "forbidden"
    await people.refused(401, None, "POST", CHANGE, a_change(ada))
    await signs_in(people, ada)


async def test_keys_outlive_a_change(people: People, sessions: Sessions) -> None:
    ada = await a_person(people)
    key = await an_api_key(sessions, ada["user"]["id"])
    await people.ok(ada["token"], "POST", CHANGE, a_change(ada))
    await people.ok(key, "GET", "/auth/me")


async def test_a_link_that_was_asked_for_dies_with_the_change(people: People) -> None:
    ada = await a_person(people)
    await people.ok(None, "POST", "/auth/password/forgot", {"email": ada["email"]})
    token = await people.link_token("password.forgot")
    await people.ok(ada["token"], "POST", CHANGE, a_change(ada))
    body = {"token": token, "new_password": a_password()}
    assert await people.code(401, None, "POST", "/auth/password/reset", body) == "link-refused"


async def test_an_argon2_hash_with_older_parameters_is_renewed_at_sign_in(
    people: People, sessions: Sessions
) -> None:
    ada = await a_person(people)
    older = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=2).hash(ada["password"])
    async with sessions.begin(SYSTEM) as session:
        mine = User.id == UUID(ada["user"]["id"])
        await session.execute(update(User).where(mine).values(password_hash=older))
    await signs_in(people, ada)
    renewed = str((await stored(sessions, ada)).password_hash)
    assert renewed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    await signs_in(people, ada)
    assert (await stored(sessions, ada)).password_hash == renewed


async def test_a_name_is_all_that_one_changes_of_oneself(
    people: People, sessions: Sessions
) -> None:
    ada = await a_person(people)
    changed = await people.ok(ada["token"], "PATCH", "/auth/me", {"name": "  Ada Byron "})
    assert changed["name"] == "Ada Byron"
    assert (await people.ok(ada["token"], "GET", "/auth/me"))["name"] == "Ada Byron"
    before = await stored(sessions, ada)
    for extra in ("role", "email", "platform_admin", "verified", "active", "tenant_id", "id"):
        body = {"name": "Eve", extra: "admin"}
        await people.refused(422, ada["token"], "PATCH", "/auth/me", body)
    bodies: tuple[object, ...] = (
        {},
        {"name": ""},
        {"name": " "},
        {"name": "x" * 101},
        {"name": None},
    )
    for malformed in (*bodies, []):
        await people.refused(422, ada["token"], "PATCH", "/auth/me", malformed)
    key = await an_api_key(sessions, ada["user"]["id"], scopes=["read", "write", "admin"])
    await people.refused(403, key, "PATCH", "/auth/me", {"name": "Eve"})
    await people.refused(401, None, "PATCH", "/auth/me", {"name": "Eve"})
    after = await stored(sessions, ada)
    assert (after.name, after.email, after.platform_admin) == ("Ada Byron", before.email, False)
