"""What the worker runs of this package."""

from datetime import timedelta

import structlog
from sqlalchemy import delete, or_

from maestro_ml.identity.models import RefreshToken, Session
from maestro_ml.jobs.context import JobContext

log = structlog.get_logger()
KEPT = timedelta(days=30)  # ended sessions, for whoever looks into what happened


async def prune(job: JobContext) -> None:
    """Forget sessions that ended more than 30 days ago, with their refresh tokens."""
    async with job.open_system_work() as work:
        before = work.now - KEPT
        dead = or_(Session.expires_at < before, Session.revoked_at < before)
        gone = await work.session.scalars(
            delete(Session)
            .where(dead)
            .returning(Session.id)
            .execution_options(synchronize_session=False)
        )
        count = len(gone.all())
        await work.session.execute(
            delete(RefreshToken)
            .where(RefreshToken.expires_at < before)
            .execution_options(synchronize_session=False)
        )
    log.info("identity.pruned", sessions=count)  # not in the result, which one tenant can read
