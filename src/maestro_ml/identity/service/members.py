"""The people of a tenant, and its service accounts: who sees them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, not_, or_, select

from maestro_ml.core.access import Permission, Role
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.paging import Sort, page_of
from maestro_ml.db.work import Work
from maestro_ml.identity.errors import UserNotFound
from maestro_ml.identity.models import Membership, User, UserKind
from maestro_ml.identity.schemas_members import MemberFilter, MemberOrder

_ORDERS: Mapping[MemberOrder, Sort | None] = {
    MemberOrder.NEWEST: None,
    MemberOrder.OLDEST: Sort("joined_at", Membership.created_at),
    MemberOrder.NAME: Sort("name", User.name),
    MemberOrder.NAME_DOWN: Sort("name", User.name, descending=True),
    MemberOrder.EMAIL: Sort("email", User.email_norm),
    MemberOrder.EMAIL_DOWN: Sort("email", User.email_norm, descending=True),
}


@dataclass(frozen=True, slots=True)
class Member:
    """An account as it stands in the tenant."""

    id: UUID
    kind: UserKind
    email: str
    name: str
    role: Role
    active: bool
    disabled: bool
    verified: bool
    joined_at: datetime
    created_at: datetime
    last_login_at: datetime | None

    @classmethod
    def of(cls, user: User, membership: Membership) -> "Member":
        return cls(
            id=user.id,
            kind=user.kind,
            email=user.email,
            name=user.name,
            role=membership.role,
            active=membership.active and user.active,
            disabled=not user.active,
            verified=user.verified,
            joined_at=membership.created_at,
            created_at=user.created_at,
            last_login_at=user.last_login_at,
        )


async def search(
    work: Work, wanted: MemberFilter, request: PageRequest, order: MemberOrder
) -> Page[Member]:
    """A page of who has a place in the tenant.

    Raises:
        Invalid: the cursor is not one of this list and order.
    """
    work.require(Permission.USER_READ)
    query = select(Membership).join(User, User.id == Membership.user_id)
    if wanted.q:
        fields = (User.name, User.email)
        query = query.where(or_(*(f.icontains(wanted.q, autoescape=True) for f in fields)))
    if wanted.role is not None:
        query = query.where(Membership.role == wanted.role)
    if wanted.kind is not None:
        query = query.where(User.kind == wanted.kind)
    if wanted.active is not None:
        both = and_(Membership.active, User.active)
        query = query.where(both if wanted.active else not_(both))
    page = await page_of(work.session, query, Membership, request, sort=_ORDERS[order])
    people = await work.session.scalars(
        select(User).where(User.id.in_({m.user_id for m in page.items}))
    )
    named = {user.id: user for user in people}  # who was removed at this moment is not
    return Page(
        [Member.of(named[m.user_id], m) for m in page.items if m.user_id in named], page.next_cursor
    )


async def get(work: Work, id: UUID) -> Member:
    """Read one. Who is in another tenant only is not there.

    Raises:
        UserNotFound: the tenant has no such person.
    """
    work.require(Permission.USER_READ)
    query = select(Membership).where(Membership.user_id == id)
    membership = (await work.session.scalars(query)).one_or_none()
    user = (await work.session.scalars(select(User).where(User.id == id))).one_or_none()
    if membership is None or user is None:
        raise UserNotFound
    return Member.of(user, membership)
