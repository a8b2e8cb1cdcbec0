"""People, what they are in a tenant, and what proves that they are who they say."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    UniqueConstraint,
    select,
)
from sqlalchemy.orm import Mapped, mapped_column

from maestro_ml.core.access import Role
from maestro_ml.db.base import Base, Row, TenantOwned, TenantSeen
from maestro_ml.identity.amr import PASSWORD


class UserKind(StrEnum):
    PERSON = "person"
    SERVICE = "service"


class User(TenantSeen, Row, kw_only=True):
    """An account. It belongs to no tenant; memberships say where it may act."""

    __tablename__ = "users"

    email: Mapped[str]
    email_norm: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    kind: Mapped[UserKind] = mapped_column(default=UserKind.PERSON)
    password_hash: Mapped[str | None] = mapped_column(default=None)
    active: Mapped[bool] = mapped_column(default=True)
    verified: Mapped[bool] = mapped_column(default=False)
    platform_admin: Mapped[bool] = mapped_column(default=False)
    meta: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    last_login_at: Mapped[datetime | None] = mapped_column(default=None)

    @classmethod
    def seen_by(cls, tenant: UUID) -> ColumnElement[bool]:
        return cls.id.in_(select(Membership.user_id).where(Membership.tenant_id == tenant))


class Membership(TenantOwned, Row, kw_only=True):
    """A user in a tenant, with a role. Not active: it gives no access, and keeps its seat."""

    __tablename__ = "memberships"
    __table_args__ = (UniqueConstraint("tenant_id", "user_id"), Index(None, "user_id"))

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    role: Mapped[Role]
    active: Mapped[bool] = mapped_column(default=True)


class ServiceAccount(TenantOwned, Row, kw_only=True):
    """What a tenant says of a machine: a user of kind `service`, by that user's id. It has a place
    in this tenant only, no password, and keys that outlive whoever made it."""

    __tablename__ = "service_accounts"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        ForeignKeyConstraint(
            ["tenant_id", "id"],
            ["memberships.tenant_id", "memberships.user_id"],
            ondelete="CASCADE",
        ),
    )

    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    created_by: Mapped[UUID | None] = mapped_column(default=None)


class Invitation(TenantOwned, Row, kw_only=True):
    """A one-time, expiring offer of a role to an address."""

    __tablename__ = "invitations"

    email: Mapped[str]
    email_norm: Mapped[str]
    role: Mapped[Role]
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None] = mapped_column(default=None)
    revoked_at: Mapped[datetime | None] = mapped_column(default=None)


class SessionKind(StrEnum):
    API = "api"
    WEB = "web"


class Session(Row, kw_only=True):
    """One sign-in. Every access token points here, so ending it ends them all at once."""

    __tablename__ = "sessions"
    __table_args__ = (Index(None, "user_id", "revoked_at"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    tenant_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("tenants.id", ondelete="CASCADE"), index=True
    )
    kind: Mapped[SessionKind]
    created_at: Mapped[datetime]
    auth_time: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None] = mapped_column(index=True, default=None)
    revoke_reason: Mapped[str | None] = mapped_column(default=None)
    cookie_hash: Mapped[bytes | None] = mapped_column(unique=True, default=None)
    ip: Mapped[str | None] = mapped_column(default=None)
    user_agent: Mapped[str | None] = mapped_column(default=None)
    amr: Mapped[list[str]] = mapped_column(default_factory=lambda: [PASSWORD])


class RefreshToken(Base, kw_only=True):
    """A single-use token, by its SHA-256. A second use ends the session."""

    __tablename__ = "refresh_tokens"

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(
        ForeignKey("sessions.id", ondelete="CASCADE"), index=True
    )
    issued_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None] = mapped_column(default=None)
    replaced_by: Mapped[bytes | None] = mapped_column(default=None)


class ApiKey(Row, kw_only=True):
    """A personal access token, by its SHA-256: what machines and the MLflow client carry."""

    __tablename__ = "api_keys"
    __table_args__ = (Index(None, "user_id", "tenant_id"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str]
    hash: Mapped[bytes] = mapped_column(unique=True)
    prefix: Mapped[str]
    last_four: Mapped[str]
    scopes: Mapped[list[str]]
    project_ids: Mapped[list[str] | None] = mapped_column(default=None)
    default_project_id: Mapped[UUID | None] = mapped_column(default=None)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None] = mapped_column(default=None)
    revoked_at: Mapped[datetime | None] = mapped_column(default=None)


class KeyState(StrEnum):
    NEXT = "next"
    ACTIVE = "active"
    RETIRED = "retired"


class SigningKey(Base, kw_only=True):
    """An Ed25519 key; the private half is sealed with AES-256-GCM under the secret key."""

    __tablename__ = "signing_keys"

    kid: Mapped[str] = mapped_column(primary_key=True)
    alg: Mapped[str]
    public_jwk: Mapped[dict[str, Any]]
    private_sealed: Mapped[bytes]
    state: Mapped[KeyState]
    created_at: Mapped[datetime]
    retires_at: Mapped[datetime | None] = mapped_column(default=None)


class SetupSecret(Row, kw_only=True):
    """What the first platform admin proves themselves with, once; by its SHA-256."""

    __tablename__ = "setup_secrets"

    hash: Mapped[bytes] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    spent_at: Mapped[datetime | None] = mapped_column(default=None)


class TotpFactor(Base, kw_only=True):
    """A person's authenticator app. Secrets are sealed; one that waits for its first code stands
    beside the one in use, so that a new telephone takes over from the old in one step."""

    __tablename__ = "totp_factors"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    sealed: Mapped[bytes | None] = mapped_column(default=None)
    confirmed_at: Mapped[datetime | None] = mapped_column(default=None)
    last_step: Mapped[int] = mapped_column(BigInteger, default=0)  # the newest one used
    pending: Mapped[bytes | None] = mapped_column(default=None)
    pending_at: Mapped[datetime | None] = mapped_column(default=None)
    tries: Mapped[int] = mapped_column(default=0)  # since the last code that was right
    tries_from: Mapped[datetime | None] = mapped_column(default=None)


class RecoveryCode(Row, kw_only=True):
    """What stands in for a lost app, once. Its first letters find it, its argon2 hash proves it."""

    __tablename__ = "recovery_codes"
    __table_args__ = (UniqueConstraint("user_id", "selector"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    selector: Mapped[str]
    hash: Mapped[str]
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None] = mapped_column(default=None)


class MfaChallenge(Row, kw_only=True):
    """A sign-in half done: what proved the first factor, and where it was going."""

    __tablename__ = "mfa_challenges"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    tenant_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("tenants.id", ondelete="CASCADE"), index=True
    )
    hash: Mapped[bytes] = mapped_column(unique=True)
    web: Mapped[bool]
    amr: Mapped[list[str]]
    tries: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None] = mapped_column(default=None)


class Purpose(StrEnum):
    RESET = "reset"
    EMAIL = "email"


class AccountToken(Row, kw_only=True):
    """A link that was mailed to somebody, by its SHA-256: good once, for a while."""

    __tablename__ = "account_tokens"
    __table_args__ = (Index(None, "user_id", "purpose"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[Purpose]
    hash: Mapped[bytes] = mapped_column(unique=True)
    email: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    spent_at: Mapped[datetime | None] = mapped_column(default=None)


class IdentityProvider(TenantOwned, Row, kw_only=True):
    """An OpenID Connect issuer that a tenant lets vouch for its people."""

    __tablename__ = "identity_providers"
    __table_args__ = (UniqueConstraint("tenant_id", "slug"),)

    name: Mapped[str]
    slug: Mapped[str]
    issuer: Mapped[str]
    client_id: Mapped[str]
    secret_sealed: Mapped[bytes | None] = mapped_column(default=None)
    scopes: Mapped[list[str]]
    # Mail domains that it may speak for; none listed: it brings nobody in by address.
    allowed_domains: Mapped[list[str]]
    groups_claim: Mapped[str | None] = mapped_column(default=None)
    group_roles: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)
    default_role: Mapped[Role] = mapped_column(default=Role.VIEWER)
    trusts_mfa: Mapped[bool] = mapped_column(default=False)
    enabled: Mapped[bool] = mapped_column(default=True)
    updated_at: Mapped[datetime]


class ExternalIdentity(Row, kw_only=True):
    """Who an issuer says somebody is: the account is found by this, never by an address alone."""

    __tablename__ = "external_identities"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    issuer: Mapped[str]
    subject: Mapped[str]
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime]


class OidcFlow(Row, kw_only=True):
    """One way to an identity provider and back, begun by one browser. Nonce and verifier are
    derived from the state, which is known to that browser and the provider only."""

    __tablename__ = "oidc_flows"

    provider_id: Mapped[UUID] = mapped_column(
        ForeignKey("identity_providers.id", ondelete="CASCADE"), index=True
    )
    state_hash: Mapped[bytes] = mapped_column(unique=True)
    browser_hash: Mapped[bytes]
    next: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None] = mapped_column(default=None)


class DeviceState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"


class DeviceLogin(Row, kw_only=True):
    """A terminal that waits for somebody to approve it in a browser (RFC 8628)."""

    __tablename__ = "device_logins"

    device_hash: Mapped[bytes] = mapped_column(unique=True)
    # Keyed: so few letters could be guessed back from a plain hash.
    user_code_hash: Mapped[bytes] = mapped_column(unique=True)
    state: Mapped[DeviceState] = mapped_column(default=DeviceState.PENDING)
    client: Mapped[str | None]
    ip: Mapped[str | None]
    user_agent: Mapped[str | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    polled_at: Mapped[datetime | None] = mapped_column(default=None)
    interval: Mapped[int]
    # Whose session approved it: the terminal's is in the same tenant, and as strong.
    session_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("sessions.id", ondelete="CASCADE"), index=True, default=None
    )
    used_at: Mapped[datetime | None] = mapped_column(default=None)
