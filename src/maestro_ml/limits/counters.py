"""Rates and failures in the database, exact for however many processes: each change is one
statement with its own condition."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, bindparam, case, delete, select, update
from sqlalchemy import literal as value
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute

from maestro_ml.core.clock import Clock
from maestro_ml.db import pruning
from maestro_ml.db.fast import FastReader
from maestro_ml.db.prepared import Prepared
from maestro_ml.db.work import Sessions, SystemWork, open_system_work
from maestro_ml.limits.models import RateCounter
from maestro_ml.limits.rates import Tap

FREE = 5  # failures before there is a wait
WINDOW = 15 * 60  # seconds without a failure after which the next one is the first again
LONGEST = 15 * 60  # seconds to wait at most
MOST_IN_A_ROW = 100  # NIST SP 800-63B-4, 3.2.2
KEPT = timedelta(days=30)  # failures of who never came back, so that the table ends somewhere
_INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
_ONE = Prepared(
    select(RateCounter.until, RateCounter.recent, RateCounter.in_a_row).where(
        RateCounter.key == bindparam("key")
    )
)


@dataclass(frozen=True, slots=True)
class Failures:
    """What an account has failed with, until when it waits, and whether it waits for ever."""

    until: float
    recent: int
    in_a_row: int

    @property
    def exhausted(self) -> bool:
        return self.in_a_row >= MOST_IN_A_ROW


class Counters:
    def __init__(self, sessions: Sessions, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock
        self._reader = FastReader.open(sessions.engines)

    async def close(self) -> None:
        await self._reader.close()

    async def wait(self, tap: Tap, now: float, ahead: int = 0) -> float:
        return tap.rate.wait(await self._until(tap, now), now, ahead)

    async def take(self, tap: Tap, now: float) -> float:
        wait = tap.rate.wait(await self._until(tap, now), now)
        if wait:
            return wait  # whoever is refused anyway costs no write
        async with open_system_work(self._sessions, clock=self._clock) as work:
            insert = _insert(work).values(
                key=tap.key, until=now + tap.rate.step, recent=0, in_a_row=0
            )
            taken = await work.session.scalar(
                insert.on_conflict_do_update(
                    index_elements=["key"],
                    set_={"until": _later(RateCounter.until, now) + tap.rate.step},
                    where=RateCounter.until <= now + tap.rate.slack,
                ).returning(RateCounter.key)
            )
        # Another one came in between: by so much, at least, the time has moved on.
        return 0.0 if taken else max(tap.rate.wait(await self._until(tap, now), now), tap.rate.step)

    async def failures(self, key: str) -> Failures | None:
        row = await self._reader.one(_ONE, key=key)
        return None if row is None else Failures(*row)

    async def fail_once_more(self, key: str, now: float) -> int | None:
        """Count one beforehand for an account that has failed before. Gives how many in a row that
        makes; None: another one was counted in the meantime, or there is nothing to add to."""
        async with open_system_work(self._sessions, clock=self._clock) as work:
            counted: int | None = await work.session.scalar(
                update(RateCounter)
                .where(
                    RateCounter.key == key,
                    RateCounter.until <= now,
                    RateCounter.in_a_row < MOST_IN_A_ROW,
                )
                .values(_one_more(now))
                .returning(RateCounter.in_a_row)
                .execution_options(synchronize_session=False)
            )
        return counted

    async def fail(self, key: str, now: float) -> int:
        """Count one afterwards, for an account that had not failed before."""
        async with open_system_work(self._sessions, clock=self._clock) as work:
            first = _insert(work).values(key=key, until=now, recent=1, in_a_row=1)
            counted: int = await work.session.scalar(
                first.on_conflict_do_update(index_elements=["key"], set_=_one_more(now)).returning(
                    RateCounter.in_a_row
                )
            )
        return counted

    async def take_back(self, key: str, now: float) -> None:
        """What was counted beforehand was no failure after all, and no success."""
        async with open_system_work(self._sessions, clock=self._clock) as work:
            await work.session.execute(
                update(RateCounter)
                .where(RateCounter.key == key)
                .values(until=now, recent=RateCounter.recent - 1, in_a_row=RateCounter.in_a_row - 1)
                .execution_options(synchronize_session=False)
            )

    async def set_back(self, key: str, latest: float) -> None:
        """The clock was: nobody waits for longer than they would have without that."""
        async with open_system_work(self._sessions, clock=self._clock) as work:
            await work.session.execute(
                update(RateCounter)
                .where(RateCounter.key == key, RateCounter.until > latest)
                .values(until=latest)
                .execution_options(synchronize_session=False)
            )

    async def _until(self, tap: Tap, now: float) -> float:
        found = await self.failures(tap.key)
        if found is None:
            return 0.0
        latest = tap.rate.latest(now)
        if found.until > latest:
            await self.set_back(tap.key, latest)
        return min(found.until, latest)


async def forget(work: SystemWork, key: str) -> None:
    """Who got in, or has a new password, begins anew."""
    await work.session.execute(
        delete(RateCounter)
        .where(RateCounter.key == key)
        .execution_options(synchronize_session=False)
    )


async def prune(
    open_work: Callable[[], AbstractAsyncContextManager[SystemWork]], now: datetime
) -> int:
    """Forget rates that are whole again, and failures that are long past. Gives how many. An
    account whose password is switched off stays so."""
    failures, until = RateCounter.in_a_row, RateCounter.until
    whole = (failures == 0) & (until < now.timestamp())
    past = failures.between(1, MOST_IN_A_ROW - 1) & (until < (now - KEPT).timestamp())
    return sum([await pruning.prune(open_work, RateCounter, one) for one in (whole, past)])


def _insert(work: SystemWork) -> Any:
    return _INSERT[work.session.get_bind().dialect.name](RateCounter)


def _one_more(now: float) -> dict[str, ColumnElement[Any]]:
    recent = case((RateCounter.until + WINDOW <= now, 1), else_=RateCounter.recent + 1)
    doublings = recent - FREE
    wait = case(
        (doublings < 0, 0),
        (doublings >= LONGEST.bit_length(), LONGEST),
        else_=value(1).bitwise_lshift(doublings),
    )
    return {
        "recent": recent,
        "in_a_row": RateCounter.in_a_row + 1,
        "until": _later(RateCounter.until, now + wait),
    }


def _later(one: InstrumentedAttribute[float], other: Any) -> ColumnElement[float]:
    return case((one < other, other), else_=one)
