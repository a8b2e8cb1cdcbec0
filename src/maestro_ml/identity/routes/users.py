"""`/api/v1/users`: the people of a tenant, and who is invited to be one."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from maestro_ml.core.paging import Page
from maestro_ml.core.schemas import PageView, Text
from maestro_ml.http.deps import Paging, Reading, Writing
from maestro_ml.identity.models import Invitation
from maestro_ml.identity.schemas_members import (
    InvitationCreate,
    InvitationView,
    MemberChange,
    MemberView,
    NewInvitation,
)
from maestro_ml.identity.service import invitations, members
from maestro_ml.identity.service.members import Member

router = APIRouter(prefix="/users", tags=["users"])


# Before `/{id}`, which would take the word for an id.
@router.post("/invitations", status_code=201, response_model=NewInvitation)
async def invite_user(work: Writing, body: InvitationCreate) -> NewInvitation:
    """Offer somebody a place in your tenant. The token works once, for seven days, and is shown
    in this answer only; an older offer to the same address stops working. For admins."""
    return await invitations.create(work, body)


@router.get("/invitations", response_model=PageView[InvitationView])
async def list_invitations(work: Reading, paging: Paging) -> Page[Invitation]:
    """The offers that can still be accepted, the newest first. For admins."""
    return await invitations.search(work, paging)


@router.delete("/invitations/{id}", status_code=204)
async def revoke_invitation(work: Writing, id: UUID) -> None:
    """Take an offer back. For admins."""
    await invitations.revoke(work, id)


@router.get("", response_model=PageView[MemberView])
async def list_users(
    work: Reading,
    paging: Paging,
    q: Annotated[
        Text | None, Query(max_length=200, description="Found in the name or the e-mail address.")
    ] = None,
) -> Page[Member]:
    """The people of your tenant, who joined last first. For admins."""
    return await members.search(work, q, paging)


@router.get("/{id}", response_model=MemberView)
async def read_user(work: Reading, id: UUID) -> Member:
    """Read one of your tenant's people. For admins."""
    return await members.get(work, id)


@router.patch("/{id}", response_model=MemberView)
async def change_user(work: Writing, id: UUID, body: MemberChange) -> Member:
    """Give somebody another role in your tenant. It counts from their next request on; the last
    admin stays one. For admins."""
    return await members.change(work, id, body)
