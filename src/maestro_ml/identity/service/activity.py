"""When sessions and API keys were last used: written in bulk, beside the requests.

What somebody else is changing is passed over, so that this waits for nobody (decision 0008).
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update

from maestro_ml.db.work import SystemWork
from maestro_ml.identity.models import ApiKey, Session


async def note(
    work: SystemWork, sessions: Mapping[UUID, datetime], keys: Mapping[UUID, datetime]
) -> None:
    for id, at in sessions.items():
        free = select(Session.id).where(Session.id == id, Session.last_seen_at < at)
        await work.session.execute(
            update(Session)
            .where(Session.id.in_(free.with_for_update(skip_locked=True)))
            .values(last_seen_at=at)
            .execution_options(synchronize_session=False)
        )
    for id, at in keys.items():
        free = select(ApiKey.id).where(ApiKey.id == id)
        await work.session.execute(
            update(ApiKey)
            .where(ApiKey.id.in_(free.with_for_update(skip_locked=True)))
            .values(last_used_at=at)
            .execution_options(synchronize_session=False)
        )
