"""What a route about webhooks may ask for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from maestro_ml.core.access import Access
from maestro_ml.db.work import Work, open_work
from maestro_ml.http.deps import Caller, Running, Runtime
from maestro_ml.webhooks.courier import Courier


@dataclass(frozen=True, slots=True)
class NativeDoor:
    """Units of work of a request that waits for the network in between."""

    runtime: Runtime
    request: Request
    access: Access

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Work]:
        async with open_work(
            self.runtime.sessions, self.access, read_only=True, clock=self.runtime.clock
        ) as work:
            yield work

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Work]:
        """By now the caller may be somebody else."""
        access = await self.runtime.authenticate(self.request)
        async with open_work(self.runtime.sessions, access, clock=self.runtime.clock) as work:
            yield work


async def _door(runtime: Running, request: Request, access: Caller) -> NativeDoor:
    return NativeDoor(runtime, request, access)


async def _courier(request: Request) -> Courier:
    courier: Courier = request.app.state.courier
    return courier


Stepping = Annotated[NativeDoor, Depends(_door)]
TheCourier = Annotated[Courier, Depends(_courier)]
