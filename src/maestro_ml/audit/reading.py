"""Events as they are shown, with the names of who acted. The names lie above tenants, so each page
takes two short units of work, one after the other."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from maestro_ml.audit import service
from maestro_ml.audit.models import AuditEvent
from maestro_ml.audit.schemas import AuditEventView, EventFilter
from maestro_ml.audit.service import Called
from maestro_ml.core.access import SYSTEM_ACTOR, Access, ActorKind
from maestro_ml.core.clock import Clock
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.work import Sessions, open_system_work, open_work

GONE, PLATFORM = "deleted account", "system"


async def page(
    sessions: Sessions, access: Access, wanted: EventFilter, request: PageRequest, *, clock: Clock
) -> Page[AuditEventView]:
    """A page of the caller's tenant's events, the newest first.

    Raises:
        Invalid: the cursor is not one of this list.
    """
    async with open_work(sessions, access, read_only=True, clock=clock) as work:
        found = await service.search(work, wanted, request)
    return Page(await named(sessions, found.items), found.next_cursor)


async def named(sessions: Sessions, events: Sequence[AuditEvent]) -> list[AuditEventView]:
    """With how the accounts that acted are known now."""
    ids = {event.actor_id for event in events} - {None, SYSTEM_ACTOR}
    known: dict[UUID, Called] = {}
    if ids:
        async with open_system_work(sessions, read_only=True) as work:
            known = await service.called(work, {id for id in ids if id is not None})
    return [
        AuditEventView(
            id=event.id,
            created_at=event.created_at,
            action=event.action,
            actor_id=event.actor_id,
            actor_kind=event.actor_kind,
            actor_name=_name(event, known),
            actor_email=_email(event, known),
            target_type=event.target_type,
            target_id=event.target_id,
            facts=event.facts,
            api_key_id=event.api_key_id,
            ip=event.ip,
            user_agent=event.user_agent,
            request_id=event.request_id,
        )
        for event in events
    ]


def _name(event: AuditEvent, known: Mapping[UUID, Called]) -> str | None:
    if event.actor_kind is ActorKind.SYSTEM:
        return PLATFORM
    if event.actor_id is None:
        return None
    return known[event.actor_id].name if event.actor_id in known else GONE


def _email(event: AuditEvent, known: Mapping[UUID, Called]) -> str | None:
    """A machine's is made up."""
    if event.actor_kind is not ActorKind.USER or event.actor_id is None:
        return None
    return known[event.actor_id].email if event.actor_id in known else None
