"""Inviting people: the offer, and the mail that brings it to them."""

from uuid import UUID

from maestro_ml.db.work import AccountWork, SystemWork, Work
from maestro_ml.identity import letters
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.schemas_members import (
    InvitationCreate,
    NewInvitation,
    NewTenant,
    TenantFound,
)
from maestro_ml.identity.service import invitations
from maestro_ml.tenancy.models import Tenant


async def invite(work: Work, identity: Identity, command: InvitationCreate) -> NewInvitation:
    """Offer somebody a place in the caller's tenant, and mail it to them.

    Raises:
        AlreadyMember: they have a place.
    """
    offer = await invitations.create(work, command)
    await _mail(work, identity, offer, await _tenant_name(work))
    return offer


async def resend(work: Work, identity: Identity, id: UUID) -> NewInvitation:
    """Mail an open offer again, with a new token; the old one stops working.

    Raises:
        InvitationNotFound: the tenant has no such open one.
    """
    offer = await invitations.renew(work, id)
    await _mail(work, identity, offer, await _tenant_name(work))
    return offer


async def found_tenant(work: AccountWork, identity: Identity, command: TenantFound) -> NewTenant:
    """Make a tenant, and mail the offer to who is to be its first admin.

    Raises:
        TenantSlugTaken: another one has the slug.
    """
    made = await invitations.found_tenant(work, command)
    await _mail(work, identity, made.invitation, made.tenant.name)
    return made


async def _tenant_name(work: Work) -> str:
    return (await work.session.get_one(Tenant, work.tenant_id)).name


async def _mail(
    work: SystemWork | Work, identity: Identity, offer: NewInvitation, tenant: str
) -> None:
    link = letters.link(identity, letters.INVITATION_PAGE, offer.token)
    await letters.invitation(work, offer.email, link, tenant=tenant, role=offer.role)
