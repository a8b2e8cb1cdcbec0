"""Signing in through a tenant's identity provider, step by step.

OpenID Connect's authorization code flow with PKCE (RFC 9700). As in `signin`, what takes long, here
the network, happens outside of any unit of work.
"""

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import UUID

import structlog

from maestro_ml.db.work import open_system_work
from maestro_ml.identity import id_tokens, tokens
from maestro_ml.identity.amr import MFA, SINGLE_SIGN_ON
from maestro_ml.identity.entering import Entered, enter
from maestro_ml.identity.errors_sso import (
    IdentityProviderNotFound,
    IdentityProviderUnavailable,
    NextRefused,
    SingleSignOnRefused,
)
from maestro_ml.identity.id_tokens import TokenRefused, Vouched
from maestro_ml.identity.issuers import Client, IssuerFailed, Metadata
from maestro_ml.identity.models import IdentityProvider
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.schemas_sso import SentBack
from maestro_ml.identity.service import oidc
from maestro_ml.limits.rates import Rate

log = structlog.get_logger()
# A path of ours and nothing that a browser reads as another site: no //, no \, nothing invisible.
_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]{0,499}")


@dataclass(frozen=True, slots=True)
class Begun:
    """Where the browser goes, and what it keeps meanwhile."""

    location: str
    browser: str


def redirect_uri(identity: Identity, provider: UUID) -> str:
    """Each provider has one of its own, so that none can pass for another (RFC 9700, 4.4)."""
    return f"{identity.settings.url}/api/v1/auth/oidc/callback/{provider}"


def seal(identity: Identity, provider: UUID, secret: str) -> bytes:
    """A client secret as it is kept."""
    return identity.secret.seal(secret.encode(), f"identity provider {provider}")


STARTS = Rate(100, 5 * 60)  # from one address, which may be a whole office's


async def begin(identity: Identity, tenant: str, slug: str, next: str) -> Begun:
    """Send a browser to an identity provider.

    Raises:
        NextRefused: `next` leads off this server.
        IdentityProviderNotFound: nobody can sign in through such a one.
        IdentityProviderUnavailable: it does not answer as it should.
        TooManyAttempts: there were too many from this address.
    """
    await identity.limits.wrong("single-sign-on", STARTS)
    if _PATH.fullmatch(next) is None:
        raise NextRefused
    async with open_system_work(identity.sessions, read_only=True) as work:
        provider = (await oidc.named(work, tenant, slug)).row
    metadata = await _metadata(identity, provider)
    state, browser = tokens.mint(tokens.STATE), tokens.mint(tokens.STATE)
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        await oidc.begin(work, provider.id, state=state, browser=browser, next=next)
    challenge = sha256(_derived(identity, "verifier", state).encode()).digest()
    asked = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": redirect_uri(identity, provider.id),
        "scope": " ".join(dict.fromkeys(("openid", *provider.scopes))),
        "state": state,
        "nonce": _derived(identity, "nonce", state),
        "code_challenge": _text(challenge),
        "code_challenge_method": "S256",
    }
    joint = "&" if urlsplit(metadata.authorization_endpoint).query else "?"
    return Begun(f"{metadata.authorization_endpoint}{joint}{urlencode(asked)}", browser)


async def finish(
    identity: Identity, provider_id: UUID, returned: SentBack, browser: str
) -> tuple[Entered, str]:
    """Sign in whom the provider vouches for; beside it, where the browser goes next.

    Raises:
        SingleSignOnRefused: this browser did not begin it, it is used up or too old, or what came
            back proves nothing.
        SingleSignOnNoAccount: there is no account for the person, and none is made.
        IdentityProviderUnavailable: the provider does not answer as it should.
        QuotaExceeded: the tenant is full.
        TooManyAttempts: too many from this address were refused.
    """
    try:
        return await _finish(identity, provider_id, returned, browser)
    except SingleSignOnRefused:
        await identity.limits.wrong("single-sign-on-refused")
        raise


async def _finish(
    identity: Identity, provider_id: UUID, returned: SentBack, browser: str
) -> tuple[Entered, str]:
    for one in (returned.state, browser):
        if not tokens.well_formed(one, tokens.STATE):
            raise _refused(provider_id, "no state, or no cookie")
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        next = await oidc.spend(work, provider_id, state=returned.state, browser=browser)
    if next is None:
        raise _refused(provider_id, "not begun here, used up or too old")
    try:
        async with open_system_work(identity.sessions, read_only=True) as work:
            provider = (await oidc.get(work, provider_id)).row
        vouched = await _vouched(identity, provider, returned)
        async with open_system_work(identity.sessions, clock=identity.clock) as work:
            current = await oidc.get(work, provider_id)
            user = await oidc.admit(work, identity, current, vouched)
            tenant_id = current.tenant.id
            twice = current.row.trusts_mfa and vouched.by_two_factors
            amr = [SINGLE_SIGN_ON, MFA] if twice else [SINGLE_SIGN_ON]
            return await enter(work, identity, user, tenant_id, web=True, amr=amr), next
    except IdentityProviderNotFound:  # switched off meanwhile
        raise _refused(provider_id, "the provider or its tenant is switched off") from None


async def _vouched(identity: Identity, provider: IdentityProvider, returned: SentBack) -> Vouched:
    metadata = await _metadata(identity, provider)
    if returned.iss != provider.issuer and (returned.iss or metadata.names_itself):
        raise _refused(provider.id, "the answer is another issuer's")
    if returned.error is not None or not returned.code:
        raise _refused(provider.id, "the provider refused")
    secret = provider.secret_sealed and identity.secret.unseal(
        provider.secret_sealed, f"identity provider {provider.id}"
    )
    client = Client(
        provider.client_id,
        secret.decode() if secret else None,
        redirect_uri(identity, provider.id),
    )
    verifier = _derived(identity, "verifier", returned.state)
    try:
        token = await identity.issuers.exchange(metadata, client, returned.code, verifier)
        header = id_tokens.header_of(token)
        return id_tokens.verify(
            token,
            header,
            await _key(identity, metadata, header.kid),
            issuer=provider.issuer,
            client_id=provider.client_id,
            nonce=_derived(identity, "nonce", returned.state),
            now=identity.clock(),
        )
    except IssuerFailed as failed:
        raise _refused(provider.id, str(failed)) from None
    except TokenRefused as refused:
        raise _refused(provider.id, f"the ID token: {refused}") from None


async def _key(identity: Identity, metadata: Metadata, kid: str) -> Mapping[str, Any]:
    keys = await identity.issuers.keys(metadata)
    if kid not in keys:
        keys = await identity.issuers.keys(metadata, fresh=True)
    if kid not in keys:
        raise TokenRefused("its key is not the issuer's")
    return keys[kid]


async def _metadata(identity: Identity, provider: IdentityProvider) -> Metadata:
    try:
        return await identity.issuers.metadata(provider.issuer)
    except IssuerFailed as failed:
        log.warning("identity.issuer_failed", provider=str(provider.id), reason=str(failed))
        raise IdentityProviderUnavailable from None


def _refused(provider: UUID, reason: str) -> SingleSignOnRefused:
    log.info("identity.sso_refused", provider=str(provider), reason=reason)
    return SingleSignOnRefused()


def _derived(identity: Identity, what: str, state: str) -> str:
    """Known to whoever has the state and the server's secret: so neither needs to be kept."""
    key = identity.secret.derive(f"oidc {what}")
    return _text(hmac.new(key, state.encode(), sha256).digest())


def _text(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
