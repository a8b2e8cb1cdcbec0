"""Pools that serve first come, first served."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlalchemy.util import queue
from sqlalchemy.util.concurrency import await_

from maestro_ml.db.faults import away


class FairQueue(queue.QueueCommon[Any]):
    """A connection that comes back goes to whoever waits longest.

    The library's own queue lets a newcomer take it before the waiter that was woken has run, and
    that waiter then stands at the end again.
    """

    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:
        self.maxsize = maxsize
        self.use_lifo = use_lifo
        self._items: deque[Any] = deque()
        self._waiting: deque[asyncio.Future[Any]] = deque()

    def empty(self) -> bool:
        return not self._items

    def full(self) -> bool:
        return 0 < self.maxsize <= len(self._items)

    def qsize(self) -> int:
        return len(self._items)

    def put_nowait(self, item: Any) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(item)
                return
        if self.full():
            raise queue.Full
        self._items.append(item)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        self.put_nowait(item)

    def get_nowait(self) -> Any:
        if not self._items:
            raise queue.Empty
        return self._items.pop() if self.use_lifo else self._items.popleft()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if self._items or not block:
            return self.get_nowait()
        return await_(self._wait(timeout))

    async def _wait(self, seconds: float | None) -> Any:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await asyncio.wait([waiter], timeout=seconds)
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.put_nowait(waiter.result())  # it was ours already: pass it on
            waiter.cancel()
            raise
        if waiter.done():
            return waiter.result()
        waiter.cancel()
        self._waiting.remove(waiter)
        raise queue.Empty


class FairPool(AsyncAdaptedQueuePool):
    """Waits in line; whoever waited too long is told to come back later."""

    _queue_class = FairQueue

    def _do_get(self) -> ConnectionPoolEntry:
        try:
            return super()._do_get()
        except exc.TimeoutError as full:
            raise away() from full

    def at_hand(self) -> ConnectionPoolEntry | None:
        """An open connection that nobody has or waits for. It belongs to who asked until it is
        given back."""
        free = self._pool
        if free.empty():
            return None
        entry: ConnectionPoolEntry = free.get_nowait()
        driver = entry.driver_connection
        if driver is not None and driver.taken():
            return entry
        self.give_back(entry)
        return None

    def give_back(self, entry: ConnectionPoolEntry) -> None:
        self._pool.put_nowait(entry)


@asynccontextmanager
async def driver_of(engine: AsyncEngine) -> AsyncIterator[Any]:
    """The driver's own connection, for whoever leaves it as it was: no transaction, nothing set.

    The engine's way to it goes through two greenlets and a reset, which cost more than a statement:
    it is gone when nothing is at hand.
    """
    pool = engine.pool
    assert isinstance(pool, FairPool)
    entry = pool.at_hand()
    if entry is not None:
        try:
            yield entry.driver_connection
        finally:
            pool.give_back(entry)
        return
    async with engine.connect() as connection:
        yield (await connection.get_raw_connection()).driver_connection
