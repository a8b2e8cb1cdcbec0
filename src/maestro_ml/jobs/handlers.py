"""What the worker runs of this package."""

from datetime import timedelta

import structlog

from maestro_ml.db import pruning
from maestro_ml.jobs.context import JobContext
from maestro_ml.jobs.models import ENDED, HIDDEN, Job, JobState

log = structlog.get_logger()
KEPT = timedelta(days=30)
ROUTINE = timedelta(days=1)  # what comes every minute and went well tells nobody anything
ROUTINES = HIDDEN - {"tenants.delete"}  # whose result is a proof


async def prune(job: JobContext) -> None:
    """Forget jobs that ended more than 30 days ago; the platform's own that went well, a day."""
    now = job.clock()
    went_well = (Job.state == JobState.DONE) & (Job.finished_at < now - ROUTINE)
    count = await pruning.prune(job.open_system_work, Job, went_well, Job.kind.in_(ROUTINES))
    for state in sorted(ENDED):  # each by itself, so that the index finds them
        ended = (Job.state == state) & (Job.finished_at < now - KEPT)
        count += await pruning.prune(job.open_system_work, Job, ended)
    log.info("jobs.pruned", count=count)  # not in the result, which one tenant can read
