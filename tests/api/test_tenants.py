"""Tenants: who makes them, who sees which, and that their limits hold."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Role
from maestro_ml.core.errors import QuotaExceeded
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity.models import User
from maestro_ml.tenancy import service
from maestro_ml.tenancy.models import Tenant
from support.live import a_password
from support.people import People, a_people_server
from support.races import AT_ONCE, EACH, race
from support.world import ACME, OTHER, USERS

PLATFORM = USERS[ACME, Role.VIEWER]
LIMITS = {
    "max_users": 50,
    "max_projects": 200,
    "max_artifacts": 10_000,
    "max_storage_bytes": 50 * 2**30,
    "max_concurrent_jobs": 4,
    "max_requests_per_minute": None,
}
NOTHING = {"users": 0, "projects": 0, "storage_bytes": 0, "concurrent_jobs": 0}


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


async def allow(sessions: Sessions, **limits: int) -> None:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(Tenant).where(Tenant.id == ACME).values(**limits))


def a_tenant(**changes: Any) -> dict[str, Any]:
    return {"name": "Rival Labs", "slug": "rival", "admin_email": "eve@rival.test"} | changes


@pytest.mark.parametrize("role", list(Role))
async def test_everybody_sees_their_own_tenant_and_what_it_uses(people: People, role: Role) -> None:
    tenant = await people.ok(await people.token(role), "GET", "/tenants/current")
    assert (tenant["id"], tenant["slug"], tenant["status"]) == (str(ACME), "acme", "active")
    assert tenant["limits"] == LIMITS
    assert tenant["usage"] == {"users": 4, "projects": 1, "storage_bytes": 0, "concurrent_jobs": 0}


async def test_a_platform_admin_in_no_tenant_has_no_current_one(people: People, root: str) -> None:
    await people.refused(403, root, "GET", "/tenants/current")
    await people.refused(401, None, "GET", "/tenants/current")


async def test_a_new_tenant_begins_with_its_first_admin(
    people: People, root: str, sessions: Sessions
) -> None:
    made = await people.made(root, "/tenants", a_tenant())
    tenant, offer = made["tenant"], made["invitation"]
    assert (tenant["name"], tenant["slug"]) == ("Rival Labs", "rival")
    assert (tenant["limits"], tenant["usage"]) == (LIMITS, NOTHING)
    assert (offer["email"], offer["role"]) == ("eve@rival.test", "admin")
    body = {"token": offer["token"], "password": a_password(), "name": "Eve"}
    eve = await people.made(None, "/auth/invitations/accept", body)
    assert (eve["user"]["role"], eve["user"]["tenant"]["slug"]) == ("admin", "rival")
    current = await people.ok(eve["access_token"], "GET", "/tenants/current")
    assert current["usage"] == NOTHING | {"users": 1}
    seen = await people.ok(eve["access_token"], "GET", "/users")
    assert [user["email"] for user in seen["items"]] == ["eve@rival.test"]
    async with sessions.begin(SYSTEM) as session:
        query = select(AuditEvent.actor_id, AuditEvent.action)
        told = await session.execute(
            query.where(AuditEvent.tenant_id == UUID(tenant["id"])).order_by(AuditEvent.id)
        )
        actors = [(actor, action) for actor, action in told]
    assert actors[:2] == [(PLATFORM, "tenant.created"), (PLATFORM, "invitation.created")]


async def test_the_platform_admin_lists_all_tenants(people: People, root: str) -> None:
    for number in range(3):
        await people.made(root, "/tenants", a_tenant(slug=f"rival-{number}"))
    slugs, cursor = [], ""
    while cursor is not None:
        page = await people.ok(root, "GET", f"/tenants?limit=2{cursor and f'&cursor={cursor}'}")
        slugs += [tenant["slug"] for tenant in page["items"]]
        cursor = page["next_cursor"]
    assert slugs[:3] == ["rival-2", "rival-1", "rival-0"]
    assert set(slugs[3:]) == {"acme", "other", "default"}
    await people.refused(422, root, "GET", "/tenants?cursor=junk")


@pytest.mark.parametrize("role", list(Role))
async def test_nobody_in_a_tenant_makes_or_lists_tenants(people: People, role: Role) -> None:
    token = await people.token(role, OTHER)
    await people.refused(403, token, "POST", "/tenants", a_tenant())
    await people.refused(403, token, "GET", "/tenants")
    await people.refused(401, None, "POST", "/tenants", a_tenant())


async def test_a_platform_admins_key_makes_no_tenants(people: People) -> None:
    admin = await people.enter(PLATFORM, ACME)
    key = (await people.made(admin, "/api-keys", {"name": "x"}))["secret"]
    await people.refused(403, key, "POST", "/tenants", a_tenant())
    await people.made(admin, "/tenants", a_tenant())


async def test_a_slug_is_taken_once(people: People, root: str, sessions: Sessions) -> None:
    for slug in ("acme", "default"):
        body = a_tenant(slug=slug)
        assert await people.code(409, root, "POST", "/tenants", body) == "tenant-slug-taken"
    answers = await asyncio.gather(
        *(people(root, "POST", "/tenants", a_tenant()) for _ in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    async with sessions.begin(SYSTEM) as session:
        query = select(AuditEvent.id).where(AuditEvent.action == "tenant.created")
        assert len((await session.scalars(query)).all()) == 1


async def test_what_does_not_fit_makes_no_tenant(people: People, root: str) -> None:
    wrong: list[dict[str, Any]] = [
        *({"slug": slug} for slug in ("api", "admin", "current", "www", "system", "maestro")),
        *({"slug": slug} for slug in ("A", "a", "-a", "a-", "a b", "ä-b", "a" * 64, "a_b", "a\n")),
        {"slug": "01890a5d-ac96-774b-bcce-b302099a8057"},
        {"slug": "01890a5dac96774bbcceb302099a8057"},
        *({"name": name} for name in ("", "  ", "x" * 101, "a\x00b", None, 7)),
        *({"admin_email": email} for email in ("", "nobody", "a@b@c", None)),
        {"id": str(ACME)},
        {"max_users": 10_000},
        {"status": "suspended"},
        {"role": "admin"},
    ]
    for changes in wrong:
        problem = await people.refused(422, root, "POST", "/tenants", a_tenant(**changes))
        assert problem["faults"], changes
    assert len((await people.ok(root, "GET", "/tenants"))["items"]) == 3


async def test_forty_parallel_projects_stop_at_the_limit(
    people: People, sessions: Sessions
) -> None:
    await allow(sessions, max_projects=10)
    admin = await people.token()
    names = [{"name": f"Project {n}"} for n in EACH]
    done = await race(people(admin, "POST", "/projects", name) for name in names)
    assert done == {201: 9, 409: AT_ONCE - 9}
    problem = await people.refused(409, admin, "POST", "/projects", {"name": "One more"})
    assert problem["type"] == "/problems/quota-exceeded"
    assert (problem["limit"], problem["allowed"], problem["used"]) == ("max_projects", 10, 10)
    assert len((await people.ok(admin, "GET", "/projects"))["items"]) == 10
    current = await people.ok(admin, "GET", "/tenants/current")
    assert current["usage"]["projects"] == 10


async def test_a_deleted_project_makes_room_for_another(people: People, sessions: Sessions) -> None:
    await allow(sessions, max_projects=2)
    admin = await people.token()
    made = await people.made(admin, "/projects", {"name": "One"})
    body = {"name": "Two"}
    assert await people.code(409, admin, "POST", "/projects", body) == "quota-exceeded"
    await people.ok(admin, "DELETE", f"/projects/{made['id']}?confirm={made['slug']}")
    await people.made(admin, "/projects", body)


async def test_forty_parallel_users_stop_at_the_limit(sessions: Sessions) -> None:
    await allow(sessions, max_users=10)

    async def one() -> str:
        try:
            async with open_system_work(sessions) as work:
                await service.take_user_seat(work, ACME)
        except QuotaExceeded as full:
            return f"{full.facts['limit']}: {full.facts['used']} of {full.facts['allowed']}"
        return "seated"

    done = await race(one() for _ in EACH)
    assert done == {"seated": 6, "max_users: 10 of 10": AT_ONCE - 6}


async def test_a_limit_lowered_below_what_is_there_takes_nothing_away(
    people: People, sessions: Sessions
) -> None:
    await allow(sessions, max_users=0, max_projects=0)
    admin = await people.token()
    current = await people.ok(admin, "GET", "/tenants/current")
    assert current["usage"] == {"users": 4, "projects": 1, "storage_bytes": 0, "concurrent_jobs": 0}
    problem = await people.refused(409, admin, "POST", "/projects", {"name": "One"})
    assert (problem["allowed"], problem["used"]) == (0, 1)
