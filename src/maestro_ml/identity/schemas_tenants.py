"""What is said about tenants, to their people and by the platform's admin, and what is seen."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import MISSING, AfterValidator, Field

from maestro_ml.core.schemas import Change, Command, Name, Text, View
from maestro_ml.identity import emails
from maestro_ml.identity.errors import EmailInvalid
from maestro_ml.jobs.models import JobState
from maestro_ml.tenancy.models import SessionProfile, Tenant, TenantStatus

MOST_DOMAINS = 100
_Count = Annotated[int, Field(ge=0, le=2**31 - 1)]


def _sound_domain(text: str) -> str:
    try:
        return emails.domain(f"x@{text}")
    except EmailInvalid:
        raise ValueError("must be a mail domain, such as example.com") from None


MailDomain = Annotated[Text, Field(max_length=253), AfterValidator(_sound_domain)]


class TenantLimits(View):
    max_users: int
    max_projects: int
    max_artifacts: int
    max_storage_bytes: int
    max_concurrent_jobs: int
    max_requests_per_minute: int | None = Field(description="Null: as many as they like.")


class TenantUsage(View):
    users: int = Field(description="Everybody with a place, service accounts included.")
    projects: int
    storage_bytes: int = Field(description="Of files, those on their way included.")
    concurrent_jobs: int = Field(description="Background work that runs right now.")


class TenantView(View):
    id: UUID
    name: str
    slug: str
    status: TenantStatus
    created_at: datetime
    limits: TenantLimits
    usage: TenantUsage


def seen(tenant: Tenant, running: int = 0) -> TenantView:
    """A tenant, as it stands, with so many jobs of it running."""
    return TenantView(
        id=tenant.id,
        name=tenant.name,
        slug=tenant.slug,
        status=tenant.status,
        created_at=tenant.created_at,
        limits=TenantLimits.model_validate(tenant),
        usage=TenantUsage(
            users=tenant.n_users,
            projects=tenant.n_projects,
            storage_bytes=tenant.storage_bytes,
            concurrent_jobs=running,
        ),
    )


@dataclass(frozen=True, slots=True)
class TenantFilter:
    q: str | None = None
    status: TenantStatus | None = None


class LimitsChange(Change):
    max_users: _Count | MISSING = MISSING
    max_projects: _Count | MISSING = MISSING
    max_artifacts: _Count | MISSING = MISSING
    max_storage_bytes: Annotated[int, Field(ge=0, le=2**63 - 1)] | MISSING = MISSING
    max_concurrent_jobs: _Count | MISSING = MISSING
    max_requests_per_minute: Annotated[int, Field(ge=1, le=2**31 - 1)] | MISSING | None = Field(
        default=MISSING, description="Null: as many as they like."
    )


class TenantChange(Change):
    name: Name | MISSING = MISSING
    limits: LimitsChange | MISSING = Field(
        default=MISSING,
        description="A limit below what is used takes nothing away; it stops what is new.",
    )


class PolicyView(View):
    mfa_required: bool = Field(description="Everybody signs in with a second factor.")
    session_profile: SessionProfile = Field(
        description="How long sign-ins last: `standard`, or `strict` for 1 hour unused and 24 in "
        "all."
    )
    allowed_domains: list[str] = Field(
        description="Mail domains of whoever joins from now on; none listed: any."
    )


class PolicyChange(Change):
    mfa_required: bool | MISSING = MISSING
    session_profile: SessionProfile | MISSING = MISSING
    allowed_domains: Annotated[list[MailDomain], Field(max_length=MOST_DOMAINS)] | MISSING = MISSING


class TenantDelete(Command):
    confirm: Text = Field(max_length=63, description="The tenant's slug, typed out.")


class TenantDeletion(View):
    """`result` holds the rows of each table and the files, before and after."""

    id: UUID
    state: JobState
    progress: float = Field(description="From 0 to 1.")
    message: str | None = Field(description="What it is at.")
    error: str | None = Field(description="Why its last attempt failed; it is tried again.")
    result: dict[str, Any] | None
    created_at: datetime
    finished_at: datetime | None
