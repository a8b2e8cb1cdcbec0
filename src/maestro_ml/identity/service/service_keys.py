"""The API keys of service accounts, which a tenant's admin makes and ends for them."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select

from maestro_ml.core.access import Permission
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.paging import page_of
from maestro_ml.db.work import AccountWork
from maestro_ml.identity.errors import UserNotFound
from maestro_ml.identity.errors_admin import ServiceAccountNotFound
from maestro_ml.identity.models import ApiKey, Membership, ServiceAccount
from maestro_ml.identity.ports import ProjectSeen
from maestro_ml.identity.schemas_keys import ApiKeyCreate, NewApiKey
from maestro_ml.identity.service import api_keys


async def create(
    work: AccountWork,
    account_id: UUID,
    command: ApiKeyCreate,
    *,
    only: Collection[UUID] | None,
    default: ProjectSeen | None,
) -> NewApiKey:
    """Make a key for a service account.

    Raises:
        ServiceAccountNotFound: the tenant has none of that id.
        Forbidden: it asks for more than the account's role has.
    """
    work.require(Permission.SERVICE_KEY_WRITE)
    place = await _place(work, account_id)
    try:
        return await api_keys.add(work, account_id, place.role, command, only=only, default=default)
    except UserNotFound:  # removed at this moment
        raise ServiceAccountNotFound from None


async def search(work: AccountWork, account_id: UUID, request: PageRequest) -> Page[ApiKey]:
    """A page of a service account's keys, the newest first.

    Raises:
        ServiceAccountNotFound: the tenant has none of that id.
        Invalid: the cursor is not one of this list.
    """
    work.require(Permission.SERVICE_KEY_READ)
    await _place(work, account_id)
    theirs = api_keys.keys_of(account_id, work.tenant_id)
    return await page_of(work.session, select(ApiKey).where(*theirs), ApiKey, request)


async def revoke(work: AccountWork, account_id: UUID, id: UUID) -> None:
    """End a key of a service account.

    Raises:
        ServiceAccountNotFound: the tenant has none of that id.
        ApiKeyNotFound: it has no such key, or the key has ended.
    """
    work.require(Permission.SERVICE_KEY_WRITE)
    await _place(work, account_id)
    await api_keys.end(work, id, account_id)


async def _place(work: AccountWork, account_id: UUID) -> Membership:
    query = (
        select(Membership)
        .join(ServiceAccount, ServiceAccount.id == Membership.user_id)
        .where(
            Membership.tenant_id == work.tenant_id,
            ServiceAccount.tenant_id == work.tenant_id,
            ServiceAccount.id == account_id,
        )
    )
    place = (await work.session.scalars(query)).one_or_none()
    if place is None:
        raise ServiceAccountNotFound
    return place
