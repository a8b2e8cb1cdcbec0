"""The outbox: the platform's admin reads it, in a session, and that is written down."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Role
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity.models import User
from support.mail import a_mail_server
from support.people import People, a_people_server
from support.recovery import a_person
from support.signin import an_api_key
from support.world import ACME, USERS

ROOT = USERS[ACME, Role.ADMIN]


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with open_system_work(sessions) as work:
        (await work.session.get_one(User, ROOT)).platform_admin = True
    async with a_people_server(sessions, tmp_path) as people:
        yield people


async def a_mail(people: People) -> str:
    """The id of one with a link."""
    ada = await a_person(people)
    await people.ok(None, "POST", "/auth/password/forgot", {"email": ada["email"]})
    return str((await people.mailed("password.forgot"))[-1].id)


async def test_it_is_listed_without_and_read_with_the_link(
    people: People, sessions: Sessions
) -> None:
    id = await a_mail(people)
    root = await people.enter(ROOT, None)
    listed = (await people.ok(root, "GET", "/outbox"))["items"][0]
    assert set(listed) == {
        *("id", "kind", "recipient", "subject", "state", "error", "created_at", "ended_at")
    }
    assert (listed["id"], listed["state"]) == (id, "kept")
    mail = await people.ok(root, "GET", f"/outbox/{id}")
    assert {name: mail[name] for name in listed} == listed
    assert await people.link_token("password.forgot") in mail["text"]
    async with sessions.begin(SYSTEM, read_only=True) as session:
        read = select(AuditEvent).where(AuditEvent.action == "mail.read")
        event = (await session.scalars(read)).one()
    assert (event.actor_id, event.target_id) == (ROOT, id)
    assert "mll_" not in str(event.facts)


async def test_nobody_else_reads_it(people: People, sessions: Sessions) -> None:
    id = await a_mail(people)
    key = await an_api_key(sessions, str(ROOT), ACME, scopes=["read", "write", "admin"])
    others = [await people.token(role) for role in (Role.VIEWER, Role.MAINTAINER)]
    for path in ("/outbox", f"/outbox/{id}", f"/outbox/{new_id()}"):
        for who in (*others, key):
            assert await people.code(403, who, "GET", path) == "forbidden"
        await people.refused(401, None, "GET", path)
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            await people.refused(405, await people.enter(ROOT, ACME), method, path)


async def test_what_is_not_there(people: People) -> None:
    root = await people.enter(ROOT, ACME)
    assert await people.code(404, root, "GET", f"/outbox/{new_id()}") == "mail-not-found"
    assert await people.code(422, root, "GET", "/outbox/x") == "invalid"
    assert await people.code(422, root, "GET", "/outbox?cursor=x") == "invalid"


async def test_it_comes_in_pages(people: People) -> None:
    ids = [await a_mail(people) for _ in range(3)]
    root = await people.enter(ROOT, ACME)
    first = await people.ok(root, "GET", "/outbox?limit=2")
    rest = await people.ok(root, "GET", f"/outbox?limit=2&cursor={first['next_cursor']}")
    found = [mail["id"] for page in (first, rest) for mail in page["items"]]
    assert (found, rest["next_cursor"]) == (ids[::-1], None)


async def test_what_smtp_took_is_shown_without_its_text(sessions: Sessions, tmp_path: Path) -> None:
    async with open_system_work(sessions) as work:
        (await work.session.get_one(User, ROOT)).platform_admin = True
    with a_mail_server(tmp_path) as inbox:
        mail_settings = inbox.settings.model_dump()
        async with a_people_server(sessions, tmp_path, mail=mail_settings) as people:
            root = await people.enter(ROOT, ACME)
            inbox.answers = ["451 later"]
            id = await a_mail(people)
            waiting = await people.ok(root, "GET", f"/outbox/{id}")
            assert (waiting["state"], "451" in waiting["error"]) == ("waiting", True)
            assert "mll_" not in waiting["text"]  # that is for who reads the mail
            people.clock.move(minutes=1)
            await people.mailed()
            sent = await people.ok(root, "GET", f"/outbox/{id}")
            assert (sent["state"], sent["text"]) == ("sent", None)
    assert "/reset-password#mll_" in inbox.got[-1].get_content()
