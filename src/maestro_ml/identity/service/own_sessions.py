"""A person's own sessions: which there are, where they can go on, and ending one."""

from uuid import UUID

from sqlalchemy import ColumnElement, select

from maestro_ml.core.access import Permission
from maestro_ml.db.work import AccountWork
from maestro_ml.identity.devices import device_of
from maestro_ml.identity.errors import SessionNotFound
from maestro_ml.identity.lookup import alive, moments
from maestro_ml.identity.models import Session
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.schemas_sessions import SessionView
from maestro_ml.identity.service import accounts, sessions
from maestro_ml.tenancy.models import Tenant


async def search(work: AccountWork) -> list[SessionView]:
    """Those of the caller that still count, in all their tenants; the newest first."""
    work.require(Permission.SESSION_READ)
    query = (
        select(Session)
        .outerjoin(Tenant, Tenant.id == Session.tenant_id)
        .where(*await _own(work), *alive())
        .order_by(Session.created_at.desc(), Session.id.desc())
    )
    found = await work.session.scalars(query, moments(work.now))
    return [
        SessionView(
            id=one.id,
            device=device_of(one.user_agent),
            ip=one.ip,
            kind=one.kind,
            amr=one.amr,
            created_at=one.created_at,
            last_seen_at=one.last_seen_at,
            expires_at=one.expires_at,
            current=one.id == work.access.session_id,
        )
        for one in found
    ]


async def end(work: AccountWork, identity: Identity, id: UUID) -> None:
    """End one of the caller's own: it is refused from the next request on.

    Raises:
        SessionNotFound: they have no such session, or it has ended.
    """
    work.require(Permission.SESSION_END)
    mine = select(Session.id).where(Session.id == id, *await _own(work))
    if await work.session.scalar(mine) is None or not await sessions.end(
        work, identity, id, "ended_by_owner"
    ):
        raise SessionNotFound


async def tenants(work: AccountWork) -> list[Tenant]:
    """Those that the caller may act in: where else they are is nothing that one tenant's identity
    provider, which may speak in anybody's name, has to know."""
    work.require(Permission.SESSION_READ)
    return await accounts.tenants(work, only=await sessions.confined_to(work))


async def _own(work: AccountWork) -> tuple[ColumnElement[bool], ...]:
    tenant_id = await sessions.confined_to(work)
    here = () if tenant_id is None else (Session.tenant_id == tenant_id,)
    return (Session.user_id == work.access.actor_id, *here)
