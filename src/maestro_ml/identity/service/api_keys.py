"""API keys: what a person gives to machines and to the MLflow client."""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, select, update

from maestro_ml.audit.service import record
from maestro_ml.core.access import Permission, Role, Scope
from maestro_ml.core.errors import Forbidden
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.paging import page_of
from maestro_ml.db.work import AccountWork
from maestro_ml.identity import tokens
from maestro_ml.identity.errors import ApiKeyNotFound
from maestro_ml.identity.models import ApiKey
from maestro_ml.identity.ports import ProjectSeen
from maestro_ml.identity.schemas_keys import ApiKeyCreate, ApiKeyView, NewApiKey

_SHOWN = 4


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
    """
    work.require(Permission.API_KEY_WRITE)
    tenant_id = work.access.tenant_id
    if tenant_id is None or (Scope.ADMIN in command.scopes and work.access.role is not Role.ADMIN):
        raise Forbidden("Only an admin of the tenant gives a key the scope `admin`.")
    secret = tokens.mint(tokens.API_KEY)
    key = ApiKey(
        user_id=work.access.actor_id,
        tenant_id=tenant_id,
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
    )
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
    return await page_of(work.session, select(ApiKey).where(*_own(work)), ApiKey, request)


async def revoke(work: AccountWork, id: UUID) -> None:
    """End a key of the caller's own.

    Raises:
        ApiKeyNotFound: they have no such key here, or it has ended.
    """
    work.require(Permission.API_KEY_WRITE)
    ended = await work.session.scalar(
        update(ApiKey)
        .where(ApiKey.id == id, *_own(work))
        .values(revoked_at=work.now)
        .returning(ApiKey.id)
    )
    if ended is None:
        raise ApiKeyNotFound
    record(work, "api_key.revoked", "api_key", id)


def _own(work: AccountWork) -> tuple[ColumnElement[bool], ...]:
    """API keys lie above tenants: each query names whose and where."""
    return (
        ApiKey.user_id == work.access.actor_id,
        ApiKey.tenant_id == work.access.tenant_id,
        ApiKey.revoked_at.is_(None),
    )
