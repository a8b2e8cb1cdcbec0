"""Every event is sealed, once, whatever happens meanwhile; and nobody who writes waits for it."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from maestro_ml.api.main import HANDLERS
from maestro_ml.audit import chain, service
from maestro_ml.audit.handlers import reading
from maestro_ml.audit.handlers.sealing import seal_tenant
from maestro_ml.audit.models import AuditEvent, AuditSeal
from maestro_ml.audit.service import VERIFIED, record
from maestro_ml.core.errors import Conflict
from maestro_ml.db.guard import TenantViolation
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import open_system_work, open_work
from maestro_ml.jobs.models import JobState
from maestro_ml.jobs.service import enqueue_once
from maestro_ml.jobs.worker import Worker
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID
from support.trail import KEY, Trail
from support.world import ACME, OTHER, caller


async def test_what_is_new_is_sealed_and_found_to_be_sound(trail: Trail) -> None:
    written = await trail.write(3)
    assert (await trail.verify()).facts == {"sound": True, "seals": 0, "events": 0, "unsealed": 3}
    await trail.seal()
    (seal,) = await trail.seals()
    assert [id for id, _ in chain.unpack(seal.entries)] == written
    assert (await trail.verify()).facts == {"sound": True, "seals": 1, "events": 3, "unsealed": 0}


async def test_what_is_not_sealed_yet_is_counted_from_the_newest_seal_on(trail: Trail) -> None:
    async def state() -> tuple[int, int, int]:
        async with open_work(trail.sessions, caller(), read_only=True, clock=trail.clock) as work:
            found = await service.trail(work)
        return found.seals, found.sealed_events, found.unsealed_events

    await trail.write(2)
    assert await state() == (0, 0, 2)
    await trail.sealed(0, 3)
    assert await state() == (2, 5, 0)
    await trail.write(1)
    assert await state() == (2, 5, 1)


async def test_what_is_very_new_waits_for_the_next_seal(trail: Trail) -> None:
    await trail.write(2)
    await seal_tenant(trail.job(), ACME, KEY)
    assert await trail.seals() == []
    await trail.seal()
    assert [seal.n_events for seal in await trail.seals()] == [2]


async def test_nothing_new_makes_no_seal(trail: Trail) -> None:
    await trail.sealed(2)
    for _ in range(3):
        await trail.seal()
    # One that moves on, so that the time before it need not be looked through again.
    assert [seal.n_events for seal in await trail.seals()] == [2, 0]
    assert (await trail.verify()).facts["sound"]


async def test_each_tenant_has_a_chain_of_its_own(trail: Trail) -> None:
    await trail.write(2)
    await trail.write(4, OTHER)
    await trail.seal()
    await trail.seal(OTHER)
    mine, theirs = await trail.verify(), await trail.verify(OTHER)
    assert (mine.events, theirs.events) == (2, 4)
    assert (mine.head and mine.head.number, theirs.head and theirs.head.number) == (1, 1)
    assert mine.head != theirs.head


async def test_an_event_that_commits_late_is_not_skipped(trail: Trail) -> None:
    """Its id and its time are older than those of events that are sealed already."""
    async with open_work(trail.sessions, caller(), clock=trail.clock) as slow:
        record(slow, "slow.changed", "thing", 0)
        await trail.write(3)
        await trail.seal()
    assert [seal.n_events for seal in await trail.seals()] == [3]
    await trail.write(1)
    await trail.seal()
    assert [seal.n_events for seal in await trail.seals()] == [3, 2]
    assert (await trail.verify()).facts == {"sound": True, "seals": 2, "events": 5, "unsealed": 0}


async def test_events_of_one_instant_are_sealed_across_pages(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PAGE", 4)
    async with open_work(trail.sessions, caller(), clock=trail.clock) as work:
        for n in range(10):
            record(work, "thing.changed", "thing", n)
    await trail.write(6)
    await trail.seal()
    assert sum(seal.n_events for seal in await trail.seals()) == 16
    assert len(await trail.seals()) >= 4
    assert (await trail.verify()).facts["events"] == 16
    await trail.write(1)
    await trail.seal()
    assert (await trail.verify()).facts["sound"]


async def test_a_clock_that_is_set_back_loses_nothing(trail: Trail) -> None:
    await trail.write(2)
    await trail.seal()
    trail.clock.move(hours=-5)
    await trail.write(3)
    await trail.seal()
    assert (await trail.verify()).facts == {"sound": True, "seals": 2, "events": 5, "unsealed": 0}
    trail.clock.move(hours=6)
    await trail.write(1)
    await trail.seal()
    assert (await trail.verify()).facts == {"sound": True, "seals": 3, "events": 6, "unsealed": 0}


@pytest.mark.parametrize("round", range(5))
async def test_of_workers_that_seal_at_once_one_makes_each_seal(trail: Trail, round: int) -> None:
    await trail.write(20)
    trail.clock.move(minutes=1)
    ended = await asyncio.gather(
        *(seal_tenant(trail.job(), ACME, KEY) for _ in range(5)), return_exceptions=True
    )
    assert {type(one) for one in ended} <= {type(None), Conflict}
    assert [seal.n_events for seal in await trail.seals()] == [20]
    assert (await trail.verify()).facts == {"sound": True, "seals": 1, "events": 20, "unsealed": 0}


@pytest.mark.parametrize("round", range(5))
async def test_sealing_under_forty_writers_misses_nothing(trail: Trail, round: int) -> None:
    """The sealers' clock is ahead, so that each of their looks is in the middle of what commits."""
    ahead = Trail(trail.sessions, trail.database)
    ahead.clock.move(minutes=1)
    writing = [asyncio.create_task(trail.write(4)) for _ in range(40)]

    async def keep_sealing() -> None:
        while not all(task.done() for task in writing):
            await asyncio.gather(
                *(seal_tenant(ahead.job(), ACME, KEY) for _ in range(2)), return_exceptions=True
            )

    await asyncio.gather(keep_sealing(), *writing)
    await trail.seal()
    assert await trail.count() == 160
    sealed = [id for seal in await trail.seals() for id, _ in chain.unpack(seal.entries)]
    assert (len(sealed), len(set(sealed))) == (160, 160)
    verdict = (await trail.verify()).facts
    assert (verdict["sound"], verdict["events"], verdict["unsealed"]) == (True, 160, 0)


async def test_the_scheduled_job_seals_all_tenants_and_verifying_writes_down_what_it_found(
    trail: Trail,
) -> None:
    await trail.write(2)
    await trail.write(3, OTHER)
    trail.clock.move(minutes=1)
    assert (await trail.run("audit.seal")).state is JobState.DONE
    job = await trail.run("audit.verify", ACME)
    async with trail.sessions.begin(SYSTEM) as session:
        said = await session.scalar(select(AuditEvent).where(AuditEvent.action == VERIFIED))
    facts = {"sound": True, "seals": 1, "events": 2, "unsealed": 0}
    assert (job.state, job.result) == (JobState.DONE, facts)
    assert said is not None
    assert (said.tenant_id, said.facts) == (ACME, facts)
    assert (await trail.verify()).events == 2
    assert (await trail.verify(OTHER)).events == 3


async def test_a_worker_without_the_secret_seals_nothing(trail: Trail) -> None:
    await trail.write(1)
    trail.clock.move(minutes=1)
    worker = Worker(trail.sessions, HANDLERS, clock=trail.clock)
    async with open_system_work(trail.sessions, clock=trail.clock) as work:
        await enqueue_once(work, DEFAULT_TENANT_ID, "audit.seal", {}, dedup_key="k")
    assert await worker.run_one()
    assert await trail.seals() == []


async def test_a_tenant_neither_makes_nor_changes_a_seal(trail: Trail) -> None:
    await trail.sealed(1)
    async with trail.sessions.begin(ACME) as session:
        with pytest.raises(Exception, match=r"permission denied|only ever added"):
            await session.execute(update(AuditSeal).values(n_events=0))
        await session.rollback()
    async with trail.sessions.begin(OTHER) as session:
        with pytest.raises(TenantViolation):
            await session.execute(
                update(AuditSeal).values(tenant_id=OTHER, until=trail.clock() - timedelta(1))
            )
