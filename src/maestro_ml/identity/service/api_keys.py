"""API keys: what a person gives to machines and to the MLflow client."""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, true, update

from maestro_ml.audit.service import record, record_for
from maestro_ml.core.access import Permission, Role, Scope
from maestro_ml.core.errors import Forbidden
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.paging import page_of
from maestro_ml.db.work import AccountWork
from maestro_ml.identity import tokens
from maestro_ml.identity.errors import ApiKeyNotFound, TooManyApiKeys, UserNotFound
from maestro_ml.identity.models import ApiKey, User
from maestro_ml.identity.ports import ProjectSeen
from maestro_ml.identity.schemas_keys import ApiKeyCreate, ApiKeyView, NewApiKey
from maestro_ml.identity.service import sessions

_SHOWN = 4
MOST = 100  # keys of one person in one tenant


async def create(
    work: AccountWork,
    command: ApiKeyCreate,
    *,
    only: Collection[UUID] | None,
    default: ProjectSeen | None,
) -> NewApiKey:
    """Make a key of the caller's own, for the tenant they act in. What it is given to reach was
    looked up as they see it.

    Raises:
        Forbidden: it asks for more than the caller's role has.
        TooManyApiKeys: the caller has as many as one may.
    """
    work.require(Permission.API_KEY_WRITE)
    owner = work.access.actor_id
    return await add(work, owner, work.access.role, command, only=only, default=default)


async def add(
    work: AccountWork,
    owner: UUID,
    role: Role | None,
    command: ApiKeyCreate,
    *,
    only: Collection[UUID] | None,
    default: ProjectSeen | None,
) -> NewApiKey:
    """Make a key in the caller's tenant for somebody who has that role there.

    Raises:
        Forbidden: it asks for more than the role has.
        TooManyApiKeys: they have as many as one may.
        UserNotFound: they are removed at this moment.
    """
    work.require(Permission.API_KEY_WRITE)
    if Scope.ADMIN in command.scopes and role is not Role.ADMIN:
        raise Forbidden("Only an admin of the tenant has a key with the scope `admin`.")
    # The owner's row first: keys of one account are made one by one, and count right.
    if await work.session.get(User, owner, with_for_update={"key_share": True}) is None:
        raise UserNotFound
    alive = select(func.count()).select_from(ApiKey)
    alive = alive.where(*keys_of(owner, work.tenant_id), ApiKey.expires_at > work.now)
    if (await work.session.scalar(alive) or 0) >= MOST:
        raise TooManyApiKeys(MOST)
    secret = tokens.mint(tokens.API_KEY)
    key = ApiKey(
        user_id=owner,
        tenant_id=work.tenant_id,
        name=command.name,
        hash=tokens.digest(secret),
        prefix=secret[: len(tokens.API_KEY) + _SHOWN],
        last_four=secret[-_SHOWN:],
        scopes=[scope.value for scope in Scope if scope in command.scopes],
        project_ids=None if only is None else [str(id) for id in only],
        default_project_id=default.id if default else None,
        created_at=work.now,
        expires_at=work.now + timedelta(days=command.expires_in_days),
    )
    work.session.add(key)
    await work.session.flush()
    record(
        work,
        "api_key.created",
        "api_key",
        key.id,
        name=key.name,
        scopes=key.scopes,
        project_ids=key.project_ids,
        expires_at=key.expires_at.isoformat(),
        **({} if owner == work.access.actor_id else {"owner_id": str(owner)}),
    )
    await _tell(work, "api-key.created", key)
    view = ApiKeyView.model_validate(key)
    return NewApiKey(
        **view.model_dump(), secret=secret, default_project=default.slug if default else None
    )


async def search(work: AccountWork, request: PageRequest) -> Page[ApiKey]:
    """A page of the caller's own keys for this tenant, the newest first.

    Raises:
        Invalid: the cursor is not one of this list.
    """
    work.require(Permission.API_KEY_READ)
    own = keys_of(work.access.actor_id, work.access.tenant_id)
    return await page_of(work.session, select(ApiKey).where(*own), ApiKey, request)


async def revoke(work: AccountWork, id: UUID) -> None:
    """End a key of the caller's own.

    Raises:
        ApiKeyNotFound: they have no such key here, or it has ended.
    """
    work.require(Permission.API_KEY_WRITE)
    await end(work, id, work.access.actor_id)


async def revoke_all(work: AccountWork) -> None:
    """End every key of the caller's own, as far as their sessions end: in every tenant, or in the
    one whose identity provider vouches for them."""
    work.require(Permission.SESSION_END)
    tenant_id = await sessions.confined_to(work)
    here = ApiKey.tenant_id == tenant_id if tenant_id else true()
    ended = await work.session.scalars(
        update(ApiKey)
        .where(ApiKey.user_id == work.access.actor_id, ApiKey.revoked_at.is_(None), here)
        .values(revoked_at=work.now)
        .returning(ApiKey)
    )
    for key in ended.all():
        record_for(work, key.tenant_id, "api_key.revoked", "api_key", key.id, access=work.access)
        await _tell(work, "api-key.revoked", key)


async def end(work: AccountWork, id: UUID, owner: UUID) -> None:
    """End a key that somebody has in the caller's tenant.

    Raises:
        ApiKeyNotFound: they have no such key here, or it has ended.
    """
    work.require(Permission.API_KEY_WRITE)
    ended = await work.session.scalar(
        update(ApiKey)
        .where(ApiKey.id == id, *keys_of(owner, work.access.tenant_id))
        .values(revoked_at=work.now)
        .returning(ApiKey)
    )
    if ended is None:
        raise ApiKeyNotFound
    record(work, "api_key.revoked", "api_key", id)
    await _tell(work, "api-key.revoked", ended)


async def _tell(work: AccountWork, event: str, key: ApiKey) -> None:
    facts = {"key_id": str(key.id), "name": key.name, "owner_id": str(key.user_id)}
    await work.tell(key.tenant_id, event, **facts)


def keys_of(owner: UUID, tenant_id: UUID | None) -> tuple[ColumnElement[bool], ...]:
    """API keys lie above tenants: each query names whose and where."""
    return (
        ApiKey.user_id == owner,
        ApiKey.tenant_id == tenant_id,
        ApiKey.revoked_at.is_(None),
    )
