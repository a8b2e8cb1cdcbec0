"""When sessions and API keys were last used: written in bulk, beside the requests."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import update

from maestro_ml.db.work import SystemWork
from maestro_ml.identity.models import ApiKey, Session


async def note(
    work: SystemWork, sessions: Mapping[UUID, datetime], keys: Mapping[UUID, datetime]
) -> None:
    for id, at in sorted(sessions.items()):
        await work.session.execute(
            update(Session).where(Session.id == id, Session.last_seen_at < at),
            {"last_seen_at": at},
        )
    for id, at in sorted(keys.items()):
        await work.session.execute(update(ApiKey).where(ApiKey.id == id), {"last_used_at": at})
