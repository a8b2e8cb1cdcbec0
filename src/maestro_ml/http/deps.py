"""What a route may ask for."""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request

from maestro_ml.core.access import Access
from maestro_ml.core.clock import Clock, utc_now
from maestro_ml.core.errors import Unauthenticated
from maestro_ml.core.paging import PageRequest
from maestro_ml.core.settings import Settings
from maestro_ml.db.work import (
    AccountWork,
    Sessions,
    SystemWork,
    Work,
    open_account_work,
    open_system_work,
    open_work,
)
from maestro_ml.limits.openings import Openings

Authenticate = Callable[[Request], Awaitable[Access]]
Admit = Callable[[Access], Awaitable[None]]
Recall = Callable[[UUID], Awaitable[Access]]


async def everybody(_: Access) -> None:
    """Where requests are not counted."""


async def nobody(_: UUID) -> Access:
    """Where nothing is begun that goes on without its caller."""
    raise Unauthenticated


@dataclass(frozen=True, slots=True)
class Runtime:
    """The long-lived things, built once by `maestro_ml.api.main` and kept on the application."""

    settings: Settings
    sessions: Sessions
    authenticate: Authenticate
    clock: Clock = utc_now
    # Asked once for each request of somebody known: whether their tenant may send one more.
    admit: Admit = everybody
    # Who has that session or API key, for what goes on without showing it. Raises Unauthenticated
    # once it has ended.
    recall: Recall = nobody
    # Event streams that are open in this process.
    streams: Openings = field(default_factory=Openings)
    # Set when the server is told to end: answers without an end of their own stop at it.
    stopping: threading.Event = field(default_factory=threading.Event)


# These are `async` because FastAPI sends every other kind of dependency to a thread.
async def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


async def _access(request: Request) -> Access:
    access: Access = request.state.access  # put there by `http.entry`
    return access


Running = Annotated[Runtime, Depends(_runtime)]
Caller = Annotated[Access, Depends(_access)]


async def _reading(runtime: Running, access: Caller) -> AsyncIterator[Work]:
    async with open_work(runtime.sessions, access, read_only=True, clock=runtime.clock) as work:
        yield work


async def _writing(runtime: Running, access: Caller) -> AsyncIterator[Work]:
    async with open_work(runtime.sessions, access, clock=runtime.clock) as work:
        yield work


async def _account_reading(runtime: Running, access: Caller) -> AsyncIterator[AccountWork]:
    async with open_account_work(
        runtime.sessions, access, read_only=True, clock=runtime.clock
    ) as work:
        yield work


async def _account(runtime: Running, access: Caller) -> AsyncIterator[AccountWork]:
    async with open_account_work(runtime.sessions, access, clock=runtime.clock) as work:
        yield work


async def _public(runtime: Running) -> AsyncIterator[SystemWork]:
    async with open_system_work(runtime.sessions, clock=runtime.clock) as work:
        yield work


async def _paging(
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=512)] = None,
) -> PageRequest:
    return PageRequest(limit, cursor)


# scope="function": commit happens before the first byte of the response.
Reading = Annotated[Work, Depends(_reading, scope="function")]
Writing = Annotated[Work, Depends(_writing, scope="function")]
# Above tenants, with a caller: identity and the platform admin's routes only.
AccountReading = Annotated[AccountWork, Depends(_account_reading, scope="function")]
Account = Annotated[AccountWork, Depends(_account, scope="function")]
# Above tenants, with no caller: the routes listed as public only.
Public = Annotated[SystemWork, Depends(_public, scope="function")]
Paging = Annotated[PageRequest, Depends(_paging)]
