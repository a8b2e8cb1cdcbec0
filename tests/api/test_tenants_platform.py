"""What the platform's admin does to tenants and accounts, and what nobody else does."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Role
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity.models import User
from maestro_ml.identity.service import accounts
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID
from support.people import People, a_people_server
from support.world import ACME, OTHER, USERS

PLATFORM = USERS[ACME, Role.VIEWER]
AT = f"/tenants/{OTHER}"
BAD_COUNTS: list[Any] = [-1, 2**31, 1.5, "many", None, []]


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(User).where(User.id == PLATFORM).values(platform_admin=True))
    async with a_people_server(sessions, tmp_path) as people:
        yield people


@pytest.fixture
async def root(people: People) -> str:
    """A platform admin who is in no tenant."""
    return await people.enter(PLATFORM, None)


async def told(sessions: Sessions, tenant: Any) -> list[tuple[str, Any]]:
    async with sessions.begin(tenant) as session:
        query = select(AuditEvent.action, AuditEvent.facts).order_by(AuditEvent.id)
        return [(a, facts) for a, facts in await session.execute(query)]


async def test_names_and_limits_are_changed(people: People, root: str, sessions: Sessions) -> None:
    before = await people.ok(root, "GET", AT)
    limits = {"max_projects": 1, "max_requests_per_minute": 600}
    changed = await people.ok(root, "PATCH", AT, {"name": "Other Labs", "limits": limits})
    assert changed == before | {"name": "Other Labs", "limits": before["limits"] | limits}
    admin = await people.token(tenant=OTHER)
    assert await people.ok(admin, "GET", "/tenants/current") == changed
    body = {"name": "One too many"}
    assert await people.code(409, admin, "POST", "/projects", body) == "quota-exceeded"
    free = {"limits": {"max_requests_per_minute": None, "max_projects": 2}}
    await people.ok(root, "PATCH", AT, free)
    await people.made(admin, "/projects", body)
    facts = [facts for action, facts in await told(sessions, OTHER) if action == "tenant.changed"]
    assert facts[0]["name"] == {"before": "other", "now": "Other Labs"}
    assert facts[1]["max_requests_per_minute"] == {"before": 600, "now": None}
    same = await people.ok(root, "PATCH", AT, {"name": "Other Labs"})
    assert same["name"] == "Other Labs"
    assert [a for a, _ in await told(sessions, OTHER)].count("tenant.changed") == 2


async def test_what_does_not_fit_changes_no_tenant(people: People, root: str) -> None:
    before = await people.ok(root, "GET", AT)
    wrong: list[Any] = [
        {},
        {"limits": {}},
        {"limits": None},
        {"name": None},
        *({"limits": {"max_users": bad}} for bad in BAD_COUNTS),
        {"limits": {"max_requests_per_minute": 0}},
        {"limits": {"max_storage_bytes": 2**63}},
        {"limits": {"n_users": 0}},
        *({field: "x"} for field in ("slug", "status", "id", "mfa_required", "n_users")),
    ]
    for body in wrong:
        await people.refused(422, root, "PATCH", AT, body)
    assert await people.ok(root, "GET", AT) == before
    for method, path in (("GET", ""), ("PATCH", ""), ("POST", "/suspend"), ("POST", "/resume")):
        body = {"name": "x"} if method == "PATCH" else None
        nowhere = f"/tenants/{new_id()}{path}"
        assert await people.code(404, root, method, nowhere, body) == "tenant-not-found"


async def test_tenants_are_found_by_word_and_status(people: People, root: str) -> None:
    await people.ok(root, "POST", f"{AT}/suspend")
    for asked, found in (
        ("q=OTH", ["other"]),
        ("status=suspended", ["other"]),
        ("status=active", ["acme", "default"]),
        ("q=acme&status=suspended", []),
        ("q=%25", []),
    ):
        page = await people.ok(root, "GET", f"/tenants?{asked}")
        assert sorted(tenant["slug"] for tenant in page["items"]) == found, asked
    await people.refused(422, root, "GET", "/tenants?status=gone")


async def test_nobody_gets_into_a_suspended_tenant(
    people: People, root: str, sessions: Sessions
) -> None:
    admin = await people.token(tenant=OTHER)
    key = (await people.made(admin, "/api-keys", {"name": "x"}))["secret"]
    suspended = await people.ok(root, "POST", f"{AT}/suspend")
    assert suspended["status"] == "suspended"
    for credential in (admin, key):
        await people.refused(401, credential, "GET", "/projects")
    await people.ok(await people.token(), "GET", "/projects")
    await people.ok(root, "POST", f"{AT}/suspend")
    assert (await people.ok(root, "POST", f"{AT}/resume"))["status"] == "active"
    for credential in (admin, key):
        await people.ok(credential, "GET", "/projects")
    actions = [a for a, _ in await told(sessions, OTHER) if a.startswith("tenant.")]
    assert actions == ["tenant.suspended", "tenant.resumed"]


async def test_the_default_tenant_stays_open(people: People, root: str) -> None:
    at = f"/tenants/{DEFAULT_TENANT_ID}"
    for path, body in (("/suspend", None), ("/deletion", {"confirm": "default"})):
        assert await people.code(409, root, "POST", f"{at}{path}", body) == "default-tenant-kept"
    await people.ok(root, "PATCH", at, {"limits": {"max_users": 60}})


CALLS: list[tuple[str, str, Any]] = [
    ("GET", "/tenants", None),
    ("GET", f"/tenants/{ACME}", None),
    ("PATCH", f"/tenants/{ACME}", {"limits": {"max_users": 10_000}}),
    ("POST", f"/tenants/{ACME}/suspend", None),
    ("POST", f"/tenants/{ACME}/resume", None),
    ("POST", f"/tenants/{ACME}/deletion", {"confirm": "acme"}),
    ("GET", "/tenants/deletions", None),
    ("GET", f"/tenants/deletions/{new_id()}", None),
    ("POST", "/accounts/disable", {"email": "member@acme.test"}),
    ("POST", "/accounts/enable", {"email": "member@acme.test"}),
]


async def test_a_tenants_admin_does_nothing_of_it_not_even_to_their_own(people: People) -> None:
    admin, above = await people.token(), await people.enter(PLATFORM, ACME)
    key = (await people.made(above, "/api-keys", {"name": "x"}))["secret"]
    for method, path, body in CALLS:
        for credential in (admin, key):
            await people.refused(403, credential, method, path, body)
        await people.refused(401, None, method, path, body)


async def test_the_platforms_admin_sees_figures_and_no_data(people: People, root: str) -> None:
    tenant = await people.ok(root, "GET", AT)
    assert set(tenant) == {"id", "name", "slug", "status", "created_at", "limits", "usage"}
    for path in ("/users", "/projects", "/service-accounts", "/tenants/current/policy"):
        await people.refused(403, root, "GET", path)


async def test_a_disabled_account_has_no_access_anywhere(
    people: People, root: str, sessions: Sessions
) -> None:
    member = USERS[ACME, Role.MEMBER]
    async with open_system_work(sessions) as work:
        await accounts.join(work, await work.session.get_one(User, member), OTHER, Role.VIEWER)
    here, there = await people.enter(member, ACME), await people.enter(member, OTHER)
    key = (await people.made(here, "/api-keys", {"name": "x"}))["secret"]
    body = {"email": "MEMBER@acme.test"}
    await people.ok(root, "POST", "/accounts/disable", body)
    for credential in (here, there, key):
        await people.refused(401, credential, "GET", "/auth/me")
    seen = await people.ok(await people.token(), "GET", f"/users/{member}")
    assert (seen["active"], seen["disabled"]) == (False, True)
    await people.ok(root, "POST", "/accounts/enable", body)
    await people.ok(key, "GET", "/auth/me")
    await people.refused(401, here, "GET", "/auth/me")
    actions = [a for a, _ in await told(sessions, DEFAULT_TENANT_ID)]
    assert [a for a in actions if a.startswith("user.")] == ["user.disabled", "user.enabled"]
    for wrong in ({"email": "no@one.test"}, {"email": "viewer@acme.test"}):
        code = await people.code(
            404 if "no@" in wrong["email"] else 409, *(root, "POST", "/accounts/disable", wrong)
        )
        assert code in {"account-not-found", "own-account-kept"}
    await people.refused(422, root, "POST", "/accounts/disable", {"email": "nobody"})


async def test_a_tenants_last_admin_is_not_disabled(people: People, root: str) -> None:
    body = {"email": "admin@acme.test"}
    assert await people.code(409, root, "POST", "/accounts/disable", body) == "last-admin"
    admin = await people.token()
    member = f"/users/{USERS[ACME, Role.MEMBER]}"
    await people.ok(admin, "PATCH", member, {"role": "admin"})
    await people.ok(root, "POST", "/accounts/disable", body)
    await people.refused(401, admin, "GET", "/users")


async def test_platform_admins_who_disable_each_other_leave_one(
    people: People, sessions: Sessions
) -> None:
    others = [USERS[OTHER, Role.VIEWER], USERS[OTHER, Role.MEMBER], PLATFORM]
    emails = ["viewer@other.test", "member@other.test", "viewer@acme.test"]
    for _ in range(5):
        async with sessions.begin(SYSTEM) as session:
            change = update(User).where(User.id.in_(others))
            await session.execute(change.values(active=True, platform_admin=True))
        tokens = [await people.enter(id, None) for id in others]
        answers = await asyncio.gather(
            *(
                people(token, "POST", "/accounts/disable", {"email": email})
                for token in tokens
                for email in emails
            )
        )
        assert {answer.status_code for answer in answers} <= {204, 401, 409}
        async with sessions.begin(SYSTEM) as session:
            left = select(User.id).where(User.platform_admin, User.active)
            assert (await session.scalars(left)).all()
