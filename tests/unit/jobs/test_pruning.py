"""What keeps the tables small: jobs and sessions that ended long ago are forgotten."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, select

from maestro_ml.core.access import Access, Role
from maestro_ml.core.clock import utc_now
from maestro_ml.db import pruning
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, SystemWork, open_system_work, open_work
from maestro_ml.identity import handlers as identity_handlers
from maestro_ml.identity.models import RefreshToken, Session, SessionKind
from maestro_ml.jobs import handlers, service
from maestro_ml.jobs.context import Handler
from maestro_ml.jobs.models import ENDED, Job, JobState
from maestro_ml.jobs.worker import Worker
from maestro_ml.mail import handlers as mail_handlers
from maestro_ml.mail.models import Mail
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID
from support import ACME, USERS
from support.jobs import change, queued, the
from support.statements import know_the_rows, plan_of


async def run_handler(sessions: Sessions, handler: Handler) -> Job:
    async with open_work(sessions, Access.system(DEFAULT_TENANT_ID)) as work:
        id = (await service.enqueue(work, "a.prune", {}, max_attempts=1)).id
    assert await Worker(sessions, {"a.prune": handler}).run_one()
    return await the(sessions, id)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)


@pytest.mark.usefixtures("small_batches")
async def test_many_are_forgotten_a_few_at_a_time(sessions: Sessions) -> None:
    """So that whoever else writes gets a turn in between."""
    now = utc_now()
    old = now - timedelta(days=31)
    async with sessions.begin(SYSTEM) as session:
        session.add_all(a_mail(at) for at in (old, old, now, old, old, old, now))
    sizes: list[int] = []

    @asynccontextmanager
    async def counted() -> AsyncIterator[SystemWork]:
        async with open_system_work(sessions) as work:
            before = await how_many(work)
            yield work
            sizes.append(before - await how_many(work))

    assert await pruning.prune(counted, Mail, Mail.created_at < now) == 5
    assert sizes == [2, 2, 1]
    await run_handler(sessions, mail_handlers.prune)
    async with open_system_work(sessions) as work:
        assert await how_many(work) == 2


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)  # SQLite has one writer
async def test_a_row_that_is_held_is_left_for_the_next_time(sessions: Sessions) -> None:
    now = utc_now()
    async with sessions.begin(SYSTEM) as session:
        mails = [a_mail(now - timedelta(days=31)) for _ in range(3)]
        session.add_all(mails)
    opened = partial(open_system_work, sessions)
    async with sessions.begin(SYSTEM) as holder:
        await holder.execute(select(Mail.id).where(Mail.id == mails[1].id).with_for_update())
        assert await pruning.prune(opened, Mail, Mail.created_at < now) == 2
    assert await pruning.prune(opened, Mail, Mail.created_at < now) == 1


async def how_many(work: SystemWork) -> int:
    return len((await work.session.scalars(select(Mail.id))).all())


def a_mail(at: datetime) -> Mail:
    return Mail(recipient="a@x.test", kind="k", subject="s", text="t", created_at=at)


async def test_only_jobs_that_ended_long_ago_are_forgotten(sessions: Sessions) -> None:
    now = utc_now()
    ages = {"old": timedelta(days=31), "young": timedelta(days=29)}
    made: dict[tuple[str, JobState], UUID] = {}
    for name, age in ages.items():
        for one in JobState:
            made[name, one] = await queued(sessions)
            ended = one not in {JobState.QUEUED, JobState.RUNNING}
            moment = {"created_at": now - age, "run_at": now + timedelta(days=1)}
            finished = now - age if ended else None
            await change(sessions, made[name, one], state=one, finished_at=finished, **moment)
    job = await run_handler(sessions, handlers.prune)
    assert (job.state, job.result) == (JobState.DONE, None)
    async with sessions.begin(SYSTEM, read_only=True) as session:
        left = set(await session.scalars(select(Job.id)))
    gone = {key for key, id in made.items() if id not in left}
    assert gone == {("old", s) for s in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)}


async def test_the_platforms_own_that_went_well_are_forgotten_after_a_day(
    sessions: Sessions,
) -> None:
    """One comes every minute."""
    now = utc_now()
    kept: set[UUID] = set()
    for state, days in ((JobState.DONE, 2), (JobState.DONE, 0), (JobState.FAILED, 2)):
        id = await queued(sessions)
        ended = now - timedelta(days=days)
        await change(sessions, id, kind="audit.seal", state=state, finished_at=ended)
        if days == 0 or state is JobState.FAILED:
            kept.add(id)
    await run_handler(sessions, handlers.prune)
    async with sessions.begin(SYSTEM, read_only=True) as session:
        query = select(Job.id).where(Job.kind == "audit.seal")
        assert set(await session.scalars(query)) == kept


async def test_jobs_are_looked_for_by_when_they_ended(sessions: Sessions, database: str) -> None:
    """However many there are: most of them are young."""
    now = utc_now()
    async with sessions.begin(SYSTEM) as session:
        for _ in range(3_000):
            job = Job(kind="a.job", payload={}, run_at=now, created_at=now, finished_at=now)
            job.tenant_id, job.state = ACME, JobState.DONE
            session.add(job)
    await know_the_rows(database)
    sent: list[tuple[str, Any]] = []
    engine = sessions.engines.writing.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *a: sent.append((a[2], a[3])))
    await run_handler(sessions, handlers.prune)
    deletions = [one for one in sent if one[0].startswith("DELETE FROM jobs")]
    assert len(deletions) == 1 + len(ENDED)
    for statement in deletions:
        assert "ix_jobs_state_finished_at" in await plan_of(database, *statement)


async def test_only_sessions_that_ended_long_ago_are_forgotten(sessions: Sessions) -> None:
    now = utc_now()
    day = timedelta(days=1)
    ends = {
        "live": (now + day, None),
        "expired": (now - 29 * day, None),
        "revoked": (now + day, now - 29 * day),
        "expired long ago": (now - 31 * day, None),
        "revoked long ago": (now + day, now - 31 * day),
    }
    names: dict[UUID, str] = {}
    async with sessions.begin(SYSTEM) as session:
        for name, (expires, revoked) in ends.items():
            row = Session(
                user_id=USERS[ACME, Role.MEMBER],
                tenant_id=ACME,
                kind=SessionKind.API,
                created_at=now,
                auth_time=now,
                last_seen_at=now,
                expires_at=expires,
                revoked_at=revoked,
            )
            names[row.id] = name
            session.add(row)
        await session.flush()
        for id, name in names.items():
            for expires in (now + day, now - 31 * day):
                session.add(
                    RefreshToken(
                        hash=f"{name} {expires}".encode(),
                        session_id=id,
                        issued_at=now,
                        expires_at=expires,
                    )
                )
    job = await run_handler(sessions, identity_handlers.prune)
    assert (job.state, job.result, job.error) == (JobState.DONE, None, None)
    async with sessions.begin(SYSTEM, read_only=True) as session:
        left = {names[id] for id in await session.scalars(select(Session.id))}
        tokens = [names[id] for id in await session.scalars(select(RefreshToken.session_id))]
    assert left == {"live", "expired", "revoked"}
    assert sorted(tokens) == sorted(left)
