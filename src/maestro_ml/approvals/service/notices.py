"""Mails to those who are to decide, and to who has asked. They hold no link, and of what people
have written only what the thing is called."""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select

from maestro_ml.approvals.models import ApprovalRequest, ApprovalState
from maestro_ml.approvals.service.lookup import names_of
from maestro_ml.approvals.service.voters import deciders, parties_to
from maestro_ml.core.access import Permission
from maestro_ml.db.work import Work
from maestro_ml.identity.models import User, UserKind
from maestro_ml.mail.service import one_line, send

_SPAN = timedelta(hours=1)
_MOST = 10  # requests of one person within that time of which others are told
_READERS = 50
_ENDS = {
    ApprovalState.GRANTED: "was granted, and has happened",
    ApprovalState.OVERRIDDEN: "was let through by an admin, past the votes",
    ApprovalState.REJECTED: "was rejected",
    ApprovalState.EXPIRED: "has expired",
}


async def tell_deciders(work: Work, request: ApprovalRequest) -> None:
    """That a vote of theirs is waited for; of who asks all the time they are told no more."""
    work.require(Permission.APPROVAL_READ, request.project_id)
    recent = select(func.count()).select_from(ApprovalRequest)
    recent = recent.where(
        ApprovalRequest.requested_by == request.requested_by,
        ApprovalRequest.created_at > work.now - _SPAN,
    )
    if (await work.session.scalar(recent) or 0) > _MOST:
        return
    parties = await parties_to(work, request.id)
    able = [
        id
        for id, role in (await deciders(work, request)).items()
        if id not in parties and role.rank >= request.role_needed.rank
    ]
    names = await names_of(work, {request.requested_by})
    who = one_line(names.get(request.requested_by, "Somebody"))
    await _send(
        work,
        able[:_READERS],
        kind="approval.requested",
        subject=f"Your vote is asked for: {_about(request)}",
        text=f"{who} asks for approval: {_about(request)}.\n\n"
        f"    maestro approvals show {request.id}\n"
        f"    maestro approvals approve {request.id}\n\n"
        f"It expires on {request.expires_at:%Y-%m-%d %H:%M} UTC.\n",
    )


async def tell_requester(work: Work, request: ApprovalRequest) -> None:
    """How it ended, unless they have ended it themselves."""
    work.require(Permission.APPROVAL_READ, request.project_id)
    if request.state not in _ENDS or request.ended_by == request.requested_by:
        return
    await _send(
        work,
        [request.requested_by],
        kind="approval.ended",
        subject=f"{_about(request)}: {request.state}",
        text=f"What you have asked for {_ENDS[request.state]}: {_about(request)}.\n\n"
        f"    maestro approvals show {request.id}\n",
    )


async def _send(work: Work, ids: Collection[UUID], *, kind: str, subject: str, text: str) -> None:
    """To people, as far as they can be reached: a machine has no address."""
    people = select(User.email).where(
        User.id.in_(set(ids)), User.active, User.kind == UserKind.PERSON
    )
    for email in await work.session.scalars(people.order_by(User.id)):
        await send(work, to=email, kind=kind, subject=f"Maestro ML: {subject}", text=text)


def _about(request: ApprovalRequest) -> str:
    if request.target is None:
        return one_line(f"take the alias {request.alias} away from {request.name}")
    return one_line(f"{request.name} as {request.alias}")
