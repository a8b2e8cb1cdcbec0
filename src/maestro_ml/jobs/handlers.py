"""What the worker runs of this package."""

from datetime import timedelta

import structlog
from sqlalchemy import delete

from maestro_ml.jobs.context import JobContext
from maestro_ml.jobs.models import ENDED, Job

log = structlog.get_logger()
KEPT = timedelta(days=30)


async def prune(job: JobContext) -> None:
    """Forget jobs that ended more than 30 days ago."""
    async with job.open_system_work() as work:
        gone = await work.session.scalars(
            delete(Job)
            .where(Job.state.in_(ENDED), Job.finished_at < work.now - KEPT)
            .returning(Job.id)
            .execution_options(synchronize_session=False)
        )
        count = len(gone.all())
    log.info("jobs.pruned", count=count)  # not in the result, which one tenant can read
