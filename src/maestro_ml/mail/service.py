"""Mail as a row: it is in the outbox if and only if what it tells of has happened."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import delete, select

from maestro_ml.audit.service import record_for
from maestro_ml.core.access import Permission
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.paging import page_of
from maestro_ml.db.work import AccountWork, SystemWork, Work
from maestro_ml.jobs.service import enqueue_internal
from maestro_ml.mail.errors import MailNotFound
from maestro_ml.mail.models import Mail
from maestro_ml.mail.post import Post
from maestro_ml.mail.schemas import MailText, MailView
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID

DELIVER = "mail.deliver"
MAX_ATTEMPTS = 20  # the last one is ten hours after the first
_LONGEST_SUBJECT = 200


async def send(
    work: SystemWork | Work,
    *,
    to: str,
    subject: str,
    text: str,
    kind: str,
    link: bytes | None = None,
) -> None:
    """Put a mail into the outbox, as part of this unit of work; a job takes it from there.

    A one-time link is not written down: it comes sealed, and takes the place of `post.LINK` in the
    text when the mail is read.
    """
    mail = Mail(
        kind=kind,
        recipient=to,
        subject=one_line(subject)[:_LONGEST_SUBJECT],
        text=text,
        link_sealed=link,
        created_at=work.now,
    )
    work.session.add(mail)
    await work.session.flush()
    payload = {"mail_id": str(mail.id)}
    await enqueue_internal(work, DELIVER, payload, max_attempts=MAX_ATTEMPTS)


async def search(work: AccountWork, request: PageRequest) -> Page[Mail]:
    """A page of the outbox, the newest first, without what the mails say.

    Raises:
        Invalid: the cursor is not one of this list.
    """
    work.require(Permission.OUTBOX_READ)
    return await page_of(work.session, select(Mail), Mail, request)


async def read(work: AccountWork, post: Post, id: UUID) -> MailText:
    """One mail with its text. That somebody read it is written down.

    Raises:
        MailNotFound: the outbox has none of that id.
    """
    work.require(Permission.OUTBOX_READ)
    mail = await work.session.get(Mail, id)
    if mail is None:
        raise MailNotFound
    record_for(
        work,
        work.access.tenant_id or DEFAULT_TENANT_ID,
        "mail.read",
        "mail",
        id,
        access=work.access,
        kind=mail.kind,
    )
    return MailText(**MailView.model_validate(mail).model_dump(), text=post.shown(mail))


async def forget(work: SystemWork, addresses: Collection[str]) -> None:
    """Delete every mail to these addresses: whoever had them is gone."""
    await work.session.execute(
        delete(Mail)
        .where(Mail.recipient.in_(addresses))
        .execution_options(synchronize_session=False)
    )


def one_line(text: str) -> str:
    """Names come from other people: in a mail none of them starts a line or a header."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
