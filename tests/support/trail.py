"""An audit trail that is written, sealed, tampered with and verified, by a clock tests move."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import func, make_url, select

from maestro_ml.api.main import HANDLERS
from maestro_ml.audit.handlers.sealing import seal_tenant
from maestro_ml.audit.handlers.verifying import Head, Verdict, walk
from maestro_ml.audit.models import AuditEvent, AuditSeal
from maestro_ml.audit.service import record
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, SystemWork, open_system_work, open_work
from maestro_ml.jobs.context import JobContext
from maestro_ml.jobs.models import Job
from maestro_ml.jobs.service import enqueue_once
from maestro_ml.jobs.worker import Worker
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID
from support.signin import MovingClock
from support.world import ACME, caller

KEY = b"the installation's key, derived for the audit trail"


def key_for(purpose: str) -> bytes:
    assert purpose == "audit"
    return KEY


@dataclass
class Trail:
    sessions: Sessions
    database: str
    clock: MovingClock = field(default_factory=MovingClock)

    async def write(self, count: int = 3, tenant: UUID = ACME) -> list[UUID]:
        """So many events, each in a unit of work of its own; the clock ticks in between."""
        made = []
        for n in range(count):
            self.clock.move(milliseconds=1)
            async with open_work(self.sessions, caller(tenant=tenant), clock=self.clock) as work:
                record(work, "thing.changed", "thing", n, n=n)
                (event,) = work.session.new
                made.append(event.id)
        return made

    def job(self) -> JobContext:
        return JobContext(
            id=new_id(),
            kind="audit.seal",
            tenant_id=ACME,
            payload={},
            lease_id=new_id(),
            attempt=1,
            max_attempts=1,
            sessions=self.sessions,
            clock=self.clock,
            derive=key_for,
        )

    async def seal(self, tenant: UUID = ACME) -> None:
        """A minute later."""
        self.clock.move(minutes=1)
        await seal_tenant(self.job(), tenant, KEY)

    async def run(self, kind: str, tenant: UUID = DEFAULT_TENANT_ID) -> Job:
        """By a worker, as when it is scheduled."""
        async with open_system_work(self.sessions, clock=self.clock) as work:
            await enqueue_once(work, tenant, kind, {}, dedup_key="k")
        assert await Worker(self.sessions, HANDLERS, clock=self.clock, derive=key_for).run_one()
        async with self.sessions.begin(SYSTEM, read_only=True) as session:
            query = select(Job).where(Job.kind == kind).order_by(Job.id.desc()).limit(1)
            return (await session.scalars(query)).one()

    async def sealed(self, *counts: int) -> list[list[UUID]]:
        """Events that were sealed in turns, an hour apart."""
        made = []
        for count in counts:
            made.append(await self.write(count))
            await self.seal()
            self.clock.move(hours=1)
        return made

    def reading(self) -> AbstractAsyncContextManager[SystemWork]:
        return open_system_work(self.sessions, read_only=True, clock=self.clock)

    async def verify(
        self, tenant: UUID = ACME, kept: Head | None = None, key: bytes = KEY
    ) -> Verdict:
        return await walk(self.reading, tenant, key, tell=_nobody, kept=kept)

    async def found(self, kept: Head | None = None) -> tuple[str, str]:
        """What is wrong first."""
        broken = (await self.verify(kept=kept)).broken
        assert broken is not None
        return str(broken.wrong), broken.what

    async def seals(self, tenant: UUID = ACME) -> Sequence[AuditSeal]:
        async with self.sessions.begin(SYSTEM, read_only=True) as session:
            query = select(AuditSeal).where(AuditSeal.tenant_id == tenant)
            return (await session.scalars(query.order_by(AuditSeal.number))).all()

    async def count(self, tenant: UUID = ACME) -> int:
        async with self.sessions.begin(tenant, read_only=True) as session:
            query = select(func.count()).select_from(AuditEvent)
            return await session.scalar(query) or 0

    async def tamper(self, sql: str, *values: Any) -> None:
        """As whoever owns the tables: past triggers, rights and policies."""
        url = make_url(self.database)
        if url.drivername.startswith("sqlite"):
            with closing(sqlite3.connect(url.database or "")) as connection, connection:
                for table in ("audit_events", "audit_seals"):
                    for what in ("unchanged", "kept"):
                        connection.execute(f"DROP TRIGGER IF EXISTS {table}_{what}")
                plain = [v.hex if isinstance(v, UUID) else v for v in values]
                for n in range(len(plain), 0, -1):
                    sql = sql.replace(f"${n}", f"?{n}")
                assert connection.execute(sql, plain).rowcount > 0
            return
        remote = await asyncpg.connect(
            url.set(drivername="postgresql").render_as_string(hide_password=False)
        )
        try:
            assert not (await remote.execute(sql, *values)).endswith(" 0")
        finally:
            await remote.close()


async def _nobody(done: float) -> None:
    await asyncio.sleep(0)
