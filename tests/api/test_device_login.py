"""Signing in at a terminal through a browser (RFC 8628)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Role
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import DeviceLogin, Session, User
from maestro_ml.tenancy.models import Tenant, TenantStatus
from support.people import People, a_people_server
from support.races import AT_ONCE, EACH, race, rounds
from support.world import ACME, USERS

DEVICE = "/auth/device"


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path) as people:
        yield people


async def started(people: People, **body: str) -> dict[str, Any]:
    found: dict[str, Any] = await people.ok(None, "POST", DEVICE, body)
    return found


async def poll(people: People, device: dict[str, Any]) -> tuple[int, Any]:
    """As a patient terminal asks."""
    people.clock.move(seconds=61)
    body = {"device_code": device["device_code"]}
    answer = await people(None, "POST", f"{DEVICE}/token", body)
    said = answer.json()
    ok = answer.status_code == 200
    return answer.status_code, said if ok else said["type"].removeprefix("/problems/")


async def test_approved_it_acts_as_who_approved(people: People) -> None:
    device = await started(people, client="maestro on laptop")
    assert device["verification_uri"] == "http://127.0.0.1:8000/device"
    assert device["verification_uri_complete"].endswith(f"/device#{device['user_code']}")
    assert (device["expires_in"], device["interval"]) == (600, 5)
    assert await poll(people, device) == (400, "authorization-pending")
    member = await people.token(Role.MEMBER)
    code = {"user_code": device["user_code"].lower().replace("-", " ")}
    shown = await people.ok(member, "GET", f"{DEVICE}/pending?user_code={device['user_code']}")
    assert (shown["client"], shown["ip"]) == ("maestro on laptop", "127.0.0.1")
    await people.ok(member, "POST", f"{DEVICE}/approve", code)
    status, answer = await poll(people, device)
    assert status == 200
    me = await people.ok(answer["access_token"], "GET", "/auth/me")
    assert (me["id"], me["tenant"]["slug"]) == (str(USERS[ACME, Role.MEMBER]), "acme")
    assert await poll(people, device) == (400, "expired-token")


async def test_denied_it_gets_nothing(people: People) -> None:
    device = await started(people)
    member = await people.token(Role.MEMBER)
    code = {"user_code": device["user_code"]}
    await people.ok(member, "POST", f"{DEVICE}/deny", code)
    assert await people.code(404, member, "POST", f"{DEVICE}/approve", code) == (
        "device-login-not-found"
    )
    assert await poll(people, device) == (400, "access-denied")


async def test_who_asks_too_often_waits_longer(people: People) -> None:
    device = await started(people)
    body = {"device_code": device["device_code"]}

    async def ask(after: int) -> str:
        people.clock.move(seconds=after)
        return await people.code(400, None, "POST", f"{DEVICE}/token", body)

    assert await ask(0) == "authorization-pending"
    assert await ask(4) == "slow-down"
    assert await ask(6) == "slow-down"
    assert await ask(16) == "authorization-pending"


async def test_it_waits_ten_minutes(people: People) -> None:
    device = await started(people)
    people.clock.move(minutes=10, seconds=1)
    member = await people.token(Role.MEMBER)
    code = {"user_code": device["user_code"]}
    for verb in ("approve", "deny"):
        await people.refused(404, member, "POST", f"{DEVICE}/{verb}", code)
    assert await poll(people, device) == (400, "expired-token")


async def test_an_approval_is_used_up_by_one_of_forty(people: People) -> None:
    member = await people.token(Role.MEMBER)

    async def one(_: int) -> None:
        device = await started(people)
        code = {"user_code": device["user_code"]}
        done = await race(people(member, "POST", f"{DEVICE}/approve", code) for _ in EACH)
        assert done == {204: 1, 404: AT_ONCE - 1}
        body = {"device_code": device["device_code"]}
        # Of made-up codes few are looked at.
        told = await race(people(None, "POST", f"{DEVICE}/token", body) for _ in EACH)
        assert (told[200], told[400] + told[429]) == (1, AT_ONCE - 1)

    await rounds(one)


@pytest.mark.parametrize("meanwhile", ["disabled", "suspended", "signed out everywhere"])
async def test_what_happens_to_the_approver_meanwhile_counts(
    people: People, sessions: Sessions, meanwhile: str
) -> None:
    device = await started(people)
    member = await people.token(Role.MEMBER)
    await people.ok(member, "POST", f"{DEVICE}/approve", {"user_code": device["user_code"]})
    async with sessions.begin(SYSTEM) as session:
        if meanwhile == "disabled":
            who = User.id == USERS[ACME, Role.MEMBER]
            await session.execute(update(User).where(who).values(active=False))
        elif meanwhile == "suspended":
            off = update(Tenant).where(Tenant.id == ACME)
            await session.execute(off.values(status=TenantStatus.SUSPENDED))
    if meanwhile == "signed out everywhere":
        await people.ok(member, "POST", "/auth/logout-all")
    assert await poll(people, device) == (400, "access-denied")


async def test_leaving_the_browser_takes_nothing_back(people: People) -> None:
    device = await started(people)
    member = await people.token(Role.MEMBER)
    await people.ok(member, "POST", f"{DEVICE}/approve", {"user_code": device["user_code"]})
    await people.ok(member, "POST", "/auth/logout")
    assert (await poll(people, device))[0] == 200


@pytest.mark.parametrize("by", ["themselves", "an admin"])
async def test_leaving_does_not_save_an_approval_from_what_ends_every_session(
    people: People, by: str
) -> None:
    device = await started(people)
    member = await people.token(Role.MEMBER)
    await people.ok(member, "POST", f"{DEVICE}/approve", {"user_code": device["user_code"]})
    await people.ok(member, "POST", "/auth/logout")
    if by == "themselves":
        await people.ok(await people.token(Role.MEMBER), "POST", "/auth/logout-all")
    else:
        path = f"/users/{USERS[ACME, Role.MEMBER]}/sign-out"
        await people.ok(await people.token(Role.ADMIN), "POST", path)
    assert await poll(people, device) == (400, "access-denied")


async def test_approving_proves_nothing_anew(people: People, sessions: Sessions) -> None:
    device = await started(people)
    member = await people.token(Role.MEMBER)
    await people.ok(member, "POST", f"{DEVICE}/approve", {"user_code": device["user_code"]})
    assert (await poll(people, device))[0] == 200
    async with sessions.begin(SYSTEM) as session:
        query = select(Session).where(Session.user_id == USERS[ACME, Role.MEMBER])
        first, second = await session.scalars(query.order_by(Session.created_at))
    assert second.created_at > first.created_at
    assert second.auth_time == first.auth_time
    assert second.expires_at == first.expires_at


async def test_a_key_approves_nothing(people: People) -> None:
    device = await started(people)
    session = await people.token(Role.MEMBER)
    key = (await people.made(session, "/api-keys", {"name": "k"}))["secret"]
    code = {"user_code": device["user_code"]}
    for who, status in ((key, 403), (None, 401), (device["device_code"], 401)):
        for verb in ("approve", "deny"):
            await people.refused(status, who, "POST", f"{DEVICE}/{verb}", code)
        await people.refused(
            status, who, "GET", f"{DEVICE}/pending?user_code={device['user_code']}"
        )
    assert await poll(people, device) == (400, "authorization-pending")


@pytest.mark.parametrize("code", ["BCDF-GHJK", "        ", "x" * 20, "--------"])
async def test_a_code_that_nobody_shows_finds_nothing(people: People, code: str) -> None:
    member = await people.token(Role.MEMBER)
    await people.refused(404, member, "POST", f"{DEVICE}/approve", {"user_code": code})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", {"client": "x" * 101}),
        ("", {"client": "a\x00"}),
        ("", {"scope": "admin"}),
        ("/token", {}),
        ("/token", {"device_code": 7}),
        ("/approve", {"user_code": "short"}),
        ("/approve", {"user_code": "BCDF-GHJK", "tenant": "other"}),
    ],
    ids=str,
)
async def test_what_does_not_fit_is_refused(
    people: People, path: str, body: dict[str, Any]
) -> None:
    member = await people.token(Role.MEMBER)
    who = member if path == "/approve" else None
    await people.refused(422, who, "POST", DEVICE + path, body)


async def test_a_made_up_device_code_is_like_an_old_one(people: People) -> None:
    for code in ("x", "mld_" + "0" * 49, "mlr_" + "0" * 49):
        assert await people.code(400, None, "POST", f"{DEVICE}/token", {"device_code": code}) == (
            "expired-token"
        )


async def test_codes_are_kept_as_hashes_and_decisions_written_down(
    people: People, sessions: Sessions
) -> None:
    device = await started(people)
    member = await people.token(Role.MEMBER)
    await people.ok(member, "POST", f"{DEVICE}/approve", {"user_code": device["user_code"]})
    async with sessions.begin(SYSTEM) as session:
        row = (await session.scalars(select(DeviceLogin))).one()
        event = (
            await session.scalars(select(AuditEvent).where(AuditEvent.action == "device.approved"))
        ).one()
    plain = device["user_code"].replace("-", "")
    for secret in (device["device_code"], device["user_code"], plain):
        assert secret not in repr(row)
        assert secret not in repr(event)
    assert event.actor_id == UUID(str(USERS[ACME, Role.MEMBER]))
