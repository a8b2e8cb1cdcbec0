"""Addresses: proved by a link, changed when the new one is; no link is good for anybody else."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity import tokens
from maestro_ml.identity.models import User
from support.live import a_password
from support.people import People, a_people_server
from support.recovery import a_person, audited, login, signs_in, stored
from support.signin import an_api_key

CHANGE, VERIFY, RESEND = "/auth/email/change", "/auth/email/verify", "/auth/email/resend"
NEW = "New.Ada@lab.test"


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path) as people:
        yield people


def a_change(person: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"new_email": NEW, "current_password": person["password"]} | changes


async def ask(people: People, person: dict[str, Any], **changes: Any) -> str:
    """The token of the link that the new address gets."""
    answer = await people(person["token"], "POST", CHANGE, a_change(person, **changes))
    assert answer.status_code == 202, answer.text
    return await people.link_token("email.verify")


async def verify(people: People, token: str, who: str | None = None, status: int = 204) -> Any:
    answer = await people(who, "POST", VERIFY, {"token": token})
    assert answer.status_code == status, answer.text
    return answer


async def test_the_old_address_stays_until_the_new_one_is_verified(
    people: People, sessions: Sessions
) -> None:
    ada = await a_person(people)
    token = await ask(people, ada)
    assert (await stored(sessions, ada)).email == ada["email"]
    await signs_in(people, ada)
    assert (await login(people, ada, email=NEW)).status_code == 401
    told = (await people.mailed("email.change_asked"))[-1]
    assert told.recipient == ada["email"]
    assert (await people.mailed("email.verify"))[-1].recipient == NEW
    assert (await verify(people, token)).content == b""
    assert (await login(people, ada)).status_code == 401
    await signs_in(people, ada, email=NEW.lower())
    assert (await people.mailed("email.changed"))[-1].recipient == ada["email"]
    after = await stored(sessions, ada)
    assert (after.email, after.email_norm, after.verified) == (NEW, NEW.lower(), True)
    assert [*await audited(sessions)][-2:] == ["user.email_change_asked", "user.email_changed"]


@pytest.mark.parametrize("sent", ["none", "null", "wrong"])
async def test_it_takes_the_password(people: People, sessions: Sessions, sent: str) -> None:
    ada = await a_person(people)
    body = a_change(ada, current_password=None if sent == "null" else a_password())
    if sent == "none":
        del body["current_password"]
    assert await people.code(403, ada["token"], "POST", CHANGE, body) == "wrong-password"
    assert await people.mailed() == []
    assert "user.email_change_asked" not in await audited(sessions)


async def test_no_key_and_nobody_changes_an_address(people: People, sessions: Sessions) -> None:
    ada = await a_person(people)
    key = await an_api_key(sessions, ada["user"]["id"], scopes=["read", "write", "admin"])
    for path, body in ((CHANGE, a_change(ada)), (RESEND, None)):
        assert await people.code(403, key, "POST", path, body) == "forbidden"
        await people.refused(401, None, "POST", path, body)
    assert await people.mailed() == []


@pytest.mark.parametrize(
    "email",
    [
        *("", "a@b@c", "no address", "ada@lab.test ", "x@y.z\r\nBcc: all@x.test"),
        *(
            "x@y.z\nBcc: all@x.test",
            '"a\r\nb"@x.test',
            "\x00@x.test",
            "<script>@x.y",
            None,
            1,
            ["a@b.c"],
        ),
    ],
)
async def test_what_is_no_address_is_refused(people: People, email: Any) -> None:
    ada = await a_person(people)
    before = people.identity.passwords.hashed
    await people.refused(422, ada["token"], "POST", CHANGE, a_change(ada, new_email=email))
    assert people.identity.passwords.hashed == before
    assert await people.mailed() == []


async def test_ones_own_address_is_no_new_one(people: People) -> None:
    ada = await a_person(people)
    body = a_change(ada, new_email=ada["email"].upper())
    assert await people.code(422, ada["token"], "POST", CHANGE, body) == "invalid"


async def test_whether_an_address_is_taken_is_told_to_its_owner_only(
    people: People, sessions: Sessions
) -> None:
    ada, bob = await a_person(people), await a_person(people)
    free = await people(ada["token"], "POST", CHANGE, a_change(ada))
    people.clock.move(minutes=2)
    taken = await people(ada["token"], "POST", CHANGE, a_change(ada, new_email=bob["email"]))
    assert (free.status_code, free.content) == (202, taken.content)
    mail = (await people.mailed("email.verify"))[-1]
    assert mail.recipient == bob["email"]
    refused = await verify(people, await people.link_token("email.verify"), status=409)
    assert refused.json()["type"] == "/problems/email-taken"
    assert (await stored(sessions, ada)).email == ada["email"]
    assert (await stored(sessions, bob)).verified is False


async def test_of_two_changes_the_last_one_counts(people: People, sessions: Sessions) -> None:
    ada = await a_person(people)
    first = await ask(people, ada)
    body = a_change(ada, new_email="other@lab.test")
    waits = await people(ada["token"], "POST", CHANGE, body)
    assert (waits.status_code, waits.headers["retry-after"]) == (429, "60")
    people.clock.move(minutes=2)
    second = await ask(people, ada, new_email="other@lab.test")
    await verify(people, first, status=401)
    await verify(people, second)
    assert (await stored(sessions, ada)).email == "other@lab.test"


async def test_a_link_is_its_owners_and_good_once_for_a_day(people: People) -> None:
    ada, bob = await a_person(people), await a_person(people)
    token = await ask(people, ada)
    said = {(await verify(people, token, bob["token"], 401)).text}
    await verify(people, token, ada["token"])
    said.add((await verify(people, token, status=401)).text)
    ada |= {"token": await signs_in(people, ada, email=NEW)}
    late = await ask(people, ada, new_email="late@lab.test")
    people.clock.move(hours=24, minutes=1)
    for wrong in (late, tokens.mint(tokens.LINK), tokens.mint(tokens.INVITATION), "x"):
        said.add((await verify(people, wrong, status=401)).text)
    assert len(said) == 1


async def test_what_was_mailed_to_the_old_address_dies_with_it(people: People) -> None:
    ada = await a_person(people)
    await people.ok(ada["token"], "POST", RESEND)
    old = await people.link_token("email.verify")
    await people.ok(None, "POST", "/auth/password/forgot", {"email": ada["email"]})
    reset = await people.link_token("password.forgot")
    people.clock.move(minutes=2)
    await verify(people, await ask(people, ada))
    await verify(people, old, status=401)
    body = {"token": reset, "new_password": a_password()}
    await people.refused(401, None, "POST", "/auth/password/reset", body)


@pytest.mark.parametrize("how", ["change", "reset"])
async def test_a_new_password_ends_a_change_that_a_thief_began(
    people: People, sessions: Sessions, how: str
) -> None:
    ada = await a_person(people)
    theirs = await ask(people, ada, new_email="thief@evil.test")
    new = a_password()
    if how == "change":
        body = {"current_password": ada["password"], "new_password": new}
        await people.ok(ada["token"], "POST", "/auth/password/change", body)
    else:
        await people.ok(None, "POST", "/auth/password/forgot", {"email": ada["email"]})
        body = {"token": await people.link_token("password.forgot"), "new_password": new}
        await people.ok(None, "POST", "/auth/password/reset", body)
    await verify(people, theirs, status=401)
    assert (await stored(sessions, ada)).email == ada["email"]


async def test_a_link_is_mailed_again_at_most_once_a_minute(
    people: People, sessions: Sessions
) -> None:
    ada = await a_person(people)
    answers = [await people(ada["token"], "POST", RESEND) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert len(await people.mailed("email.verify")) == 1
    first = await people.link_token("email.verify")
    people.clock.move(seconds=61)
    await people.ok(ada["token"], "POST", RESEND)
    assert len(await people.mailed("email.verify")) == 2
    await verify(people, first, status=401)
    await verify(people, await people.link_token("email.verify"))
    assert (await stored(sessions, ada)).verified is True
    people.clock.move(seconds=61)
    await people.ok(ada["token"], "POST", RESEND)  # there is nothing to verify any more
    assert len(await people.mailed("email.verify")) == 2


async def test_again_means_the_address_that_one_changes_to(people: People) -> None:
    ada = await a_person(people)
    await ask(people, ada)
    people.clock.move(seconds=61)
    await people.ok(ada["token"], "POST", RESEND)
    assert [mail.recipient for mail in await people.mailed("email.verify")] == [NEW, NEW]


async def test_a_disabled_account_verifies_nothing(people: People, sessions: Sessions) -> None:
    ada = await a_person(people)
    token = await ask(people, ada)
    async with sessions.begin(SYSTEM) as session:
        mine = User.id == UUID(ada["user"]["id"])
        await session.execute(update(User).where(mine).values(active=False))
    await verify(people, token, status=401)
    assert (await stored(sessions, ada)).email == ada["email"]


@pytest.mark.parametrize("body", [{}, {"token": ""}, {"token": 1}, {"token": "x" * 201}])
async def test_a_body_that_does_not_fit(people: People, body: Any) -> None:
    await people.refused(422, None, "POST", VERIFY, body)
