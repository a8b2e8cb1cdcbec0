"""What the worker runs of this package."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import update

from maestro_ml.db import pruning
from maestro_ml.jobs.context import JobContext
from maestro_ml.mail.errors import MailDelayed, MailRefused
from maestro_ml.mail.models import Mail, MailState
from maestro_ml.mail.post import Post

log = structlog.get_logger()
KEPT = timedelta(days=30)


async def deliver(job: JobContext, *, post: Post | None = None) -> None:
    """Hand one mail to the SMTP server; without one it is kept in the outbox.

    A server that takes no mail for now is tried again, for about ten hours. If this process dies
    between the server's yes and writing that down, the mail goes out twice, under one id.
    """
    id = UUID(job.payload["mail_id"])
    if post is None or not post.leaves:
        await _end(job, id, state=MailState.KEPT)
        return
    async with job.open_system_work() as work:
        mail = await work.session.get(Mail, id)
    if mail is None or mail.state is not MailState.WAITING:
        return
    try:
        await post.hand_over(mail)
    except MailRefused as refused:
        log.warning("mail.refused", kind=mail.kind, mail_id=str(id))
        await _end(job, id, state=MailState.FAILED, error=refused.detail)
    except MailDelayed as delayed:
        if job.attempt < job.max_attempts:
            await _note(job, id, error=delayed.detail)
        else:
            await _end(job, id, state=MailState.FAILED, error=delayed.detail)
        raise
    else:
        await _end(job, id, state=MailState.SENT, error=None, text=None, link_sealed=None)


async def prune(job: JobContext) -> None:
    """Forget mails that are older than 30 days."""
    old = Mail.created_at < job.clock() - KEPT
    count = await pruning.prune(job.open_system_work, Mail, old)
    log.info("mail.pruned", count=count)  # not in the result, which one tenant can read


async def _end(job: JobContext, id: UUID, **values: Any) -> None:
    await _note(job, id, ended_at=job.clock(), **values)


async def _note(job: JobContext, id: UUID, **values: Any) -> None:
    async with job.open_system_work() as work:
        await work.session.execute(
            update(Mail)
            .where(Mail.id == id, Mail.state == MailState.WAITING)
            .values(values)
            .execution_options(synchronize_session=False)
        )
