"""Walk a tenant's chain and its events side by side, and name the first thing that is wrong."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hmac import compare_digest
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from maestro_ml.audit import chain
from maestro_ml.audit.handlers import reading
from maestro_ml.audit.handlers.reading import Place, Unreadable, events, newest_seal, seals
from maestro_ml.audit.models import AuditEvent, AuditSeal
from maestro_ml.audit.ports import AuditJob
from maestro_ml.audit.service import VERIFIED, record
from maestro_ml.core.clock import EPOCH
from maestro_ml.db.work import SystemWork, Work

Opening = Callable[[], AbstractAsyncContextManager[Work | SystemWork]]
Tell = Callable[[float], Awaitable[None]]


class Wrong(StrEnum):
    """What can be wrong with a trail."""

    EVENT_CHANGED = "event-changed"
    EVENT_REMOVED = "event-removed"
    EVENT_INSERTED = "event-inserted"
    EVENT_UNREADABLE = "event-unreadable"
    SEAL_CHANGED = "seal-changed"
    SEAL_FORGED = "seal-forged"
    SEAL_REMOVED = "seal-removed"


SENTENCES = {
    Wrong.EVENT_CHANGED: "the event {what} is not as it was sealed",
    Wrong.EVENT_REMOVED: "the event {what} is gone, or its time was changed",
    Wrong.EVENT_INSERTED: "the event {what} was put there after its time was sealed",
    Wrong.EVENT_UNREADABLE: "the event {what} cannot be read",
    Wrong.SEAL_CHANGED: "the seal {what} is not as it was made, or does not follow the one before",
    Wrong.SEAL_FORGED: "the seal {what} was not signed with this installation's secret key",
    Wrong.SEAL_REMOVED: "the seal {what} is gone",
}


@dataclass(frozen=True, slots=True)
class Head:
    """The newest seal of a chain, to be kept where nobody reaches who reaches the database."""

    number: int
    hash: str


class Broken(Exception):
    """Where the trail is broken first."""

    def __init__(self, wrong: Wrong, what: object) -> None:
        super().__init__(SENTENCES[wrong].format(what=what))
        self.wrong = wrong
        self.what = str(what)


@dataclass(slots=True)
class Verdict:
    """How far the trail was walked, and what stopped it."""

    seals: int = 0
    events: int = 0
    unsealed: int = 0
    head: Head | None = None
    broken: Broken | None = None

    @property
    def facts(self) -> dict[str, Any]:
        found = self.broken
        wrong = {"wrong": found.wrong.value, "what": found.what} if found else {}
        counted = {"seals": self.seals, "events": self.events, "unsealed": self.unsealed}
        return {"sound": found is None, **counted, **wrong}


async def verify(job: AuditJob) -> None:
    """Verify a tenant's audit trail against its seals, and write down what was found."""
    key = await asyncio.to_thread(job.derive, chain.PURPOSE)

    def opening() -> AbstractAsyncContextManager[Work]:
        return job.open_work(read_only=True)

    verdict = await walk(opening, job.tenant_id, key, tell=job.progress)
    async with job.open_work() as work:
        record(work, VERIFIED, "audit_trail", job.tenant_id, **verdict.facts)
    job.result = verdict.facts


async def walk(
    opening: Opening, tenant_id: UUID, key: bytes, *, tell: Tell, kept: Head | None = None
) -> Verdict:
    """Verify a whole chain; `kept` is a head of it that was written down before."""
    verdict = Verdict()
    try:
        await _Walk(opening, tenant_id, key, verdict, tell).run(kept)
    except Broken as found:
        verdict.broken = found
    except Unreadable as event:
        verdict.broken = Broken(Wrong.EVENT_UNREADABLE, event)
    return verdict


class _Walk:
    """Events are read once, by time, and wait in `met` for the seal that names them."""

    def __init__(
        self, opening: Opening, tenant_id: UUID, key: bytes, verdict: Verdict, tell: Tell
    ) -> None:
        self._opening = opening
        self._tenant_id = tenant_id
        self._key = key
        self._verdict = verdict
        self._tell = tell
        self._place = Place(EPOCH)
        self._met: dict[UUID, tuple[datetime, bytes]] = {}

    async def run(self, kept: Head | None) -> None:
        async with self._opening() as work:
            newest = await newest_seal(work, self._tenant_id)
        last: AuditSeal | None = None
        async for seal in self._seals():
            self._check_link(seal, last)
            await self._read_until(seal.until)
            self._check_events(seal)
            self._verdict.seals, last = seal.number, seal
            self._verdict.head = Head(seal.number, seal.hash.hex())
            if kept is not None and kept.number == seal.number and kept.hash != seal.hash.hex():
                raise Broken(Wrong.SEAL_CHANGED, seal.number)
            await self._tell(seal.number / max(newest.number if newest else 0, seal.number))
        if kept is not None and kept.number > self._verdict.seals:
            raise Broken(Wrong.SEAL_REMOVED, self._verdict.seals + 1)
        await self._check_rest(last)

    def _check_link(self, seal: AuditSeal, last: AuditSeal | None) -> None:
        number = last.number + 1 if last else 1
        if seal.number != number:
            raise Broken(Wrong.SEAL_REMOVED, number)
        if not compare_digest(seal.hash, chain.hash_of(seal, last.hash if last else chain.FIRST)):
            raise Broken(Wrong.SEAL_CHANGED, number)
        if not compare_digest(seal.signature, chain.signature_of(seal.hash, self._key)):
            raise Broken(Wrong.SEAL_FORGED, number)

    def _check_events(self, seal: AuditSeal) -> None:
        for id, digest in chain.unpack(seal.entries):
            met = self._met.pop(id, None)
            if met is None:
                raise Broken(Wrong.EVENT_REMOVED, id)
            if met[1] != digest:
                raise Broken(Wrong.EVENT_CHANGED, id)
            self._verdict.events += 1

    async def _check_rest(self, last: AuditSeal | None) -> None:
        """What no seal names is new, or it was slipped in."""
        async with self._opening() as work:
            since = chain.open_since(last, work.now)
            later = select(func.count()).select_from(AuditEvent)
            later = later.where(AuditEvent.tenant_id == self._tenant_id)
            if last is not None:
                later = later.where(AuditEvent.created_at > last.until)
            n_later = await work.session.scalar(later) or 0
        for id, (at, _) in self._met.items():
            if at < since:
                raise Broken(Wrong.EVENT_INSERTED, id)
        self._verdict.unsealed = n_later + len(self._met)

    async def _seals(self) -> AsyncIterator[AuditSeal]:
        number = 0
        while True:
            async with self._opening() as work:
                found = await seals(work, self._tenant_id, number)
            for seal in found:
                number = seal.number
                yield seal
            if not found:
                return

    async def _read_until(self, until: datetime) -> None:
        while True:
            async with self._opening() as work:
                found = await events(work, self._tenant_id, self._place, until)
            for event in found:
                self._met[event[0]] = (event[2], chain.digest_of(event))
            if found:
                self._place = Place(found[-1][2], found[-1][0])
            if len(found) < reading.PAGE:
                return
