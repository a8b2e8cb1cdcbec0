"""Who vouches for a tenant's people, and signing in through a browser."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypedDict, Unpack
from uuid import UUID

from pydantic import Field

from maestro_ml.client.errors import MfaRequired
from maestro_ml.client.paging import pages
from maestro_ml.client.transport import Transport, segment
from maestro_ml.client.views import Answer, Challenge, SignIn


class IdentityProvider(Answer):
    """An OpenID Connect issuer that vouches for the tenant's people."""

    id: UUID
    name: str
    slug: str
    issuer: str
    client_id: str
    has_secret: bool
    scopes: list[str]
    allowed_domains: list[str]
    groups_claim: str | None = None
    group_roles: dict[str, str] = {}
    default_role: str
    trusts_mfa: bool
    enabled: bool
    start_path: str
    redirect_uri: str
    created_at: datetime
    updated_at: datetime


class IdentityProviderTest(Answer):
    """What the issuer says of itself."""

    works: bool
    detail: str
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    signing_keys: int = 0


class DeviceLogin(Answer):
    """A sign-in that waits for somebody's approval in a browser."""

    device_code: str = Field(repr=False)
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


class DevicePending(Answer):
    """Who waits under a code."""

    client: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    created_at: datetime
    expires_at: datetime


class ProviderFields(TypedDict, total=False):
    scopes: Sequence[str]
    allowed_domains: Sequence[str]
    groups_claim: str | None
    group_roles: Mapping[str, str]
    default_role: str
    trusts_mfa: bool
    enabled: bool


class ProviderChanges(ProviderFields, total=False):
    name: str
    client_id: str
    client_secret: str | None


class IdentityProviders:
    """For admins of the tenant."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[IdentityProvider]:
        return pages(self._transport, "/identity-providers", IdentityProvider)

    def create(
        self,
        name: str,
        *,
        slug: str,
        issuer: str,
        client_id: str,
        client_secret: str | None = None,
        **fields: Unpack[ProviderFields],
    ) -> IdentityProvider:
        """Let an issuer vouch for people. Enter the answer's `redirect_uri` at the issuer."""
        body = {
            "name": name,
            "slug": slug,
            "issuer": issuer,
            "client_id": client_id,
            "client_secret": client_secret,
            **fields,
        }
        answer = self._transport.ask("POST", "/identity-providers", json=body)
        return IdentityProvider.model_validate(answer)

    def get(self, id: UUID | str) -> IdentityProvider:
        answer = self._transport.ask("GET", f"/identity-providers/{segment(id)}")
        return IdentityProvider.model_validate(answer)

    def update(self, id: UUID | str, **changes: Unpack[ProviderChanges]) -> IdentityProvider:
        """Change what is given, and nothing else."""
        path = f"/identity-providers/{segment(id)}"
        answer = self._transport.ask("PATCH", path, json=dict(changes))
        return IdentityProvider.model_validate(answer)

    def delete(self, id: UUID | str) -> None:
        """Nobody signs in through it any more. Accounts stay."""
        self._transport.ask("DELETE", f"/identity-providers/{segment(id)}")

    def test(self, id: UUID | str) -> IdentityProviderTest:
        """Ask the issuer now for what a sign-in will ask it for."""
        answer = self._transport.ask("POST", f"/identity-providers/{segment(id)}/test")
        return IdentityProviderTest.model_validate(answer)


class DeviceLogins:
    """Signing in where there is no browser, by approving it where there is one (RFC 8628)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def start(self, client: str | None = None) -> DeviceLogin:
        """Begin. Show the person the link and the code, and ask `finish` every `interval`."""
        answer = self._transport.ask("POST", "/auth/device", json={"client": client})
        return DeviceLogin.model_validate(answer)

    def finish(self, device_code: str) -> SignIn:
        """The session, once it is approved. The client acts in it from now on.

        Raises:
            MaestroApiError: `code` is authorization-pending or slow-down (ask again later),
                access-denied or expired-token.
            MfaRequired: it was approved, and the account got a second factor meanwhile.
        """
        body = {"device_code": device_code}
        told = self._transport.ask("POST", "/auth/device/token", json=body)
        if told.get("mfa_required"):
            raise MfaRequired(Challenge.model_validate(told))
        answer = SignIn.model_validate(told)
        self._transport.act_as(answer.access_token)
        return answer

    def pending(self, user_code: str) -> DevicePending:
        """Who waits under a code. In a session only."""
        asked = {"user_code": user_code}
        answer = self._transport.ask("GET", "/auth/device/pending", params=asked)
        return DevicePending.model_validate(answer)

    def approve(self, user_code: str) -> None:
        """Let them act as you. In a session only."""
        self._transport.ask("POST", "/auth/device/approve", json={"user_code": user_code})

    def deny(self, user_code: str) -> None:
        """Turn them away. In a session only."""
        self._transport.ask("POST", "/auth/device/deny", json={"user_code": user_code})
