"""Tenants, their limits, and the counters that the limits are enforced on."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement
from sqlalchemy.orm import Mapped, mapped_column

from maestro_ml.db.base import Row, TenantSeen

# What existed before tenancy, and whoever registers by themselves, belongs to this one.
DEFAULT_TENANT_ID = UUID("00000000-0000-7000-8000-000000000001")


class TenantStatus(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETING = "deleting"  # for good; nobody gets in


class SessionProfile(StrEnum):
    """How long sign-ins last: 7 days idle and 30 in all, or 1 hour and 24 (NIST AAL2)."""

    STANDARD = "standard"
    STRICT = "strict"


class Tenant(TenantSeen, Row, kw_only=True):
    __tablename__ = "tenants"

    name: Mapped[str]
    slug: Mapped[str] = mapped_column(unique=True)
    status: Mapped[TenantStatus] = mapped_column(default=TenantStatus.ACTIVE)
    created_at: Mapped[datetime]
    max_users: Mapped[int] = mapped_column(default=50)
    max_projects: Mapped[int] = mapped_column(default=200)
    max_artifacts: Mapped[int] = mapped_column(default=10_000)
    max_storage_bytes: Mapped[int] = mapped_column(BigInteger, default=50 * 2**30)
    max_concurrent_jobs: Mapped[int] = mapped_column(default=4)
    max_requests_per_minute: Mapped[int | None] = mapped_column(default=None)
    n_users: Mapped[int] = mapped_column(default=0)
    n_projects: Mapped[int] = mapped_column(default=0)
    # Of `stored_blobs` and `loose_blobs` together, at every moment.
    storage_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    mfa_required: Mapped[bool] = mapped_column(default=False)
    session_profile: Mapped[SessionProfile] = mapped_column(default=SessionProfile.STANDARD)
    # Mail domains that its people may have; none listed: any.
    allowed_domains: Mapped[list[str]] = mapped_column(default_factory=list)

    @classmethod
    def seen_by(cls, tenant: UUID) -> ColumnElement[bool]:
        return cls.id == tenant
