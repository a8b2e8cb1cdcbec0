"""`/api/v1/outbox`."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request

from maestro_ml.core.paging import Page
from maestro_ml.core.schemas import PageView
from maestro_ml.http.deps import Account, AccountReading, Paging
from maestro_ml.mail import service
from maestro_ml.mail.models import Mail
from maestro_ml.mail.post import Post
from maestro_ml.mail.schemas import MailText, MailView

router = APIRouter(prefix="/outbox", tags=["outbox"])


async def _post(request: Request) -> Post:
    post: Post = request.app.state.post
    return post


@router.get("", response_model=PageView[MailView])
async def list_mails(work: AccountReading, paging: Paging) -> Page[Mail]:
    """What the server has mailed or would mail, the newest first; kept for 30 days. For platform
    admins, in a session."""
    return await service.search(work, paging)


@router.get("/{id}", response_model=MailText)
async def read_mail(work: Account, post: Annotated[Post, Depends(_post)], id: UUID) -> MailText:
    """Read one mail. Where no SMTP server is set, its one-time link is there to be passed on; who
    read it is in the audit trail. For platform admins, in a session."""
    return await service.read(work, post, id)
