"""Forgotten passwords: one link, once, for an hour, and the same answer for every address."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import ActorKind, Role
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity import tokens
from maestro_ml.identity.models import AccountToken, ExternalIdentity, User, UserKind
from maestro_ml.jobs.models import Job, JobState
from support import ACME, USERS
from support.live import a_password
from support.mfa import somebody
from support.people import People, a_people_server
from support.recovery import a_person, audited, login, signs_in, stored
from support.signin import an_api_key
from support.statements import counted

FORGOT, RESET = "/auth/password/forgot", "/auth/password/reset"
PUBLIC_URL = "https://maestro.example.com/ml"
COUNTERS = "rate_counters"  # of how often an address asks


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    options = {"server": {"public_url": PUBLIC_URL}, "auth": {"registration": "open"}}
    async with a_people_server(sessions, tmp_path, **options) as people:
        yield people


async def a_link(people: People, person: dict[str, Any]) -> str:
    """The token of a link that the person has asked for."""
    answer = await people(None, "POST", FORGOT, {"email": person["email"]})
    assert answer.status_code == 202
    return await people.link_token("password.forgot")


def a_reset(token: str, **changes: Any) -> dict[str, Any]:
    return {"token": token, "new_password": a_password()} | changes


async def refusal(people: People, token: str, **changes: Any) -> str:
    return str(
        (await people.refused(401, None, "POST", RESET, a_reset(token, **changes)))["detail"]
    )


async def test_the_link_sets_a_password_and_signs_nobody_in(
    people: People, sessions: Sessions
) -> None:
    ada = await a_person(people)
    key = await an_api_key(sessions, ada["user"]["id"])
    body = a_reset(await a_link(people, ada))
    answer = await people(None, "POST", RESET, body)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "set-cookie" not in answer.headers
    for dead in (ada["token"], key):
        await people.refused(401, dead, "GET", "/auth/me")
    await people.refused(
        401, None, "POST", "/auth/refresh", {"refresh_token": ada["refresh_token"]}
    )
    assert (await login(people, ada)).status_code == 401
    await signs_in(people, ada, password=body["new_password"])
    assert [*await audited(sessions)][-2:] == ["user.password_forgotten", "user.password_reset"]
    mail = (await people.mailed("password.reset"))[-1]
    assert mail.recipient == ada["email"]


async def test_what_an_admin_starts_is_not_said_to_be_its_owners_doing(
    people: People, sessions: Sessions
) -> None:
    person = USERS[ACME, Role.MEMBER]
    await people.ok(await people.token(), "POST", f"/users/{person}/password-reset")
    await people.mailed()
    async with sessions.begin(ACME, read_only=True) as session:
        theirs = select(AuditEvent).where(AuditEvent.target_id == str(person))
        events = {event.action: event for event in await session.scalars(theirs)}
    assert events.keys() == {"member.reset_started", "user.reset_mailed"}
    assert events["member.reset_started"].actor_id == USERS[ACME, Role.ADMIN]
    assert events["user.reset_mailed"].actor_kind is ActorKind.SYSTEM


async def test_the_link_leads_where_the_settings_say(people: People) -> None:
    """Nor does any other header; another Host is not answered at all (`test_hosts`)."""
    ada = await a_person(people)
    lies = {
        "X_Forwarded_Host": "evil.test",
        "Origin": "https://evil.test",
        "Forwarded": "host=evil.test",
        "X_Forwarded_Proto": "http",
    }
    await people(None, "POST", FORGOT, {"email": ada["email"]}, **lies)
    link = await people.link("password.forgot")
    assert link.startswith(f"{PUBLIC_URL}/reset-password#mll_")
    assert "evil" not in str(await people.mailed())


async def test_it_works_once_for_an_hour_until_the_next(people: People) -> None:
    ada = await a_person(people)
    first = await a_link(people, ada)
    second = await a_link(people, ada)
    said = {await refusal(people, first)}
    await people.ok(None, "POST", RESET, a_reset(second))
    said.add(await refusal(people, second))
    third = await a_link(people, ada)
    people.clock.move(minutes=61)
    said.add(await refusal(people, third))
    swapped = third[:-7] + ("a" if third[-7] != "a" else "b") + third[-6:]
    said |= {
        await refusal(people, wrong)
        for wrong in (swapped, tokens.mint(tokens.LINK), tokens.mint(tokens.REFRESH), "x", " ")
    }
    assert len(said) == 1


async def test_it_is_no_credential_and_no_other_link(people: People) -> None:
    ada = await a_person(people)
    token = await a_link(people, ada)
    await people.refused(401, token, "GET", "/auth/me")
    await people.refused(401, None, "POST", "/auth/refresh", {"refresh_token": token})
    await people.refused(401, None, "POST", "/auth/email/verify", {"token": token})
    await people.ok(None, "POST", RESET, a_reset(token))


async def test_a_refused_password_leaves_the_link_good(people: People) -> None:
    ada = await a_person(people)
    token = await a_link(people, ada)
    for poor in ("short", "secure123", ada["email"]):
        body = a_reset(token, new_password=poor)
        assert await people.code(422, None, "POST", RESET, body) == "password-refused"
    await people.refused(422, None, "POST", RESET, a_reset(token, user_id=ada["user"]["id"]))
    await people.ok(None, "POST", RESET, a_reset(token))


async def test_a_bad_link_costs_no_hash_and_no_write(people: People, sessions: Sessions) -> None:
    before = people.identity.passwords.hashed
    with counted(sessions) as sent:
        await refusal(people, tokens.mint(tokens.LINK))
        await refusal(people, "mll_x")
    assert people.identity.passwords.hashed == before
    assert not [
        one
        for one in sent
        if not one.startswith(("SELECT", "PRAGMA", "BEGIN", "SET")) and COUNTERS not in one
    ]


@pytest.mark.parametrize("who", ["unknown", "malformed", "disabled", "machine"])
async def test_nobody_else_gets_a_mail_and_nobody_can_tell(
    people: People, sessions: Sessions, who: str
) -> None:
    ada = await a_person(people)
    email = {"unknown": "nobody@someone.test", "malformed": "no address at all"}.get(
        who, ada["email"]
    )
    changes: dict[str, dict[str, Any]] = {
        "disabled": {"active": False},
        "machine": {"kind": UserKind.SERVICE},
    }
    change = changes.get(who)
    if change:
        async with sessions.begin(SYSTEM) as session:
            mine = User.id == UUID(ada["user"]["id"])
            await session.execute(update(User).where(mine).values(change))
    known = await a_person(people)
    answers, statements = [], []
    for one in (known["email"], email):
        with counted(sessions) as sent:
            answers.append(await people(None, "POST", FORGOT, {"email": one}))
        statements.append(sent)
    assert {answer.status_code for answer in answers} == {202}
    assert answers[0].content == answers[1].content
    assert dict(answers[0].headers) == dict(answers[1].headers)
    assert statements[0] == statements[1]
    assert sum(one.startswith("INSERT") and COUNTERS not in one for one in statements[0]) == 1
    assert [mail.recipient for mail in await people.mailed("password.forgot")] == [known["email"]]


async def test_a_second_factor_stays(people: People, sessions: Sessions) -> None:
    """Whoever reads the mail of somebody with a factor is asked for it, also where nobody had to
    verify an address."""
    people.clock.stop()
    safe = await (await somebody(people)).enables()
    assert not (await stored(sessions, {"user": {"id": safe.id}})).verified
    body = a_reset(await a_link(people, {"email": safe.email}))
    await people.ok(None, "POST", RESET, body)
    safe.password = body["new_password"]
    answer = await safe.logs_in()
    assert (answer["mfa_required"], answer["methods"]) == (True, ["totp", "recovery_code"])
    step = {"mfa_token": answer["mfa_token"], "code": safe.next_code()}
    await people.ok(None, "POST", "/auth/login/mfa", step)


async def test_forgetting_costs_no_hash(people: People) -> None:
    ada = await a_person(people)
    before = people.identity.passwords.hashed
    await a_link(people, ada)
    assert people.identity.passwords.hashed == before


@pytest.mark.parametrize("body", [{}, {"email": ""}, {"email": 1}, {"email": "x" * 321}])
async def test_a_body_that_does_not_fit(people: People, body: Any) -> None:
    await people.refused(422, None, "POST", FORGOT, body)


async def test_neither_the_token_nor_the_link_is_at_rest(
    people: People, sessions: Sessions
) -> None:
    ada = await a_person(people)
    token = await a_link(people, ada)
    async with sessions.begin(SYSTEM, read_only=True) as session:
        kept = [
            repr(row.__dict__)
            for kind in (AccountToken, Job)
            for row in await session.scalars(select(kind))
        ]
    kept += [repr(mail.__dict__) for mail in await people.mailed()]
    assert len(kept) > 3
    assert token[4:30] not in " ".join(kept)


async def test_a_worker_that_comes_twice_revives_no_spent_link(
    people: People, sessions: Sessions
) -> None:
    ada = await a_person(people)
    token = await a_link(people, ada)
    await people.ok(None, "POST", RESET, a_reset(token))
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(Job).values(state=JobState.QUEUED, finished_at=None))
    assert len(await people.mailed("password.forgot")) == 1
    await refusal(people, token)


async def test_of_two_links_the_one_asked_for_last_is_good(
    people: People, sessions: Sessions
) -> None:
    ada = await a_person(people)
    for _ in range(2):
        await people(None, "POST", FORGOT, {"email": ada["email"]})
    async with sessions.begin(SYSTEM) as session:  # a worker takes the second one first
        jobs = [*await session.scalars(select(Job).order_by(Job.id))]
        jobs[0].run_at, jobs[1].run_at = jobs[1].run_at, jobs[0].run_at
        wanted = jobs[1].payload["token_hash"]
    await people.mailed()
    async with sessions.begin(SYSTEM) as session:
        good = select(AccountToken).where(AccountToken.spent_at.is_(None))
        assert (await session.scalars(good)).one().hash.hex() == wanted


async def test_a_disabled_account_keeps_its_password(people: People, sessions: Sessions) -> None:
    ada = await a_person(people)
    token = await a_link(people, ada)
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(User).values(active=False))
    before = (await stored(sessions, ada)).password_hash
    await refusal(people, token)
    assert (await stored(sessions, ada)).password_hash == before


async def test_of_many_resets_at_once_one_wins(people: People) -> None:
    for _ in range(2):
        ada = await a_person(people)
        token = await a_link(people, ada)
        bodies = [a_reset(token) for _ in range(10)]
        done = await asyncio.gather(*(people(None, "POST", RESET, body) for body in bodies))
        assert Counter(answer.status_code for answer in done) == {204: 1, 401: 9}
        winner = bodies[[answer.status_code for answer in done].index(204)]
        await signs_in(people, ada, password=winner["new_password"])


async def test_no_key_that_is_made_meanwhile_outlives_a_reset(
    people: People, sessions: Sessions
) -> None:
    for _ in range(5):
        ada = await a_person(people)
        token = await a_link(people, ada)
        making = [people(ada["token"], "POST", "/api-keys", {"name": "K"}) for _ in range(6)]
        done = await asyncio.gather(people(None, "POST", RESET, a_reset(token)), *making)
        assert done[0].status_code == 204
        for made in done[1:]:
            assert made.status_code in {201, 401}
            if made.status_code == 201:
                await people.refused(401, made.json()["secret"], "GET", "/auth/me")


async def test_who_was_given_an_account_without_a_password_gets_hold_of_it(
    people: People, sessions: Sessions
) -> None:
    """Another tenant's provider may have made it: the link is mailed to the address itself."""
    ada = await a_person(people)
    mine = User.id == UUID(ada["user"]["id"])
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(User).where(mine).values(password_hash=None, verified=False))
        stranger = ExternalIdentity(
            user_id=UUID(ada["user"]["id"]),
            issuer="https://evil.test",
            subject="ada",
            created_at=people.clock(),
            last_used_at=people.clock(),
        )
        session.add(stranger)
    body = a_reset(await a_link(people, ada))
    assert (await people(None, "POST", RESET, body)).status_code == 204
    await signs_in(people, ada, password=body["new_password"])
    async with sessions.begin(SYSTEM) as session:
        assert (await session.scalars(select(ExternalIdentity))).all() == []
