"""What the owner of an account is told of by mail, and what an invitation is mailed as."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from maestro_ml.core.access import Role
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity.models import User
from maestro_ml.identity.service import notices
from maestro_ml.tenancy.models import Tenant
from support.live import a_password
from support.people import People, a_people_server
from support.recovery import a_person, stored
from support.world import ACME, OTHER, USERS

ACCEPT, INVITE = "/auth/invitations/accept", "/users/invitations"


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    proxies = {"trusted_proxies": ["127.0.0.1"], "public_url": "https://maestro.test"}
    options = {"server": proxies, "auth": {"registration": "open"}}
    async with a_people_server(sessions, tmp_path, **options) as people:
        yield people


async def sign_in(people: People, person: dict[str, Any], *, ip: str, agent: str) -> None:
    body = {"email": person["email"], "password": person["password"]}
    headers = {"X_Forwarded_For": ip, "User_Agent": agent}
    answer = await people(None, "POST", "/auth/login", body, **headers)
    assert answer.status_code == 200


async def told(people: People, kind: str = "sign_in.new") -> int:
    return len(await people.mailed(kind))


async def test_a_sign_in_from_somewhere_new_is_told(people: People) -> None:
    ada = await a_person(people)
    assert await people.mailed() == []  # nobody is told of their own first one
    await sign_in(people, ada, ip="192.0.2.1", agent="Phone")
    mail = (await people.mailed("sign_in.new"))[-1]
    assert mail.recipient == ada["email"]
    assert "192.0.2.1" in str(mail.text)
    assert "Phone" in str(mail.text)
    await sign_in(people, ada, ip="192.0.2.1", agent="Phone")
    assert await told(people) == 1
    await sign_in(people, ada, ip="192.0.2.1", agent="Laptop")
    assert await told(people) == 2
    await sign_in(people, ada, ip="198.51.100.7", agent="Laptop")
    assert await told(people) == 3


async def test_an_address_that_changes_every_day_is_no_new_one(people: People) -> None:
    ada = await a_person(people)
    await sign_in(people, ada, ip="2001:db8:1:2::1", agent="Phone")
    await sign_in(people, ada, ip="2001:db8:1:2:ffff::9", agent="Phone")
    assert await told(people) == 1
    await sign_in(people, ada, ip="2001:db8:1:3::1", agent="Phone")
    assert await told(people) == 2


async def test_what_a_device_calls_itself_writes_no_mail(people: People) -> None:
    ada = await a_person(people)
    agent = "Phone" + " visit https://evil.test now" * 20
    await sign_in(people, ada, ip="192.0.2.1", agent=agent)
    text = str((await people.mailed("sign_in.new"))[-1].text)
    assert max(len(line) for line in text.splitlines()) < 120
    assert text.count("evil.test") <= 4


async def test_a_copied_refresh_token_is_told(people: People) -> None:
    ada = await a_person(people)
    body = {"refresh_token": ada["refresh_token"]}
    await people.ok(None, "POST", "/auth/refresh", body)
    await people.refused(401, None, "POST", "/auth/refresh", body)
    await people.refused(401, None, "POST", "/auth/refresh", body)
    mails = await people.mailed("session.refresh_reused")
    assert [mail.recipient for mail in mails] == [ada["email"]]


async def test_the_end_of_password_sign_ins_is_told(people: People, sessions: Sessions) -> None:
    ada = await a_person(people)
    async with open_system_work(sessions) as work:
        user = await work.session.get_one(User, (await stored(sessions, ada)).id)
        await notices.password_login_off(work, user)
    mail = (await people.mailed("password.login_off"))[-1]
    assert mail.recipient == ada["email"]
    assert "maestro password forgot" in str(mail.text)


async def test_an_invitation_is_mailed_as_a_link_that_works(people: People) -> None:
    admin = await people.token(Role.ADMIN)
    offer = await people.made(admin, INVITE, {"email": "New@lab.test", "role": "member"})
    mail = (await people.mailed("invitation"))[-1]
    assert (mail.recipient, mail.subject) == ("New@lab.test", "An invitation to acme on Maestro ML")
    assert "role member" in str(mail.text)
    link = await people.link("invitation")
    assert link == f"https://maestro.test/invitation#{offer['token']}"
    body = {"token": link.rpartition("#")[2], "password": a_password(), "name": "New"}
    assert (await people.made(None, ACCEPT, body))["user"]["role"] == "member"


async def test_a_tenants_name_writes_no_mail(people: People) -> None:
    root = await people.enter((await platform_admin(people)).id, None)
    body = {
        "name": "Acme\r\nBcc: all@x.test\r\n\r\nClick here",
        "slug": "strange",
        "admin_email": "boss@lab.test",
    }
    assert await people.code(422, root, "POST", "/tenants", body) == "invalid"
    async with people.sessions.begin(SYSTEM) as session:  # one from before names were one line
        await session.execute(update(Tenant).where(Tenant.id == ACME).values(name=body["name"]))
    admin = await people.token(Role.ADMIN)
    made = await people.made(admin, INVITE, {"email": "boss@lab.test", "role": "viewer"})
    mail = (await people.mailed("invitation"))[-1]
    assert mail.subject == "An invitation to Acme Bcc: all@x.test Click here on Maestro ML"
    assert not any(line.startswith(("Bcc", "Click")) for line in str(mail.text).splitlines())
    assert await people.link_token("invitation") == made["token"]


async def test_sent_again_an_invitation_has_a_new_token(people: People) -> None:
    admin = await people.token(Role.ADMIN)
    offer = await people.made(admin, INVITE, {"email": "new@lab.test", "role": "viewer"})
    people.clock.move(days=6)
    again = await people.ok(await people.token(), "POST", f"{INVITE}/{offer['id']}/resend")
    assert again["id"] == offer["id"]
    assert again["token"] == await people.link_token("invitation") != offer["token"]
    people.clock.move(days=6)  # the seven days count anew
    for token, status in ((offer["token"], 422), (again["token"], 201)):
        body = {"token": token, "password": a_password(), "name": "New"}
        assert (await people(None, "POST", ACCEPT, body)).status_code == status
    admin = await people.token(Role.ADMIN)
    path = f"{INVITE}/{offer['id']}/resend"
    assert await people.code(404, admin, "POST", path) == "invitation-not-found"


async def test_who_may_send_an_invitation_again(people: People) -> None:
    admin = await people.token(Role.ADMIN)
    offer = await people.made(admin, INVITE, {"email": "new@lab.test", "role": "viewer"})
    path = f"{INVITE}/{offer['id']}/resend"
    await people.refused(403, await people.token(Role.MAINTAINER), "POST", path)
    await people.refused(401, None, "POST", path)
    stranger = await people.token(Role.ADMIN, OTHER)
    theirs = await people(stranger, "POST", path)
    nobodys = await people(stranger, "POST", f"{INVITE}/{new_id()}/resend")
    assert (theirs.status_code, theirs.content) == (404, nobodys.content)
    assert len(await people.mailed("invitation")) == 1
    await people.ok(
        None, "POST", ACCEPT, {"token": offer["token"], "password": a_password(), "name": "New"}
    )


async def platform_admin(people: People) -> User:
    async with open_system_work(people.sessions) as work:
        user = await work.session.get_one(User, USERS[ACME, Role.VIEWER])
        user.platform_admin = True
    return user
