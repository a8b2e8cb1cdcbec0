"""`/api/v1/users`: the people of a tenant, and who is invited to be one."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from maestro_ml.core.paging import Page
from maestro_ml.core.schemas import PageView
from maestro_ml.http.deps import Account, Caller, Paging, Reading, Writing
from maestro_ml.identity import inviting, self_service
from maestro_ml.identity.models import Invitation
from maestro_ml.identity.routes.api_keys import TheProjects
from maestro_ml.identity.runtime import TheIdentity
from maestro_ml.identity.schemas_members import (
    InvitationCreate,
    InvitationView,
    MemberChange,
    MemberFilter,
    MemberOrder,
    MemberView,
    NewInvitation,
)
from maestro_ml.identity.schemas_self_service import Mailed
from maestro_ml.identity.service import invitations, members, standing
from maestro_ml.identity.service.members import Member

router = APIRouter(prefix="/users", tags=["users"])


async def _wanted(wanted: Annotated[MemberFilter, Query()]) -> MemberFilter:
    return wanted


# Before `/{id}`, which would take the word for an id.
@router.post("/invitations", status_code=201, response_model=NewInvitation)
async def invite_user(
    work: Writing, identity: TheIdentity, body: InvitationCreate
) -> NewInvitation:
    """Offer somebody a place in your tenant. They are mailed a link; its token works once, for
    seven days, and is in this answer, too. An older offer to the same address stops working. For
    admins."""
    return await inviting.invite(work, identity, body)


@router.get("/invitations", response_model=PageView[InvitationView])
async def list_invitations(work: Reading, paging: Paging) -> Page[Invitation]:
    """The offers that can still be accepted, the newest first. For admins."""
    return await invitations.search(work, paging)


@router.post("/invitations/{id}/resend", response_model=NewInvitation)
async def resend_invitation(work: Writing, identity: TheIdentity, id: UUID) -> NewInvitation:
    """Mail an offer again, with a new token that works for seven days; the old one stops working.
    For admins."""
    return await inviting.resend(work, identity, id)


@router.delete("/invitations/{id}", status_code=204)
async def revoke_invitation(work: Writing, id: UUID) -> None:
    """Take an offer back. For admins."""
    await invitations.revoke(work, id)


@router.get("", response_model=PageView[MemberView])
async def list_users(
    work: Reading,
    paging: Paging,
    wanted: Annotated[MemberFilter, Depends(_wanted)],
    sort: MemberOrder = MemberOrder.NEWEST,
) -> Page[Member]:
    """The people and service accounts of your tenant. For admins."""
    return await members.search(work, wanted, paging, sort)


@router.get("/{id}", response_model=MemberView)
async def read_user(work: Reading, id: UUID) -> Member:
    """Read one of your tenant's people. For admins."""
    return await members.get(work, id)


@router.patch("/{id}", response_model=MemberView)
async def change_user(work: Account, identity: TheIdentity, id: UUID, body: MemberChange) -> Member:
    """Give somebody another role in your tenant, or take their access to it away for a while. It
    counts from their next request on; the last admin stays one. For admins."""
    return await standing.change(work, identity, id, body)


@router.delete("/{id}", status_code=204)
async def remove_user(
    work: Account, identity: TheIdentity, projects: TheProjects, id: UUID
) -> None:
    """Take somebody out of your tenant: their sessions and API keys in it end, and what they made
    stays. Private projects that nobody else maintains are yours to maintain. Their account lives
    on elsewhere. The last admin stays. For admins."""
    await standing.remove(work, identity, projects, id)


@router.post("/{id}/password-reset", status_code=202, response_model=Mailed)
async def start_password_reset(identity: TheIdentity, caller: Caller, id: UUID) -> Mailed:
    """Have a link for a new password mailed to one of your tenant's people. Nobody but they see it
    or choose the password. For admins."""
    await self_service.start_reset(identity, caller, id)
    return Mailed(detail="If they sign in with a password, a link for a new one is on its way.")


@router.post("/{id}/sign-out", status_code=204)
async def sign_out_user(work: Account, identity: TheIdentity, id: UUID) -> None:
    """End every session that somebody has in your tenant, on every device. API keys stay. For
    admins."""
    await standing.sign_out(work, identity, id)
