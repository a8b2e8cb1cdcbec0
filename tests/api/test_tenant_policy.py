"""What a tenant asks of its people, and that its mail domains hold at every door."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Role
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity.models import Session, User
from maestro_ml.identity.service import sessions as verbs
from maestro_ml.identity.service.places import place_of
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID, Tenant
from support.live import a_password
from support.people import People, a_people_server
from support.world import ACME, OTHER, USERS

POLICY = "/tenants/current/policy"
OPEN = {"mfa_required": False, "session_profile": "standard", "allowed_domains": []}


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path) as people:
        yield people


async def only(sessions: Sessions, tenant: Any, *domains: str) -> None:
    async with sessions.begin(SYSTEM) as session:
        change = update(Tenant).where(Tenant.id == tenant)
        await session.execute(change.values(allowed_domains=list(domains)))


async def test_an_admin_changes_what_their_tenant_asks(people: People, sessions: Sessions) -> None:
    admin = await people.token()
    assert await people.ok(admin, "GET", POLICY) == OPEN
    sent = {"session_profile": "strict", "allowed_domains": ["Lab.TEST", "acme.test", "lab.test"]}
    changed = await people.ok(admin, "PATCH", POLICY, sent)
    now = {"session_profile": "strict", "allowed_domains": ["acme.test", "lab.test"]}
    assert changed == OPEN | now
    assert await people.ok(await people.token(Role.VIEWER), "GET", POLICY) == changed
    assert await people.ok(await people.token(tenant=OTHER), "GET", POLICY) == OPEN
    assert await people.ok(admin, "PATCH", POLICY, {"allowed_domains": []}) == changed | {
        "allowed_domains": []
    }
    async with sessions.begin(ACME) as session:
        query = select(AuditEvent.facts).where(AuditEvent.action == "tenant.policy_changed")
        facts = list(await session.scalars(query.order_by(AuditEvent.id)))
    assert facts[0]["session_profile"] == {"before": "standard", "now": "strict"}
    assert len(facts) == 2


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER, Role.MAINTAINER])
async def test_only_admins_change_it(people: People, role: Role) -> None:
    body = {"session_profile": "strict"}
    await people.refused(403, await people.token(role), "PATCH", POLICY, body)
    await people.refused(401, None, "PATCH", POLICY, body)


async def test_what_does_not_fit_changes_nothing(people: People) -> None:
    admin = await people.token()
    wrong: list[Any] = [
        {},
        {"mfa_required": None},
        {"mfa_required": "perhaps"},
        {"session_profile": "lax"},
        *({"allowed_domains": [bad]} for bad in ("", "@x.test", "a@b.test", "x", " ", "x..test")),
        *({"allowed_domains": [bad]} for bad in ("*.x.test", "x.test\r\n", "a\x00.test", 7, None)),
        {"allowed_domains": "x.test"},
        {"allowed_domains": ["x.test"] * 101},
        {"max_users": 1},
        {"status": "active"},
    ]
    for body in wrong:
        await people.refused(422, admin, "PATCH", POLICY, body)
    assert await people.ok(admin, "GET", POLICY) == OPEN


async def test_who_requires_a_second_factor_has_used_one(
    people: People, sessions: Sessions
) -> None:
    admin = await people.token()
    body = {"mfa_required": True}
    assert await people.code(409, admin, "PATCH", POLICY, body) == "second-factor-missing"
    scopes = ["read", "write", "admin"]
    key = await people.made(admin, "/api-keys", {"name": "x", "scopes": scopes})
    await people.refused(409, key["secret"], "PATCH", POLICY, body)
    async with open_system_work(sessions, clock=people.clock) as work:
        user = await work.session.get_one(User, USERS[ACME, Role.ADMIN])
        begun = await verbs.start(
            work, people.identity, await place_of(work, user.id, ACME), amr=("pwd", "otp")
        )
    assert (await people.ok(begun.access_token, "PATCH", POLICY, body))["mfa_required"] is True
    # Turning it off, and what goes beside it, asks for no more.
    await people.ok(admin, "PATCH", POLICY, {"mfa_required": True, "session_profile": "strict"})
    await people.ok(admin, "PATCH", POLICY, {"mfa_required": False})
    async with sessions.begin(SYSTEM) as session:
        assert (await session.scalars(select(Session))).all()


async def test_people_of_other_domains_are_not_invited(people: People, sessions: Sessions) -> None:
    admin = await people.token()
    old = await people.made(admin, "/users/invitations", {"email": "a@x.test", "role": "member"})
    await people.ok(admin, "PATCH", POLICY, {"allowed_domains": ["lab.test", "bücher.test"]})
    for email in ("a@x.test", "a@sub.lab.test", "a@lab.test.x.test", "lab.test@x.test"):
        body = {"email": email, "role": "viewer"}
        code = await people.code(422, admin, "POST", "/users/invitations", body)
        assert code == "email-domain-refused", email
    answer = {"token": old["token"], "password": a_password(), "name": "N"}
    accept = "/auth/invitations/accept"
    assert await people.code(422, None, "POST", accept, answer) == "email-domain-refused"
    for email in ("a@LAB.test", "b@xn--bcher-kva.test", "c@bücher.test"):
        offer = await people.made(admin, "/users/invitations", {"email": email, "role": "viewer"})
        await people.made(None, accept, answer | {"token": offer["token"]})
    await people.made(admin, "/service-accounts", {"name": "machines have no domain"})
    await people.ok(admin, "PATCH", POLICY, {"allowed_domains": []})
    await people.made(None, accept, answer)  # the offer of before was not used up


async def test_people_of_other_domains_do_not_register(people: People, sessions: Sessions) -> None:
    await only(sessions, DEFAULT_TENANT_ID, "lab.test")
    body = {"email": "a@x.test", "password": a_password(), "name": "N"}
    before = people.identity.passwords.hashed
    assert await people.code(422, None, "POST", "/auth/register", body) == "email-domain-refused"
    assert people.identity.passwords.hashed == before
    await people.made(None, "/auth/register", body | {"email": "a@lab.test"})


async def test_who_is_in_already_stays(people: People) -> None:
    admin = await people.token()
    await people.ok(admin, "PATCH", POLICY, {"allowed_domains": ["lab.test"]})
    await people.ok(await people.token(Role.MEMBER), "GET", "/projects")
