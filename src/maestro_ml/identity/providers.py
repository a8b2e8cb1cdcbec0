"""What an admin does about identity providers, step by step: the network comes first, and outside
of any unit of work."""

from collections.abc import Iterable
from functools import partial
from uuid import UUID

from maestro_ml.core.access import Access, Permission
from maestro_ml.db.work import Work, open_work
from maestro_ml.identity import single_sign_on
from maestro_ml.identity.issuers import IssuerFailed
from maestro_ml.identity.models import IdentityProvider
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.schemas_sso import (
    IdentityProviderChange,
    IdentityProviderCreate,
    IdentityProviderTest,
    IdentityProviderView,
)
from maestro_ml.identity.service import identity_providers as service
from maestro_ml.tenancy.models import Tenant


async def add(
    identity: Identity, access: Access, command: IdentityProviderCreate
) -> IdentityProviderView:
    """Let an issuer vouch for the people of the caller's tenant.

    Raises:
        AddressRefused: the server does not call such an issuer.
        Forbidden, Unauthenticated: the caller is no admin any more, or not there.
        IdentityProviderSlugTaken: the tenant uses the slug.
    """
    access.require(Permission.IDENTITY_PROVIDER_WRITE)
    await identity.outbound.check(command.issuer)
    # For as long as their own name server likes to think, an admin may have been one.
    access = await identity.anew(access)
    async with open_work(identity.sessions, access, clock=identity.clock) as work:
        made = await service.create(work, command, partial(single_sign_on.seal, identity))
        return (await views(work, identity, [made]))[0]


async def change(
    work: Work, identity: Identity, id: UUID, command: IdentityProviderChange
) -> IdentityProvider:
    """Change what is sent.

    Raises:
        IdentityProviderNotFound: the tenant has no such one.
    """
    return await service.change(work, id, command, partial(single_sign_on.seal, identity))


async def test(identity: Identity, access: Access, id: UUID) -> IdentityProviderTest:
    """Ask the issuer now for what a sign-in will ask it for.

    Raises:
        IdentityProviderNotFound: the tenant has no such one.
    """
    access.require(Permission.IDENTITY_PROVIDER_WRITE)
    async with open_work(identity.sessions, access, read_only=True) as work:
        issuer = (await service.get(work, id)).issuer
    try:
        metadata = await identity.issuers.metadata(issuer, fresh=True)
        keys = await identity.issuers.keys(metadata, fresh=True)
    except IssuerFailed as failed:
        return IdentityProviderTest(works=False, detail=str(failed))
    return IdentityProviderTest(
        works=bool(keys),
        detail="It answers as OpenID Connect asks." if keys else "It shows no key with an id.",
        authorization_endpoint=metadata.authorization_endpoint,
        token_endpoint=metadata.token_endpoint,
        signing_keys=len(keys),
    )


async def views(
    work: Work, identity: Identity, rows: Iterable[IdentityProvider]
) -> list[IdentityProviderView]:
    """As their admin sees them: without the secret, with the addresses that belong to them."""
    tenant = await work.session.get_one(Tenant, work.tenant_id)
    return [
        IdentityProviderView(
            id=row.id,
            name=row.name,
            slug=row.slug,
            issuer=row.issuer,
            client_id=row.client_id,
            has_secret=row.secret_sealed is not None,
            scopes=row.scopes,
            allowed_domains=row.allowed_domains,
            groups_claim=row.groups_claim,
            group_roles=row.group_roles,
            default_role=row.default_role,
            trusts_mfa=row.trusts_mfa,
            enabled=row.enabled,
            created_at=row.created_at,
            updated_at=row.updated_at,
            start_path=f"/api/v1/auth/oidc/{tenant.slug}/{row.slug}/start",
            redirect_uri=single_sign_on.redirect_uri(identity, row.id),
        )
        for row in rows
    ]
