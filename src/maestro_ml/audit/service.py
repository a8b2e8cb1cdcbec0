"""The record of who changed what: written in the transaction that changes it (no record, no
change), and read by a tenant's admins."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, String, Uuid, column, func, select, table

from maestro_ml.audit.errors import AuditEventNotFound
from maestro_ml.audit.models import AuditEvent, AuditSeal
from maestro_ml.audit.ports import Queue
from maestro_ml.audit.schemas import EventFilter, ExportFormat, TrailView, Verified
from maestro_ml.core.access import Access, ActorKind, Permission
from maestro_ml.core.context import origin
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.paging import Sort, page_of_any
from maestro_ml.db.work import AccountWork, SystemWork, Work

VERIFIED, VERIFY = "audit.verified", "audit.verify"
NEWEST_FIRST = Sort("created_at", AuditEvent.created_at, descending=True)
_USERS = table("users", column("id", Uuid()), column("name", String()), column("email", String()))


@dataclass(frozen=True, slots=True)
class Called:
    """How an account is known."""

    name: str
    email: str


def record(work: Work | AccountWork, action: str, target: str, id: object, **facts: Any) -> None:
    """Note an action (`project.created`) of the caller on a target (`project`, its id).

    Facts are JSON values and never a secret. The tenant is the caller's.
    """
    access = work.access
    if access.tenant_id is None:
        raise ValueError("a caller without a tenant: name one with record_for")
    record_for(work, access.tenant_id, action, target, id, access=access, **facts)


def record_for(
    work: Work | SystemWork,
    tenant_id: UUID,
    action: str,
    target: str,
    id: object,
    *,
    access: Access | None = None,
    **facts: Any,
) -> None:
    """Note an action that happened to a tenant, by a caller who may be above it or unknown."""
    here = origin.get()
    event = AuditEvent(
        actor_id=access.actor_id if access else None,
        actor_kind=access.kind if access else ActorKind.SYSTEM,
        api_key_id=access.api_key_id if access else None,
        action=action,
        target_type=target,
        target_id=None if id is None else str(id),
        facts=facts,
        ip=here.ip if here else None,
        user_agent=here.user_agent if here else None,
        request_id=here.request_id if here else None,
        created_at=work.now,
    )
    event.tenant_id = tenant_id
    work.session.add(event)


async def search(work: Work, wanted: EventFilter, request: PageRequest) -> Page[AuditEvent]:
    """A page of the tenant's events, the newest first.

    Raises:
        Invalid: the cursor is not one of this list.
    """
    work.require(Permission.AUDIT_READ)
    query = select(AuditEvent).where(*_conditions(wanted))
    queries = [query]
    if wanted.action is not None:
        exact, prefix, _ = wanted.action.partition(".*")
        actions = await _actions(work, f"{exact}.") if prefix else [exact]
        queries = [query.where(AuditEvent.action == one) for one in actions]
    return await page_of_any(work.session, queries, AuditEvent, request, sort=NEWEST_FIRST)


async def get(work: Work, id: UUID) -> AuditEvent:
    """Read one.

    Raises:
        AuditEventNotFound: the tenant has no such event.
    """
    work.require(Permission.AUDIT_READ)
    found = await work.session.get(AuditEvent, id)
    if found is None:
        raise AuditEventNotFound
    return found


async def note_export(work: Work, format: ExportFormat, wanted: EventFilter) -> None:
    """Write down that the caller takes events away."""
    work.require(Permission.AUDIT_READ)
    record(
        work,
        "audit.exported",
        "audit_trail",
        work.tenant_id,
        format=format,
        filters=wanted.facts,
    )


async def called(work: SystemWork, ids: set[UUID]) -> dict[UUID, Called]:
    """How accounts are known, wherever they are members now: who acted in a tenant keeps their
    name in its trail when they leave it."""
    if not ids:
        return {}
    query = select(_USERS.c.id, _USERS.c.name, _USERS.c.email).where(_USERS.c.id.in_(ids))
    return {id: Called(*known) for id, *known in await work.session.execute(query)}


async def trail(work: Work) -> TrailView:
    """How far the tenant's events are sealed, and when they were last verified."""
    work.require(Permission.AUDIT_READ)
    head = select(AuditSeal.number, AuditSeal.until, AuditSeal.created_at, AuditSeal.hash)
    newest = (
        await work.session.execute(head.order_by(AuditSeal.number.desc()).limit(1))
    ).one_or_none()
    sums = select(func.coalesce(func.sum(AuditSeal.n_events), 0)).select_from(AuditSeal)
    sealed = await work.session.scalar(sums) or 0
    # Counted from the newest seal on, and not from the beginning: there are millions before it.
    since = select(func.count()).select_from(AuditEvent)
    if newest is not None:
        since = since.where(AuditEvent.created_at > newest[1])
    last = select(AuditEvent).where(AuditEvent.action == VERIFIED)
    last = last.order_by(AuditEvent.created_at.desc(), AuditEvent.id.desc()).limit(1)
    verified = await work.session.scalar(last)
    return TrailView(
        seals=newest[0] if newest else 0,
        sealed_events=sealed,
        unsealed_events=await work.session.scalar(since) or 0,
        sealed_until=newest[1] if newest else None,
        sealed_at=newest[2] if newest else None,
        head_hash=newest[3].hex() if newest else None,
        last_verification=verified and _verified(verified),
    )


async def start_verification(work: Work, queue: Queue) -> UUID:
    """Have the trail verified in the background. Gives the job; there is one at a time."""
    work.require(Permission.AUDIT_READ)
    job = await queue.enqueue(work, VERIFY, {}, dedup_key=VERIFY)
    record(work, "audit.verification_started", "job", job.id)
    return job.id


def _conditions(wanted: EventFilter) -> list[ColumnElement[bool]]:
    same = (
        (AuditEvent.actor_id, wanted.actor_id),
        (AuditEvent.target_type, wanted.target_type),
        (AuditEvent.target_id, wanted.target_id),
        (AuditEvent.api_key_id, wanted.api_key_id),
        (AuditEvent.request_id, wanted.request_id),
        (AuditEvent.ip, wanted.ip),
    )
    found: list[ColumnElement[bool]] = [c == value for c, value in same if value is not None]
    if wanted.since is not None:
        found.append(AuditEvent.created_at >= wanted.since)
    if wanted.until is not None:
        found.append(AuditEvent.created_at < wanted.until)
    return found


async def _actions(work: Work, prefix: str) -> list[str]:
    """The tenant's actions that begin so. Each is looked up behind the one before it in the index,
    so it costs as many steps as there are different actions, and not as there are events."""
    own = AuditEvent.tenant_id == work.tenant_id
    first = select(func.min(AuditEvent.action).label("action")).select_from(AuditEvent).where(own)
    known = first.cte("known", recursive=True)
    following: Select[Any] = (
        select(func.min(AuditEvent.action)).select_from(AuditEvent).where(own)
    ).where(AuditEvent.action > known.c.action)
    known = known.union_all(select(following.scalar_subquery()).where(known.c.action.is_not(None)))
    every = await work.session.scalars(select(known.c.action))
    return [action for action in every if action is not None and action.startswith(prefix)]


def _verified(event: AuditEvent) -> Verified:
    facts = event.facts
    return Verified(
        at=event.created_at,
        sound=facts["sound"],
        wrong=facts.get("wrong"),
        what=facts.get("what"),
    )
