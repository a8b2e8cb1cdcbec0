"""Who stands behind a service account."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Permission
from maestro_ml.db.work import Work


async def people_behind(work: Work, ids: Collection[UUID]) -> set[UUID]:
    """Whoever made one of these service accounts, or a key for it. Read from the trail, where it
    stands for good: the account and the key may be gone by now. Of people it finds nobody."""
    work.require(Permission.TENANT_READ)
    named = [str(id) for id in ids]
    if not named:
        return set()
    made = select(AuditEvent.actor_id).where(
        AuditEvent.action == "service_account.created", AuditEvent.target_id.in_(named)
    )
    given = select(AuditEvent.actor_id).where(
        AuditEvent.action == "api_key.created",
        AuditEvent.facts["owner_id"].as_string().in_(named),
    )
    found = {*await work.session.scalars(made), *await work.session.scalars(given)}
    return {id for id in found if id is not None}
