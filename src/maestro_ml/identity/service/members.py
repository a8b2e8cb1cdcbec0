"""The people of a tenant, and what they are in it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import or_, select

from maestro_ml.audit.service import record
from maestro_ml.core.access import Permission, Role
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.paging import page_of
from maestro_ml.db.work import Work
from maestro_ml.identity.errors import LastAdmin, UserNotFound
from maestro_ml.identity.models import Membership, User, UserKind
from maestro_ml.identity.schemas_members import MemberChange


@dataclass(frozen=True, slots=True)
class Member:
    """An account as it stands in the tenant."""

    id: UUID
    email: str
    name: str
    role: Role
    active: bool
    verified: bool
    joined_at: datetime
    created_at: datetime
    last_login_at: datetime | None


async def search(work: Work, q: str | None, request: PageRequest) -> Page[Member]:
    """A page of the tenant's people, who joined last first.

    Raises:
        Invalid: the cursor is not one of this list.
    """
    work.require(Permission.USER_READ)
    query = select(Membership)
    if q:
        wanted = or_(*(f.icontains(q, autoescape=True) for f in (User.name, User.email)))
        query = query.join(User, User.id == Membership.user_id).where(wanted)
    page = await page_of(work.session, query, Membership, request)
    return Page(await _named(work, page.items), page.next_cursor)


async def get(work: Work, id: UUID) -> Member:
    """Read one. Who is in another tenant only is not there.

    Raises:
        UserNotFound: the tenant has no such person.
    """
    work.require(Permission.USER_READ)
    query = select(Membership).where(Membership.user_id == id)
    membership = (await work.session.scalars(query)).one_or_none()
    if membership is None:
        raise UserNotFound
    return (await _named(work, [membership]))[0]


async def change(work: Work, id: UUID, command: MemberChange) -> Member:
    """Give somebody another role. It counts from their next request on.

    Raises:
        UserNotFound: the tenant has no such person.
        LastAdmin: the tenant would be left without an admin.
    """
    work.require(Permission.USER_WRITE)
    # The tenant's admins are locked with the person, so that two who demote each other take turns.
    held = await work.session.scalars(
        select(Membership)
        .where(or_(Membership.user_id == id, Membership.role == Role.ADMIN))
        .order_by(Membership.id)
        .with_for_update(key_share=True)  # teams may refer to them meanwhile
    )
    memberships = {membership.user_id: membership for membership in held}
    membership = memberships.pop(id, None)
    if membership is None:
        raise UserNotFound
    before = membership.role
    if command.role is not before:
        if before is Role.ADMIN:
            await _check_enter(work, set(memberships))
        membership.role = command.role
        await work.session.flush()
        record(work, "member.changed", "user", id, before=before, role=command.role)
    return (await _named(work, [membership]))[0]


async def _check_enter(work: Work, others: set[UUID]) -> None:
    """One of the other admins can sign in."""
    query = select(User.id).where(User.id.in_(others), User.active, User.kind == UserKind.PERSON)
    if (await work.session.scalars(query.limit(1))).first() is None:
        raise LastAdmin


async def _named(work: Work, memberships: list[Membership]) -> list[Member]:
    query = select(User).where(User.id.in_({m.user_id for m in memberships}))
    people = {user.id: user for user in await work.session.scalars(query)}
    return [_member(people[m.user_id], m) for m in memberships if m.user_id in people]


def _member(user: User, membership: Membership) -> Member:
    return Member(
        id=user.id,
        email=user.email,
        name=user.name,
        role=membership.role,
        active=user.active,
        verified=user.verified,
        joined_at=membership.created_at,
        created_at=user.created_at,
        last_login_at=user.last_login_at,
    )
