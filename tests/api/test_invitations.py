"""Invitations: who makes them, who takes them up, and how often that works."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Role
from maestro_ml.core.errors import MaestroError
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity.errors import EmailTaken, InvitationInvalid
from maestro_ml.identity.models import Invitation, Membership, User
from maestro_ml.identity.service import accounts, invitations
from maestro_ml.tenancy.models import Tenant, TenantStatus
from support.live import a_password
from support.people import People, a_people_server
from support.races import AT_ONCE, EACH, race, rounds
from support.world import ACME, OTHER, USERS

ACCEPT, READ = "/auth/invitations/accept", "/auth/invitations/read"


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path) as people:
        yield people


async def invite(people: People, admin: str, email: str = "New@x.test", **changes: Any) -> Any:
    return await people.made(
        admin, "/users/invitations", {"email": email, "role": "member"} | changes
    )


def an_answer(token: str, **changes: Any) -> dict[str, Any]:
    return {"token": token, "password": a_password(), "name": "New One"} | changes


async def seats(sessions: Sessions, tenant: Any = ACME) -> int:
    async with sessions.begin(SYSTEM) as session:
        return (await session.get_one(Tenant, tenant)).n_users


async def actions(sessions: Sessions) -> Counter[str]:
    async with sessions.begin(ACME) as session:
        return Counter(await session.scalars(select(AuditEvent.action)))


async def test_an_invitation_brings_in_who_it_names(people: People, sessions: Sessions) -> None:
    admin = await people.token()
    offer = await invite(people, admin)
    assert offer["token"].startswith("mli_")
    assert (offer["email"], offer["role"]) == ("New@x.test", "member")
    listed = (await people.ok(admin, "GET", "/users/invitations"))["items"]
    assert listed == [{k: v for k, v in offer.items() if k != "token"}]
    body = an_answer(offer["token"])
    entered = await people.made(None, ACCEPT, body)
    assert (entered["token_type"], entered["expires_in"]) == ("bearer", 900)
    user = entered["user"]
    assert (user["email"], user["name"], user["role"]) == ("New@x.test", "New One", "member")
    assert user["tenant"]["slug"] == "acme"
    assert not user["platform_admin"]
    me = await people.ok(entered["access_token"], "GET", "/auth/me")
    assert {**me, "csrf_token": None} == {**user, "csrf_token": None}
    login = {"email": "new@X.test", "password": body["password"]}
    await people.ok(None, "POST", "/auth/login", login)
    assert (await people.ok(admin, "GET", "/users/invitations"))["items"] == []
    assert await seats(sessions) == len(Role) + 1


async def test_what_happened_is_written_down_without_a_secret(
    people: People, sessions: Sessions
) -> None:
    offer = await invite(people, await people.token())
    body = an_answer(offer["token"])
    entered = await people.made(None, ACCEPT, body)
    async with sessions.begin(ACME) as session:
        events = list(await session.scalars(select(AuditEvent).order_by(AuditEvent.id)))
    theirs = [e.action for e in events if str(e.actor_id) == entered["user"]["id"]]
    assert theirs == ["user.created", "member.joined", "invitation.accepted", "session.started"]
    made = next(e for e in events if e.action == "invitation.created")
    assert (made.actor_id, made.target_id) == (USERS[ACME, Role.ADMIN], offer["id"])
    written = str([vars(event) for event in events])
    for secret in (offer["token"], body["password"], entered["refresh_token"]):
        assert secret not in written


async def test_whoever_holds_an_invitation_reads_what_it_offers_and_uses_nothing_up(
    people: People, sessions: Sessions
) -> None:
    offer = await invite(people, await people.token())
    before = await actions(sessions)
    for _ in range(2):
        assert await people.ok(None, "POST", READ, {"token": offer["token"]}) == {
            "tenant_name": "acme",
            "email": "New@x.test",
            "role": "member",
            "expires_at": offer["expires_at"],
        }
    assert await actions(sessions) == before
    await people.made(None, ACCEPT, an_answer(offer["token"]))


async def test_an_invitation_does_not_say_whether_its_address_has_an_account(
    people: People,
) -> None:
    admin = await people.token()
    for email in ("member@other.test", "nobody@other.test"):
        offer = await invite(people, admin, email)
        told = await people.ok(None, "POST", READ, {"token": offer["token"]})
        assert {k: v for k, v in told.items() if k not in {"email", "expires_at"}} == {
            "tenant_name": "acme",
            "role": "member",
        }


@pytest.mark.parametrize("body", [{}, {"token": 7}, {"token": ""}, {"token": "x", "name": "N"}])
async def test_reading_takes_a_token_and_nothing_else(people: People, body: Any) -> None:
    assert await people.code(422, None, "POST", READ, body) == "invalid"


async def test_a_new_account_needs_a_name_and_an_old_one_does_not(
    people: People, sessions: Sessions
) -> None:
    nameless = an_answer((await invite(people, await people.token()))["token"])
    name = nameless.pop("name")
    hashed = people.identity.passwords.hashed
    problem = await people.refused(422, None, "POST", ACCEPT, nameless)
    assert problem["type"] == "/problems/name-needed"
    assert problem["faults"] == [{"at": ["body", "name"], "why": "a new account needs a name"}]
    assert people.identity.passwords.hashed == hashed
    assert await seats(sessions) == len(Role)
    await people.made(None, ACCEPT, nameless | {"name": name})
    there = await invite(people, await people.token(Role.ADMIN, OTHER))
    entered = await people.made(None, ACCEPT, nameless | {"token": there["token"]})
    assert (entered["user"]["name"], entered["user"]["tenant"]["slug"]) == (name, "other")


async def test_every_invitation_that_is_no_good_reads_the_same(
    people: People, sessions: Sessions
) -> None:
    admin = await people.token()
    used = (await invite(people, admin))["token"]
    await people.made(None, ACCEPT, an_answer(used))
    revoked = await invite(people, admin, "two@x.test")
    await people.ok(admin, "DELETE", f"/users/invitations/{revoked['id']}")
    replaced = (await invite(people, admin, "three@x.test"))["token"]
    newer = (await invite(people, admin, "THREE@x.test"))["token"]
    expired = (await invite(people, admin, "four@x.test"))["token"]
    people.clock.move(days=7, seconds=1)
    typo = newer[:-1] + ("A" if newer[-1] != "A" else "B")
    told = set()
    for token in (used, revoked["token"], replaced, expired, newer, typo, "mli_x", "x", "mlp_é"):
        for password in (a_password(), "weak"):
            body = an_answer(token, password=password)
            before = people.identity.passwords.hashed
            answer = await people(None, "POST", ACCEPT, body)
            assert answer.status_code == 422, token
            assert people.identity.passwords.hashed == before
            told.add(answer.content)
        told.add((await people(None, "POST", READ, {"token": token})).content)
    assert len(told) == 1
    assert b"invitation-invalid" in told.pop()
    assert await seats(sessions) == len(Role) + 1


async def test_only_the_newest_invitation_of_an_address_counts(people: People) -> None:
    admin = await people.token()
    older = await invite(people, admin, role="admin")
    newer = await invite(people, admin, role="viewer")
    await people.refused(422, None, "POST", ACCEPT, an_answer(older["token"]))
    entered = await people.made(None, ACCEPT, an_answer(newer["token"]))
    assert entered["user"]["role"] == "viewer"


async def test_nobody_says_more_than_the_invitation(people: People, sessions: Sessions) -> None:
    offer = await invite(people, await people.token())
    for more in (
        {"role": "admin"},
        {"email": "other@x.test"},
        {"tenant_id": str(OTHER)},
        {"platform_admin": True},
        {"password": None},
        {"password": ""},
        {"password": "x" * 1025},
        {"password": "lamp \x00 tunnel ocean"},
        {"name": " "},
        {"name": "x" * 101},
        {"token": "x" * 201},
        {"token": ["x"]},
    ):
        body = an_answer(offer["token"]) | more
        assert await people.code(422, None, "POST", ACCEPT, body) == "invalid"
    for weak in ("secure123", "new@x.test new@x.test", "acme acme acme acme", "New One New One"):
        body = an_answer(offer["token"], password=weak)
        assert await people.code(422, None, "POST", ACCEPT, body) == "password-refused"
    assert await seats(sessions) == len(Role)
    await people.made(None, ACCEPT, an_answer(offer["token"]))


async def test_an_invitation_asks_nothing_of_who_is_signed_in(people: People) -> None:
    offer = await invite(people, await people.token(), role="viewer")
    stranger = await people.token(Role.ADMIN, OTHER)
    entered = await people.made(stranger, ACCEPT, an_answer(offer["token"]))
    assert entered["user"]["email"] == "New@x.test"
    assert (await people.ok(stranger, "GET", "/auth/me"))["tenant"]["slug"] == "other"


async def test_an_account_that_is_there_joins_with_its_own_password(
    people: People, sessions: Sessions
) -> None:
    first = await people.token(Role.ADMIN, OTHER)
    password = a_password()
    body = an_answer((await invite(people, first))["token"], password=password)
    there = (await people.made(None, ACCEPT, body))["user"]
    async with sessions.begin(SYSTEM) as session:
        before = (await session.scalars(select(User).where(User.email == "New@x.test"))).one()
    offer = await invite(people, await people.token(), "NEW@x.test", role="maintainer")
    wrong = an_answer(offer["token"])
    assert await people.code(401, None, "POST", ACCEPT, wrong) == "wrong-credentials"
    body = an_answer(offer["token"], password=password, name="Another Name")
    entered = await people.made(None, ACCEPT, body)
    assert entered["user"]["id"] == there["id"]
    assert entered["user"]["name"] == "New One"
    assert (entered["user"]["tenant"]["slug"], entered["user"]["role"]) == ("acme", "maintainer")
    async with sessions.begin(SYSTEM) as session:
        after = (await session.scalars(select(User).where(User.email_norm == "new@x.test"))).one()
        query = select(Membership.tenant_id, Membership.role).where(Membership.user_id == after.id)
        held = {(tenant, role) for tenant, role in await session.execute(query)}
    assert after.password_hash == before.password_hash
    assert held == {(OTHER, Role.MEMBER), (ACME, Role.MAINTAINER)}
    assert await seats(sessions) == len(Role) + 1
    login = {"email": "new@x.test", "password": password, "tenant": "acme"}
    assert (await people.ok(None, "POST", "/auth/login", login))["user"]["role"] == "maintainer"


@pytest.mark.parametrize("change", [{"active": False}, {"password_hash": None}], ids=str)
async def test_an_account_that_cannot_sign_in_accepts_nothing(
    people: People, sessions: Sessions, change: dict[str, Any]
) -> None:
    first = await people.token(Role.ADMIN, OTHER)
    body = an_answer((await invite(people, first))["token"])
    await people.made(None, ACCEPT, body)
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(User).where(User.email == "New@x.test").values(**change))
    again = body | {"token": (await invite(people, await people.token()))["token"]}
    assert await people.code(401, None, "POST", ACCEPT, again) == "wrong-credentials"
    assert await seats(sessions) == len(Role)


async def test_an_account_that_changed_meanwhile_does_not_join(
    people: People, sessions: Sessions
) -> None:
    first = await people.token(Role.ADMIN, OTHER)
    await people.made(None, ACCEPT, an_answer((await invite(people, first))["token"]))
    offer = await invite(people, await people.token())
    async with open_system_work(sessions, read_only=True) as work:
        found = await invitations.find(work, offer["token"])
        account = await accounts.find(work, found.email)
    assert account is not None
    async with sessions.begin(SYSTEM) as session:
        changed = update(User).where(User.id == account.id).values(password_hash="another")
        await session.execute(changed)
    with pytest.raises(MaestroError, match="wrong"):
        async with open_system_work(sessions) as work:
            await invitations.accept_as(work, found, account)
    assert len((await people.ok(await people.token(), "GET", "/users/invitations"))["items"]) == 1


async def test_who_is_in_the_tenant_is_not_invited_again(people: People) -> None:
    admin = await people.token()
    body = {"email": "MEMBER@acme.test", "role": "admin"}
    assert await people.code(409, admin, "POST", "/users/invitations", body) == "already-member"
    body = {"email": "member@other.test", "role": "viewer"}  # says nothing of other tenants
    await people.made(admin, "/users/invitations", body)


async def test_who_has_joined_meanwhile_joins_no_second_time(
    people: People, sessions: Sessions
) -> None:
    body = an_answer((await invite(people, await people.token()))["token"])
    await people.made(None, ACCEPT, body)
    async with sessions.begin(ACME) as session:  # as if two had invited them at one moment
        await session.execute(update(Invitation).values(accepted_at=None))
    assert await people.code(409, None, "POST", ACCEPT, body) == "already-member"
    assert await seats(sessions) == len(Role) + 1


async def test_a_full_tenant_takes_nobody_and_the_invitation_stays_good(
    people: People, sessions: Sessions
) -> None:
    offer = await invite(people, await people.token())

    async def allow(users: int) -> None:
        async with sessions.begin(SYSTEM) as session:
            await session.execute(update(Tenant).where(Tenant.id == ACME).values(max_users=users))

    await allow(len(Role))
    problem = await people.refused(409, None, "POST", ACCEPT, an_answer(offer["token"]))
    assert problem["type"] == "/problems/quota-exceeded"
    assert (problem["limit"], problem["allowed"], problem["used"]) == ("max_users", 4, 4)
    async with sessions.begin(SYSTEM) as session:
        assert await session.scalar(select(User).where(User.email == "New@x.test")) is None
    await allow(len(Role) + 1)
    await people.made(None, ACCEPT, an_answer(offer["token"]))


async def test_a_suspended_tenant_takes_nobody(people: People, sessions: Sessions) -> None:
    offer = await invite(people, await people.token())
    async with sessions.begin(SYSTEM) as session:
        await session.execute(
            update(Tenant).where(Tenant.id == ACME).values(status=TenantStatus.SUSPENDED)
        )
    body = an_answer(offer["token"])
    assert await people.code(422, None, "POST", ACCEPT, body) == "invitation-invalid"


async def test_of_many_who_accept_at_once_one_enters(people: People, sessions: Sessions) -> None:
    offer = await invite(people, await people.token())
    done = await race(people(None, "POST", ACCEPT, an_answer(offer["token"])) for _ in range(16))
    assert (done, await seats(sessions)) == ({201: 1, 422: 15}, len(Role) + 1)


@pytest.mark.rows(59)
async def test_of_forty_who_use_it_up_at_once_one_does(people: People, sessions: Sessions) -> None:
    admin = await people.token()

    async def one(turn: int) -> None:
        offer = await invite(people, admin, f"new{turn}@x.test")
        async with open_system_work(sessions, read_only=True) as work:
            found = await invitations.find(work, offer["token"])

        async def uses() -> str:
            try:
                async with open_system_work(sessions) as work:
                    await invitations.accept(work, found, name="N", password_hash="none fits this")
            except (InvitationInvalid, EmailTaken) as refused:
                return refused.code
            return "entered"

        done = await race(uses() for _ in EACH)
        assert done == {"entered": 1, "invitation-invalid": AT_ONCE - 1}
        assert await seats(sessions) == len(Role) + turn + 1
        counted = await actions(sessions)
        assert counted["member.joined"] == counted["invitation.accepted"] == turn + 1

    await rounds(one)


async def test_a_browser_gets_a_cookie(people: People) -> None:
    offer = await invite(people, await people.token())
    headers = {"X-Client": "web"}
    answer = await people(None, "POST", ACCEPT, an_answer(offer["token"]), **headers)
    assert answer.status_code == 201
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert set(answer.json()) == {"csrf_token", "user"}


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER, Role.MAINTAINER])
async def test_only_admins_invite(people: People, role: Role) -> None:
    token = await people.token(role)
    body = {"email": "new@x.test", "role": "viewer"}
    await people.refused(403, token, "POST", "/users/invitations", body)
    await people.refused(403, token, "GET", "/users/invitations")
    await people.refused(403, token, "DELETE", f"/users/invitations/{new_id()}")
    await people.refused(401, None, "POST", "/users/invitations", body)


async def test_an_invitation_of_another_tenant_is_not_there(people: People) -> None:
    admin, stranger = await people.token(), await people.token(Role.ADMIN, OTHER)
    offer = await invite(people, admin)
    theirs = await people(stranger, "DELETE", f"/users/invitations/{offer['id']}")
    nobodys = await people(stranger, "DELETE", f"/users/invitations/{new_id()}")
    assert (theirs.status_code, theirs.content) == (404, nobodys.content)
    assert (await people.ok(stranger, "GET", "/users/invitations"))["items"] == []
    await people.ok(admin, "DELETE", f"/users/invitations/{offer['id']}")
    await people.refused(404, admin, "DELETE", f"/users/invitations/{offer['id']}")


async def test_a_malformed_invitation_is_refused(people: People) -> None:
    admin = await people.token()
    for body in (
        {"email": "new@x.test"},
        {"role": "viewer"},
        {"email": "nobody", "role": "viewer"},
        {"email": "a@x.test\r\nBcc: b@x.test", "role": "viewer"},
        {"email": "new@x.test", "role": "owner"},
        {"email": "new@x.test", "role": "viewer", "tenant_id": str(OTHER)},
        {"email": "new@x.test", "role": "viewer", "token": "x"},
        {"email": "new@x.test", "role": "viewer", "expires_at": "2030-01-01"},
    ):
        assert await people.code(422, admin, "POST", "/users/invitations", body) == "invalid"
    await people.refused(422, admin, "DELETE", "/users/invitations/x")
    assert (await people.ok(admin, "GET", "/users/invitations"))["items"] == []
