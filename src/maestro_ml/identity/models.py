"""People, what they are in a tenant, and what proves that they are who they say."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, ForeignKey, Index, UniqueConstraint, select
from sqlalchemy.orm import Mapped, mapped_column

from maestro_ml.core.access import Role
from maestro_ml.db.base import Base, Row, TenantOwned, TenantSeen


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
    """A user in a tenant, with a role."""

    __tablename__ = "memberships"
    __table_args__ = (UniqueConstraint("tenant_id", "user_id"), Index(None, "user_id"))

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    role: Mapped[Role]


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
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None] = mapped_column(default=None)
    revoke_reason: Mapped[str | None] = mapped_column(default=None)
    cookie_hash: Mapped[bytes | None] = mapped_column(unique=True, default=None)
    ip: Mapped[str | None] = mapped_column(default=None)
    user_agent: Mapped[str | None] = mapped_column(default=None)
    amr: Mapped[list[str]] = mapped_column(default_factory=lambda: ["pwd"])


class RefreshToken(Base, kw_only=True):
    """A single-use token, by its SHA-256. A second use ends the session."""

    __tablename__ = "refresh_tokens"

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(
        ForeignKey("sessions.id", ondelete="CASCADE"), index=True
    )
    issued_at: Mapped[datetime]
    expires_at: Mapped[datetime]
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
