"""Events and seals as they lie in the database, in pages. Each query names its tenant, so that a
tenant's unit of work and one above tenants find the same."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, String, Uuid, column, or_, select, table, type_coerce

from maestro_ml.audit.chain import FIELDS
from maestro_ml.audit.models import AuditEvent, AuditSeal
from maestro_ml.db.work import SystemWork, Work

PAGE = 1000
SEALS = 20
_FIRST_ID = UUID(int=0)
_TENANTS = table("tenants", column("id", Uuid()), column("slug", String()))


class Place(NamedTuple):
    """Where the last page ended."""

    at: datetime
    id: UUID = _FIRST_ID


class Unreadable(Exception):
    """A row holds what was never written: its id, as far as it can be read."""


async def tenants(work: SystemWork) -> list[tuple[UUID, str]]:
    """Every tenant's id and slug."""
    query = select(_TENANTS.c.id, _TENANTS.c.slug).order_by(_TENANTS.c.slug)
    return [(id, slug) for id, slug in await work.session.execute(query)]


async def newest_seal(work: Work | SystemWork, tenant_id: UUID) -> AuditSeal | None:
    query = select(AuditSeal).where(AuditSeal.tenant_id == tenant_id)
    return await work.session.scalar(query.order_by(AuditSeal.number.desc()).limit(1))


async def seals(work: Work | SystemWork, tenant_id: UUID, after: int) -> Sequence[AuditSeal]:
    """The next few of the chain."""
    query = select(AuditSeal).where(AuditSeal.tenant_id == tenant_id, AuditSeal.number > after)
    return (await work.session.scalars(query.order_by(AuditSeal.number).limit(SEALS))).all()


async def events(
    work: Work | SystemWork, tenant_id: UUID, after: Place, until: datetime
) -> list[tuple[Any, ...]]:
    """A page of events by time, each as its `FIELDS`.

    Raises:
        Unreadable: one of them is none.
    """
    where = _after(tenant_id, after, until)
    query = _ordered(select(*(getattr(AuditEvent, name) for name in FIELDS)).where(*where))
    try:
        return [tuple(row) for row in await work.session.execute(query.limit(PAGE))]
    except (ValueError, TypeError, LookupError):
        raise Unreadable(await _unreadable(work, query, where)) from None


async def _unreadable(
    work: Work | SystemWork, query: Select[Any], where: Sequence[ColumnElement[bool]]
) -> str:
    bare = select(type_coerce(AuditEvent.id, String).label("id")).select_from(AuditEvent)
    ids = await work.session.scalars(_ordered(bare.where(*where)).limit(PAGE))
    for n, id in enumerate(ids.all()):
        try:
            (await work.session.execute(query.offset(n).limit(1))).all()
        except (ValueError, TypeError, LookupError):
            return str(id)
    return "unknown"


def _after(tenant_id: UUID, after: Place, until: datetime) -> Sequence[ColumnElement[bool]]:
    beyond = or_(AuditEvent.created_at != after.at, AuditEvent.id > after.id)
    return (
        AuditEvent.tenant_id == tenant_id,
        AuditEvent.created_at >= after.at,
        AuditEvent.created_at <= until,
        beyond,
    )


def _ordered(query: Select[Any]) -> Select[Any]:
    return query.order_by(AuditEvent.created_at, AuditEvent.id)
