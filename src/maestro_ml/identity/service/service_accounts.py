"""Service accounts: machines with a place in one tenant, no password, and keys only.

They count as users of the tenant: each takes a seat.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update

from maestro_ml.audit.service import record
from maestro_ml.core.access import Permission, Role
from maestro_ml.core.ids import new_id
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.paging import page_of
from maestro_ml.db.work import AccountWork, Work
from maestro_ml.identity.errors_admin import ServiceAccountNameTaken, ServiceAccountNotFound
from maestro_ml.identity.models import Membership, ServiceAccount, User, UserKind
from maestro_ml.identity.ports import Projects
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.schemas_members import MemberChange
from maestro_ml.identity.schemas_services import ServiceAccountChange, ServiceAccountCreate
from maestro_ml.identity.service import accounts, admins, standing

# No such domain can exist, so nobody signs in, registers or is invited with the address.
_NOWHERE = "service.invalid"
_OF_THE_PLACE = frozenset({"role", "active"})


@dataclass(frozen=True, slots=True)
class Machine:
    """A service account as it stands in its tenant."""

    id: UUID
    name: str
    description: str
    role: Role
    active: bool
    created_by: UUID | None
    created_at: datetime


async def create(work: AccountWork, command: ServiceAccountCreate) -> Machine:
    """Make one. It can do nothing until it is given a key.

    Raises:
        ServiceAccountNameTaken: another one of the tenant has the name.
        QuotaExceeded: the tenant has no seat left.
    """
    work.require(Permission.USER_WRITE)
    if command.role is Role.ADMIN:
        work.require(Permission.ADMIN_APPOINT)
    await admins.stay(work)
    id = new_id()
    address = f"{id.hex}@{_NOWHERE}"
    user = User(
        id=id,
        email=address,
        email_norm=address,
        name=command.name,
        kind=UserKind.SERVICE,
        created_at=work.now,
        updated_at=work.now,
    )
    work.session.add(user)
    await work.session.flush()
    place = await accounts.join(work, user, work.tenant_id, command.role)
    account = ServiceAccount(
        id=id,
        name=command.name,
        description=command.description,
        created_by=work.access.actor_id,
        created_at=work.now,
    )
    account.tenant_id = work.tenant_id
    work.session.add(account)
    await work.flush_or(ServiceAccountNameTaken(command.name))
    record(work, "service_account.created", "user", id, name=account.name, role=place.role)
    return _machine(account, place)


async def search(work: Work, request: PageRequest) -> Page[Machine]:
    """A page of the tenant's, the newest first.

    Raises:
        Invalid: the cursor is not one of this list.
    """
    work.require(Permission.USER_READ)
    page = await page_of(work.session, select(ServiceAccount), ServiceAccount, request)
    query = select(Membership).where(Membership.user_id.in_([one.id for one in page.items]))
    places = {place.user_id: place for place in await work.session.scalars(query)}
    there = [one for one in page.items if one.id in places]  # not removed at this moment
    return Page([_machine(one, places[one.id]) for one in there], page.next_cursor)


async def get(work: Work, id: UUID) -> Machine:
    """Read one.

    Raises:
        ServiceAccountNotFound: the tenant has none of that id.
    """
    work.require(Permission.USER_READ)
    account = await work.session.get(ServiceAccount, id)
    if account is None:
        raise ServiceAccountNotFound
    place = await work.session.scalars(select(Membership).where(Membership.user_id == id))
    return _machine(account, place.one())


async def change(
    work: AccountWork, identity: Identity, id: UUID, command: ServiceAccountChange
) -> Machine:
    """Change what was sent. A new role, or none, counts from its next request on.

    Raises:
        ServiceAccountNotFound: the tenant has none of that id.
        ServiceAccountNameTaken: another one of the tenant has the name.
    """
    work.require(Permission.USER_WRITE)
    account = await _hold(work, id)
    sent = command.model_dump()
    of_the_place = {name: sent.pop(name) for name in _OF_THE_PLACE & sent.keys()}
    changed = {name: value for name, value in sent.items() if value != getattr(account, name)}
    for name, value in changed.items():
        setattr(account, name, value)
    await work.flush_or(ServiceAccountNameTaken(account.name))
    if changed:
        named = update(User).where(User.id == id)
        await work.session.execute(named.values(name=account.name, updated_at=work.now))
        record(work, "service_account.changed", "user", id, fields=sorted(changed))
    if of_the_place:
        await standing.change(work, identity, id, MemberChange(**of_the_place))
    query = select(Membership).where(
        Membership.tenant_id == work.tenant_id, Membership.user_id == id
    )
    return _machine(account, (await work.session.scalars(query)).one())


async def delete(work: AccountWork, identity: Identity, projects: Projects, id: UUID) -> None:
    """Remove one with its keys. What it made stays.

    Raises:
        ServiceAccountNotFound: the tenant has none of that id.
    """
    work.require(Permission.USER_WRITE)
    await _hold(work, id)
    await standing.remove(work, identity, projects, id)


async def _hold(work: AccountWork, id: UUID) -> ServiceAccount:
    query = select(ServiceAccount).where(
        ServiceAccount.tenant_id == work.tenant_id, ServiceAccount.id == id
    )
    account = (await work.session.scalars(query)).one_or_none()
    if account is None:
        raise ServiceAccountNotFound
    return account


def _machine(account: ServiceAccount, place: Membership) -> Machine:
    return Machine(
        id=account.id,
        name=account.name,
        description=account.description,
        role=place.role,
        active=place.active,
        created_by=account.created_by,
        created_at=account.created_at,
    )
