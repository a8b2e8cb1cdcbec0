"""A tenant is deleted for good: every row, every file, and the accounts of who was in no other."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Role
from maestro_ml.core.errors import Unavailable
from maestro_ml.core.ids import new_id
from maestro_ml.core.settings import Settings
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity.erasing import delete_tenant
from maestro_ml.identity.models import Membership, User
from maestro_ml.identity.service import accounts, deletions
from maestro_ml.jobs.context import JobContext
from maestro_ml.jobs.models import Job
from maestro_ml.jobs.worker import Worker
from maestro_ml.storage.blobs import Blobs
from maestro_ml.storage.keys import BlobKey
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID, Tenant
from support.people import People, a_people_server
from support.world import ACME, OTHER, USERS

PLATFORM, TRAVELLER = USERS[ACME, Role.VIEWER], USERS[OTHER, Role.MEMBER]
AT = f"/tenants/{OTHER}"
GO = {"confirm": "other"}


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(User).where(User.id == PLATFORM).values(platform_admin=True))
    async with a_people_server(sessions, tmp_path) as people:
        yield people


@pytest.fixture
async def root(people: People) -> str:
    return await people.enter(PLATFORM, None)


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs.open(Settings(data=tmp_path))


async def some_bytes() -> AsyncIterator[bytes]:
    yield b"something"


async def a_life(people: People, blobs: Blobs) -> tuple[str, str]:
    """OTHER gets projects, machines, keys, offers and files; a session and a key of its admin."""
    admin = await people.token(tenant=OTHER)
    for number in range(5):
        await people.made(admin, "/projects", {"name": f"Project {number}"})
    bot = await people.made(admin, "/service-accounts", {"name": "bot"})
    await people.made(admin, f"/service-accounts/{bot['id']}/keys", {"name": "k"})
    await people.made(admin, "/users/invitations", {"email": "new@x.test", "role": "viewer"})
    key = (await people.made(admin, "/api-keys", {"name": "k"}))["secret"]
    for tenant in (OTHER, OTHER, ACME):
        await blobs.put(BlobKey.new(tenant), some_bytes())
    async with open_system_work(people.sessions) as work:
        traveller = await work.session.get_one(User, TRAVELLER)
        await accounts.join(work, traveller, ACME, Role.VIEWER)
    return admin, key


def a_worker(people: People, blobs: Blobs) -> Worker:
    handlers = {deletions.KIND: partial(delete_tenant, blobs)}
    return Worker(people.sessions, handlers, clock=people.clock)


async def left(sessions: Sessions) -> dict[str, int]:
    async with open_system_work(sessions) as work:
        counts = await deletions.count(work, OTHER)
    return {table: count for table, count in counts.items() if count}


async def test_nothing_of_it_is_left(people: People, root: str, blobs: Blobs) -> None:
    admin, key = await a_life(people, blobs)
    asked = await people(root, "POST", f"{AT}/deletion", GO)
    assert asked.status_code == 202
    deletion = asked.json()
    assert asked.headers["location"] == f"/api/v1/tenants/deletions/{deletion['id']}"
    for credential in (admin, key):  # before anything is deleted
        await people.refused(401, credential, "GET", "/projects")
    assert (await people.ok(root, "GET", AT))["status"] == "deleting"
    assert await a_worker(people, blobs).run_one()
    done = await people.ok(root, "GET", f"/tenants/deletions/{deletion['id']}")
    assert (done["state"], done["progress"], done["error"]) == ("done", 1.0, None)
    result = done["result"]
    assert (result["slug"], result["files"]) == ("other", {"before": 2, "after": 0})
    before, after = result["before"], result["after"]
    assert (before["projects"], before["memberships"], before["api_keys"]) == (6, 5, 2)
    assert before["audit_events"] > 0
    assert set(before) == set(after)
    assert not any(after.values())
    assert await left(people.sessions) == {}
    assert result["accounts_deleted"] == 4  # three people and the machine
    assert await blobs.count(ACME) == 1
    for credential in (admin, key):
        await people.refused(401, credential, "GET", "/projects")
    await people.refused(404, root, "GET", AT)
    assert [d["id"] for d in (await people.ok(root, "GET", "/tenants/deletions"))["items"]] == [
        deletion["id"]
    ]
    async with people.sessions.begin(DEFAULT_TENANT_ID) as session:
        query = select(AuditEvent).where(AuditEvent.target_id == str(OTHER))
        asked_for, proof = list(await session.scalars(query.order_by(AuditEvent.id)))
    assert (asked_for.action, asked_for.actor_id) == ("tenant.deletion_asked", PLATFORM)
    assert (proof.action, proof.facts) == ("tenant.deleted", result)
    # The slug is free again.
    again = {"name": "Other", "slug": "other", "admin_email": "a@other.test"}
    await people.made(root, "/tenants", again)


async def test_who_is_elsewhere_too_stays(people: People, root: str, blobs: Blobs) -> None:
    await a_life(people, blobs)
    async with open_system_work(people.sessions) as work:
        platform = await work.session.get_one(User, USERS[OTHER, Role.VIEWER])
        platform.platform_admin = True
    await people.ok(root, "POST", f"{AT}/deletion", GO)
    assert await a_worker(people, blobs).run_one()
    async with people.sessions.begin(SYSTEM) as session:
        kept = set(await session.scalars(select(User.id)))
        places = set(await session.scalars(select(Membership.tenant_id)))
    assert {TRAVELLER, USERS[OTHER, Role.VIEWER], *(USERS[ACME, role] for role in Role)} == kept
    assert places == {ACME}
    await people.ok(await people.enter(TRAVELLER, ACME), "GET", "/projects")


async def test_it_is_typed_out(people: People, root: str) -> None:
    for confirm in ("acme", "OTHER", "other ", "", str(OTHER)):
        body = {"confirm": confirm}
        code = await people.code(422, root, "POST", f"{AT}/deletion", body)
        assert code == "tenant-delete-unconfirmed", confirm
    wrong: tuple[object, ...] = ({}, {"confirm": None}, GO | {"force": "true"})
    for one in wrong:
        await people.refused(422, root, "POST", f"{AT}/deletion", one)
    nowhere = f"/tenants/{new_id()}/deletion"
    assert await people.code(404, root, "POST", nowhere, GO) == "tenant-not-found"
    unknown = f"/tenants/deletions/{new_id()}"
    assert await people.code(404, root, "GET", unknown) == "tenant-deletion-not-found"
    await people.ok(await people.token(tenant=OTHER), "GET", "/projects")


async def test_asked_twice_it_is_one_deletion_and_never_taken_back(
    people: People, root: str
) -> None:
    asked = await asyncio.gather(*(people(root, "POST", f"{AT}/deletion", GO) for _ in range(40)))
    assert {answer.status_code for answer in asked} == {202}
    assert len({answer.json()["id"] for answer in asked}) == 1
    for path in ("/suspend", "/resume"):
        assert await people.code(409, root, "POST", f"{AT}{path}") == "tenant-being-deleted"
    async with people.sessions.begin(SYSTEM) as session:
        assert len((await session.scalars(select(Job))).all()) == 1
    async with people.sessions.begin(DEFAULT_TENANT_ID) as session:
        query = select(AuditEvent).where(AuditEvent.action == "tenant.deletion_asked")
        assert len((await session.scalars(query)).all()) == 1


class _Dies(Exception):
    """The process is gone."""


@dataclass(slots=True, kw_only=True)
class _Mortal(JobContext):
    steps: int

    async def progress(self, done: float, message: str | None = None) -> None:
        self.steps -= 1
        if self.steps == 0:
            raise _Dies
        await JobContext.progress(self, done, message)


class _Away(Blobs):
    async def delete_tenant(self, tenant_id: UUID) -> None:
        raise Unavailable("The store does not answer.")


@pytest.mark.parametrize("at", range(1, 40, 3))
async def test_a_worker_that_dies_anywhere_is_followed_by_one_that_ends_it(
    people: People, root: str, blobs: Blobs, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletions, "BATCH", 2)
    await a_life(people, blobs)
    deletion = await people.ok(root, "POST", f"{AT}/deletion", GO)

    async def dying(job: JobContext) -> None:
        """As a killed process: after so many steps nothing more is written, not even a failure."""
        mortal = _Mortal(**{one.name: getattr(job, one.name) for one in fields(job)}, steps=at)
        try:
            await delete_tenant(blobs, mortal)
            job.result = mortal.result
        except _Dies:
            job.lease_id = new_id()  # nothing that this worker reports counts any more

    await Worker(people.sessions, {deletions.KIND: dying}, clock=people.clock).run_one()
    people.clock.move(seconds=31)
    worker = a_worker(people, blobs)
    await worker.tend()
    await worker.run_one()
    root = await people.enter(PLATFORM, None)
    done = await people.ok(root, "GET", f"/tenants/deletions/{deletion['id']}")
    assert done["state"] == "done"
    assert done["result"]["before"]["projects"] == 6
    assert done["result"]["accounts_deleted"] == 4
    assert not any(done["result"]["after"].values())
    assert await left(people.sessions) == {}
    async with people.sessions.begin(DEFAULT_TENANT_ID) as session:
        query = select(AuditEvent).where(AuditEvent.action == "tenant.deleted")
        assert len((await session.scalars(query)).all()) == 1


async def test_files_that_cannot_be_deleted_are_tried_again(
    people: People, root: str, tmp_path: Path, blobs: Blobs
) -> None:
    await a_life(people, blobs)
    deletion = await people.ok(root, "POST", f"{AT}/deletion", GO)
    handlers = {deletions.KIND: partial(delete_tenant, _Away.open(Settings(data=tmp_path)))}
    assert await Worker(people.sessions, handlers, clock=people.clock).run_one()
    waiting = await people.ok(root, "GET", f"/tenants/deletions/{deletion['id']}")
    assert (waiting["state"], waiting["error"]) == ("queued", "The store does not answer.")
    people.clock.move(minutes=1)
    assert await a_worker(people, blobs).run_one()
    root = await people.enter(PLATFORM, None)
    done = await people.ok(root, "GET", f"/tenants/deletions/{deletion['id']}")
    assert (done["state"], done["result"]["files"]) == ("done", {"before": 2, "after": 0})


async def test_the_platforms_own_work_takes_no_tenants_turn(
    people: People, root: str, blobs: Blobs
) -> None:
    """The default tenant may run nothing at all, and the deletion still runs; nobody in it sees
    or stops the job."""
    async with people.sessions.begin(SYSTEM) as session:
        change = update(Tenant).where(Tenant.id == DEFAULT_TENANT_ID)
        await session.execute(change.values(max_concurrent_jobs=0))
    deletion = await people.ok(root, "POST", f"{AT}/deletion", GO)
    assert await a_worker(people, blobs).run_one()
    done = await people.ok(root, "GET", f"/tenants/deletions/{deletion['id']}")
    assert done["state"] == "done"
