"""What the worker runs of this package."""

from datetime import timedelta

import structlog
from sqlalchemy import or_

from maestro_ml.db import pruning
from maestro_ml.jobs.context import JobContext
from maestro_ml.jobs.models import ENDED, PLATFORM, Job, JobState

log = structlog.get_logger()
KEPT = timedelta(days=30)
ROUTINE = timedelta(days=1)  # what comes every minute and went well tells nobody anything
ROUTINES = PLATFORM - {"tenants.delete"}  # whose result is a proof


async def prune(job: JobContext) -> None:
    """Forget jobs that ended more than 30 days ago; the platform's own that went well, a day."""
    now = job.clock()
    old = Job.state.in_(ENDED) & (Job.finished_at < now - KEPT)
    routine = Job.kind.in_(ROUTINES) & (Job.state == JobState.DONE)
    count = await pruning.prune(
        job.open_system_work, Job, or_(old, routine & (Job.finished_at < now - ROUTINE))
    )
    log.info("jobs.pruned", count=count)  # not in the result, which one tenant can read
