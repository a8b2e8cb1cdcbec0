"""Where whoever registers proves the address first: a known address looks like a new one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from maestro_ml.core.access import Access, Role
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_system_work, open_work
from maestro_ml.identity import handlers
from maestro_ml.identity.models import User
from maestro_ml.identity.service import accounts, setup, unclaimed
from maestro_ml.jobs.service import enqueue
from maestro_ml.jobs.worker import Worker
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID, Tenant
from support.live import a_password
from support.people import People, a_people_server
from support.recovery import audited, login
from support.signin import a_registration
from support.world import ACME

REGISTER, VERIFY = "/auth/register", "/auth/email/verify"


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path, auth={"verify_email": True}) as people:
        yield people


async def register(people: People, **changes: Any) -> dict[str, Any]:
    body = a_registration(**changes)
    answer = await people(None, "POST", REGISTER, body)
    assert answer.status_code == 202, answer.text
    assert set(answer.json()) == {"detail"}
    assert "set-cookie" not in answer.headers
    return body


async def enter(people: People, person: dict[str, Any], **changes: Any) -> tuple[int, str]:
    answer = await login(people, person, **changes)
    return answer.status_code, str(answer.json().get("type", "")).removeprefix("/problems/")


async def test_the_link_opens_the_door(people: People, sessions: Sessions) -> None:
    ada = await register(people)
    assert await enter(people, ada) == (403, "email-unverified")
    assert await enter(people, ada, password=a_password()) == (401, "wrong-credentials")
    await people.ok(None, "POST", VERIFY, {"token": await people.link_token("email.verify")})
    assert await enter(people, ada) == (200, "")
    assert "user.email_verified" in await audited(sessions)


async def test_a_known_address_is_answered_alike_and_its_owner_is_told(
    people: People, sessions: Sessions
) -> None:
    ada = await register(people)
    hashed = people.identity.passwords.hashed
    bodies = [
        a_registration(),
        a_registration(email=ada["email"]),
        a_registration(email=ada["email"].upper()),
    ]
    answers = [await people(None, "POST", REGISTER, body) for body in bodies]
    assert {(answer.status_code, answer.content) for answer in answers} == {
        (202, answers[0].content)
    }
    assert people.identity.passwords.hashed == hashed + 3
    tried = await people.mailed("email.tried")
    assert [mail.recipient for mail in tried] == [ada["email"]] * 2
    assert "#" not in str(tried[0].text)
    assert await enter(people, ada) == (403, "email-unverified")  # with the password it had


async def test_poor_passwords_are_refused_for_every_address_alike(people: People) -> None:
    ada = await register(people)
    said = {
        (
            await people.refused(
                422, None, "POST", REGISTER, a_registration(email=e, password="short")
            )
        )["detail"]
        for e in (ada["email"], "new@someone.test")
    }
    assert len(said) == 1


async def test_a_full_tenant_is_full_for_every_address(people: People, sessions: Sessions) -> None:
    ada = await register(people)
    async with sessions.begin(SYSTEM) as session:
        full = update(Tenant).where(Tenant.id == DEFAULT_TENANT_ID).values(max_users=1)
        await session.execute(full)
    for email in (ada["email"], "new@someone.test"):
        body = a_registration(email=email)
        assert await people.code(409, None, "POST", REGISTER, body) == "quota-exceeded"


async def test_the_right_password_has_the_link_mailed_again(people: People) -> None:
    ada = await register(people)
    people.clock.move(days=2)  # the first one is too old by now
    first = await people.link_token("email.verify")
    await people.refused(401, None, "POST", VERIFY, {"token": first})
    for _ in range(3):
        assert await enter(people, ada) == (403, "email-unverified")
    assert len(await people.mailed("email.verify")) == 2
    await people.ok(None, "POST", VERIFY, {"token": await people.link_token("email.verify")})
    assert await enter(people, ada) == (200, "")


async def test_a_link_for_a_new_password_proves_the_address_too(people: People) -> None:
    ada = await register(people)
    await people.ok(None, "POST", "/auth/password/forgot", {"email": ada["email"]})
    body = {"token": await people.link_token("password.forgot"), "new_password": a_password()}
    await people.ok(None, "POST", "/auth/password/reset", body)
    assert await enter(people, ada, password=body["new_password"]) == (200, "")


async def seats(sessions: Sessions) -> int:
    async with sessions.begin(SYSTEM, read_only=True) as session:
        return (await session.get_one(Tenant, DEFAULT_TENANT_ID)).n_users


async def prune(people: People, sessions: Sessions) -> None:
    async with open_work(sessions, Access.system(DEFAULT_TENANT_ID), clock=people.clock) as work:
        await enqueue(work, "identity.prune", {})
    worker = Worker(sessions, {"identity.prune": handlers.prune}, clock=people.clock)
    assert await worker.run_one()


async def test_an_address_that_is_not_proved_within_a_week_gives_its_seat_back(
    people: People, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unclaimed, "BATCH", 2)
    before = await seats(sessions)
    bob = await register(people)
    await people.ok(None, "POST", VERIFY, {"token": await people.link_token("email.verify")})
    cleo, *others = [await register(people) for _ in range(4)]
    async with open_system_work(sessions, clock=people.clock) as work:
        found = await accounts.find(work, cleo["email"])
        assert found is not None
        await accounts.join(work, await work.session.get_one(User, found.id), ACME, Role.VIEWER)
    people.clock.move(days=6)
    await prune(people, sessions)
    assert await seats(sessions) == before + 5
    people.clock.move(days=1, seconds=1)
    await prune(people, sessions)
    assert await seats(sessions) == before + 2
    assert (await audited(sessions)).count("user.forgotten") == 3
    assert await enter(people, others[0]) == (401, "wrong-credentials")
    assert await enter(people, cleo) == (403, "email-unverified")
    assert await enter(people, bob) == (200, "")
    await register(people, email=others[0]["email"])
    assert await seats(sessions) == before + 3


async def test_who_signed_in_before_addresses_had_to_be_proved_stays(
    people: People, sessions: Sessions
) -> None:
    ada = await register(people)
    async with sessions.begin(SYSTEM) as session:
        mine = update(User).where(User.email == ada["email"])
        await session.execute(mine.values(last_login_at=people.clock()))
    people.clock.move(days=8)
    await prune(people, sessions)
    assert await enter(people, ada) == (403, "email-unverified")


async def test_whoever_accepts_an_invitation_is_in_and_proves_the_address_then(
    people: People,
) -> None:
    admin = await people.token(Role.ADMIN)
    invitation = {"email": "new@lab.test", "role": "member"}
    offer = await people.made(admin, "/users/invitations", invitation)
    body = {"token": offer["token"], "password": a_password(), "name": "New"}
    made = await people.made(None, "/auth/invitations/accept", body)
    await people.ok(made["access_token"], "GET", "/auth/me")
    assert await enter(people, invitation | body) == (403, "email-unverified")
    await people.ok(None, "POST", VERIFY, {"token": await people.link_token("email.verify")})
    assert await enter(people, invitation | body) == (200, "")


async def test_the_platforms_admin_is_never_locked_out(people: People, sessions: Sessions) -> None:
    async with open_system_work(sessions) as work:
        secret = await setup.issue_secret(work)
    body = a_registration() | {"token": secret}
    await people.made(None, "/auth/setup", body)
    assert await enter(people, body) == (200, "")


async def test_registering_at_once_makes_one_account(people: People, sessions: Sessions) -> None:
    body = a_registration()
    many = (people(None, "POST", REGISTER, body) for _ in range(8))
    assert {answer.status_code for answer in await asyncio.gather(*many)} == {202}
    async with sessions.begin(SYSTEM, read_only=True) as session:
        same = select(User).where(User.email_norm == body["email"])
        assert len((await session.scalars(same)).all()) == 1
