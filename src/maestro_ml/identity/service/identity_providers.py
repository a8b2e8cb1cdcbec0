"""The OpenID Connect issuers that a tenant lets vouch for its people."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import select

from maestro_ml.audit.service import record
from maestro_ml.core.access import Permission
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.paging import page_of
from maestro_ml.db.work import Work
from maestro_ml.identity.errors_sso import IdentityProviderNotFound, IdentityProviderSlugTaken
from maestro_ml.identity.models import IdentityProvider
from maestro_ml.identity.schemas_sso import IdentityProviderChange, IdentityProviderCreate
from maestro_ml.identity.service import admins

Seal = Callable[[UUID, str], bytes]


async def create(work: Work, command: IdentityProviderCreate, seal: Seal) -> IdentityProvider:
    """Let an issuer vouch for the tenant's people. Its address has been checked.

    Raises:
        IdentityProviderSlugTaken: the tenant uses the slug.
    """
    work.require(Permission.IDENTITY_PROVIDER_WRITE)
    await admins.stay(work)
    provider = IdentityProvider(
        **command.model_dump(exclude={"client_secret", "group_roles"}),
        group_roles=_plain(command.group_roles),
        created_at=work.now,
        updated_at=work.now,
    )
    if command.client_secret is not None:
        provider.secret_sealed = seal(provider.id, command.client_secret.get_secret_value())
    work.session.add(provider)
    await work.flush_or(IdentityProviderSlugTaken(command.slug))
    record(
        work,
        "identity_provider.created",
        "identity_provider",
        provider.id,
        slug=provider.slug,
        issuer=provider.issuer,
        allowed_domains=provider.allowed_domains,
        group_roles=provider.group_roles,
        trusts_mfa=provider.trusts_mfa,
    )
    return provider


async def search(work: Work, request: PageRequest) -> Page[IdentityProvider]:
    """A page of the tenant's identity providers, the newest first.

    Raises:
        Invalid: the cursor is not one of this list.
    """
    work.require(Permission.IDENTITY_PROVIDER_READ)
    return await page_of(work.session, select(IdentityProvider), IdentityProvider, request)


async def get(work: Work, id: UUID) -> IdentityProvider:
    """Read one.

    Raises:
        IdentityProviderNotFound: the tenant has no such one.
    """
    work.require(Permission.IDENTITY_PROVIDER_READ)
    return await _found(work, id)


async def change(
    work: Work, id: UUID, command: IdentityProviderChange, seal: Seal
) -> IdentityProvider:
    """Change what is sent. It counts from the next sign-in on.

    Raises:
        IdentityProviderNotFound: the tenant has no such one.
    """
    work.require(Permission.IDENTITY_PROVIDER_WRITE)
    await admins.stay(work)
    provider = await _found(work, id, for_update=True)
    sent = command.model_dump(exclude_unset=True, exclude={"client_secret"})
    if command.group_roles is not None:
        sent["group_roles"] = _plain(command.group_roles)
    # Null means "as it is", except for what may be absent: this, and the secret.
    sent = {name: v for name, v in sent.items() if v is not None or name == "groups_claim"}
    before = {name: getattr(provider, name) for name in sent}
    told: dict[str, Any] = {
        name: {"before": before[name], "now": value}
        for name, value in sent.items()
        if value != before[name]
    }
    for name in told:
        setattr(provider, name, sent[name])
    fields = sorted(told)
    if "client_secret" in command.model_fields_set:
        secret = command.client_secret
        provider.secret_sealed = None if secret is None else seal(id, secret.get_secret_value())
        fields = sorted([*told, "client_secret"])
    provider.updated_at = work.now
    await work.session.flush()
    record(work, "identity_provider.changed", "identity_provider", id, fields=fields, **told)
    return provider


async def delete(work: Work, id: UUID) -> None:
    """Nobody signs in through it any more. Accounts stay; sessions that it began go on.

    Raises:
        IdentityProviderNotFound: the tenant has no such one.
    """
    work.require(Permission.IDENTITY_PROVIDER_WRITE)
    provider = await _found(work, id, for_update=True)
    await work.session.delete(provider)
    await work.session.flush()
    record(
        work,
        "identity_provider.deleted",
        "identity_provider",
        id,
        slug=provider.slug,
        issuer=provider.issuer,
    )


async def _found(work: Work, id: UUID, *, for_update: bool = False) -> IdentityProvider:
    provider = await work.session.get(IdentityProvider, id, with_for_update=for_update or None)
    if provider is None:
        raise IdentityProviderNotFound
    return provider


def _plain(roles: dict[str, Any]) -> dict[str, str]:
    return {group: str(role) for group, role in roles.items()}
