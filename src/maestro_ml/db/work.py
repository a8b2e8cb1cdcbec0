"""The unit of work: one transaction, one caller, one instant."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from maestro_ml.core.access import Access, Permission
from maestro_ml.core.clock import Clock, utc_now
from maestro_ml.core.errors import Forbidden, MaestroError, NotFound
from maestro_ml.db.engine import QUEUE_TIMEOUT, Engines
from maestro_ml.db.faults import away
from maestro_ml.db.hot import Hot
from maestro_ml.db.prepared import Runner, SessionRunner
from maestro_ml.db.tenants import SYSTEM, Sight, System, TenantSession

Listener = Callable[["Work", str, Mapping[str, Any]], Awaitable[None]]
# Of what happens to a tenant where its session is not at hand.
SystemListener = Callable[["SystemWork", UUID, str, Mapping[str, Any]], Awaitable[None]]


class Sessions:
    """Opens sessions, each for one tenant, and knows who listens to what happens in them."""

    def __init__(
        self,
        engines: Engines,
        listeners: Sequence[Listener] = (),
        system_listeners: Sequence[SystemListener] = (),
    ) -> None:
        self.engines = engines
        self.listeners = listeners
        self.system_listeners = system_listeners
        self.hot = Hot(engines)
        self._turns: WeakValueDictionary[UUID | System, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def begin(
        self, tenant: UUID | System, *, read_only: bool = False, sight: Sight | None = None
    ) -> AsyncIterator[AsyncSession]:
        shared = read_only and not isinstance(tenant, System)
        async with (
            self._turn(tenant) if shared else nullcontext(),
            AsyncSession(
                self.engines.reading if read_only else self.engines.writing,
                sync_session_class=TenantSession,
                expire_on_commit=False,
                tenant=tenant,
                sight=sight,
            ) as session,
            session.begin(),
        ):
            yield session

    @asynccontextmanager
    async def _turn(self, tenant: UUID | System) -> AsyncIterator[None]:
        """No tenant's readers have more than half of the connections: the rest is for others."""
        turns = self._turns.get(tenant)
        if turns is None:
            turns = self._turns[tenant] = asyncio.Semaphore(max(1, self.engines.connections // 2))
        try:
            async with asyncio.timeout(QUEUE_TIMEOUT):
                await turns.acquire()
        except TimeoutError:
            raise away() from None
        try:
            yield
        finally:
            turns.release()


class _Flushing:
    __slots__ = ()
    session: AsyncSession

    async def flush_or(self, taken: MaestroError) -> None:
        """Send pending rows now. A broken uniqueness rule becomes `taken`.

        Raises:
            NotFound: a row refers to something that does not exist in the tenant.
        """
        try:
            await self.session.flush()
        except IntegrityError as broken:
            if _violates(broken, "23505", "UNIQUE"):
                raise taken from broken
            if _violates(broken, "23503", "FOREIGN KEY"):
                raise NotFound("Something this refers to does not exist.") from broken
            raise


@dataclass(frozen=True, slots=True)
class Work(_Flushing):
    """A caller inside one tenant: what nearly every use case takes."""

    session: AsyncSession
    access: Access
    now: datetime
    listeners: Sequence[Listener] = ()

    @property
    def tenant_id(self) -> UUID:
        assert self.access.tenant_id is not None
        return self.access.tenant_id

    @property
    def prepared(self) -> Runner:
        """For verbs that a `FastWork` may ask for as well."""
        return SessionRunner(self.session, self.tenant_id)

    def require(self, permission: Permission, project_id: UUID | None = None) -> None:
        self.access.require(permission, project_id)

    def allows(self, permission: Permission, project_id: UUID | None = None) -> bool:
        return self.access.allows(permission, project_id)

    async def tell(self, event: str, **facts: object) -> None:
        """Tell whoever listens, inside the transaction that made it happen."""
        for listen in self.listeners:
            await listen(self, event, facts)


@dataclass(frozen=True, slots=True)
class SystemWork(_Flushing):
    """Across tenants: for the worker, and for verbs that know no caller yet. Routes get none,
    except the public ones, by asking for `http.deps.Public`."""

    session: AsyncSession
    now: datetime
    listeners: Sequence[SystemListener] = field(default=(), kw_only=True)

    async def tell(self, tenant_id: UUID | None, event: str, **facts: object) -> None:
        """The same of what happened to a tenant; who is in none has nobody to tell."""
        if tenant_id is not None:
            for listen in self.listeners:
                await listen(self, tenant_id, event, facts)


@dataclass(frozen=True, slots=True)
class AccountWork(SystemWork):
    """A known caller above tenants: their own account, what a platform admin does, and what a
    tenant's admin does to accounts. Nothing is filtered here: each query names the tenant."""

    access: Access

    @property
    def tenant_id(self) -> UUID:
        """Where the caller acts, for verbs whose permission nobody has outside of a tenant."""
        assert self.access.tenant_id is not None
        return self.access.tenant_id

    def require(self, permission: Permission, project_id: UUID | None = None) -> None:
        self.access.require(permission, project_id)

    def allows(self, permission: Permission, project_id: UUID | None = None) -> bool:
        return self.access.allows(permission, project_id)


def _violates(broken: IntegrityError, postgres: str, sqlite: str) -> bool:
    code = getattr(broken.orig, "sqlstate", None)
    return code == postgres or f"{sqlite} constraint failed" in str(broken.orig)


@asynccontextmanager
async def open_work(
    sessions: Sessions, access: Access, *, read_only: bool = False, clock: Clock = utc_now
) -> AsyncIterator[Work]:
    """A unit of work in the caller's tenant; leaving it commits, an exception rolls back.

    Raises:
        Forbidden: the caller is in no tenant (a platform admin without a membership).
    """
    if access.tenant_id is None:
        raise Forbidden("This belongs to a tenant, and your account is a member of none.")
    async with sessions.begin(
        access.tenant_id, read_only=read_only, sight=Sight.of(access)
    ) as session:
        yield Work(session, access, clock(), sessions.listeners)


@asynccontextmanager
async def open_system_work(
    sessions: Sessions, *, read_only: bool = False, clock: Clock = utc_now
) -> AsyncIterator[SystemWork]:
    async with sessions.begin(SYSTEM, read_only=read_only) as session:
        yield SystemWork(session, clock(), listeners=sessions.system_listeners)


@asynccontextmanager
async def open_account_work(
    sessions: Sessions, access: Access, *, read_only: bool = False, clock: Clock = utc_now
) -> AsyncIterator[AccountWork]:
    async with sessions.begin(SYSTEM, read_only=read_only) as session:
        yield AccountWork(session, clock(), access, listeners=sessions.system_listeners)
