"""Write down who changed what, in the transaction that changes it: no record, no change."""

from typing import Any
from uuid import UUID

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Access, ActorKind
from maestro_ml.core.context import origin
from maestro_ml.db.work import AccountWork, SystemWork, Work


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
