"""What somebody may do in a tenant, and whether they are in it at all.

Accounts lie above tenants, so each query here names the tenant. A tenant keeps an admin who can
sign in: whoever changes one holds all of them, so that two who remove each other take turns.
"""

from uuid import UUID

from sqlalchemy import delete, or_, select, update

from maestro_ml.audit.service import record
from maestro_ml.core.access import Permission, Role
from maestro_ml.db.work import AccountWork
from maestro_ml.identity.errors import LastAdmin, UserNotFound
from maestro_ml.identity.models import (
    ApiKey,
    Invitation,
    Membership,
    User,
    UserKind,
)
from maestro_ml.identity.ports import Projects
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.schemas_members import MemberChange
from maestro_ml.identity.service import admins, sessions
from maestro_ml.identity.service.admins import is_admin
from maestro_ml.identity.service.members import Member
from maestro_ml.tenancy import service as tenancy


async def change(work: AccountWork, identity: Identity, id: UUID, command: MemberChange) -> Member:
    """Give somebody another role, or take their access away or give it back. It counts from their
    next request on.

    Raises:
        UserNotFound: the tenant has no such person.
        LastAdmin: the tenant would be left without an admin.
    """
    work.require(Permission.USER_WRITE)
    membership, others = await _hold(work, id)
    user = await work.session.get_one(User, id)
    before, was_admin = membership.role, is_admin(membership)
    changed = {
        name: value
        for name, value in command.model_dump().items()
        if value != getattr(membership, name)
    }
    for name, value in changed.items():
        setattr(membership, name, value)
    if membership.role is Role.ADMIN and (before is not Role.ADMIN or changed.get("active")):
        work.require(Permission.ADMIN_APPOINT)
    if was_admin and not is_admin(membership):
        await _another_admin(work, others)
    await work.session.flush()
    if "role" in changed:
        record(work, "member.changed", "user", id, before=before, role=membership.role)
    if "active" in changed:
        action = "member.reactivated" if membership.active else "member.deactivated"
        record(work, action, "user", id)
    if not membership.active:
        await sessions.end_in_tenant(work, identity, id, work.tenant_id, "deactivated")
    return Member.of(user, membership)


async def remove(work: AccountWork, identity: Identity, projects: Projects, id: UUID) -> None:
    """Take somebody out of the tenant: their sessions and API keys in it end, and what they made
    stays. A person's account lives on elsewhere; a service account is nowhere else, and goes.

    Raises:
        UserNotFound: the tenant has no such person.
        LastAdmin: the tenant would be left without an admin.
    """
    work.require(Permission.USER_WRITE)
    membership, others = await _hold(work, id)
    user = await work.session.get_one(User, id)
    heir = work.access.actor_id
    if is_admin(membership):
        another = await _another_admin(work, others)
        heir = another if heir == id else heir
    # The order of locks is that of decision 0008: place, account, offers, tenant, projects.
    await sessions.end_in_tenant(work, identity, id, work.tenant_id, "removed")
    await work.session.execute(
        update(ApiKey)
        .where(
            ApiKey.user_id == id, ApiKey.tenant_id == work.tenant_id, ApiKey.revoked_at.is_(None)
        )
        .values(revoked_at=work.now)
    )
    await work.session.execute(  # an older offer is no way back
        update(Invitation)
        .where(
            Invitation.tenant_id == work.tenant_id,
            Invitation.email_norm == user.email_norm,
            Invitation.accepted_at.is_(None),
            Invitation.revoked_at.is_(None),
        )
        .values(revoked_at=work.now)
    )
    await tenancy.give_back_user_seat(work, work.tenant_id)
    await projects.hand_over(work, work.access, id, heir)
    gone = user if user.kind is UserKind.SERVICE else membership
    await work.session.execute(delete(type(gone)).where(type(gone).id == gone.id))
    record(work, "member.removed", "user", id, kind=user.kind, role=membership.role)


async def sign_out(work: AccountWork, identity: Identity, id: UUID) -> None:
    """End every session that somebody has in the tenant. API keys stay.

    Raises:
        UserNotFound: the tenant has no such person.
    """
    work.require(Permission.USER_WRITE)
    await _hold(work, id)
    await sessions.end_in_tenant(work, identity, id, work.tenant_id, "signed_out")
    record(work, "member.signed_out", "user", id)


async def _hold(work: AccountWork, id: UUID) -> tuple[Membership, set[UUID]]:
    """A place in the tenant, and who else is an admin there; nobody changes these meanwhile.

    Raises:
        Forbidden: the caller is none any more.
        UserNotFound: the tenant has no such person.
    """
    held = await work.session.scalars(
        select(Membership)
        .where(
            Membership.tenant_id == work.tenant_id,
            or_(Membership.user_id == id, Membership.role == Role.ADMIN),
        )
        .order_by(Membership.id)
        .with_for_update(key_share=True)  # teams may refer to them meanwhile
    )
    memberships = {membership.user_id: membership for membership in held}
    admins.check(work, memberships.values())
    membership = memberships.pop(id, None)
    if membership is None:
        raise UserNotFound
    return membership, {user_id for user_id, other in memberships.items() if is_admin(other)}


async def _another_admin(work: AccountWork, others: set[UUID]) -> UUID:
    """One of the other admins, who can sign in."""
    query = select(User.id).where(User.id.in_(others), User.active, User.kind == UserKind.PERSON)
    found: UUID | None = await work.session.scalar(query.order_by(User.id).limit(1))
    if found is None:
        raise LastAdmin
    return found
