"""What a server answers.

Kept apart from the server's own schemas on purpose: those read table rows and know today's values,
while a client must read the answers of a newer server. So unknown fields and new words for a state
pass, and secrets stay out of what gets printed.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Tenant(Answer):
    """An organisation. Its own people, and the platform's admin, see limits and usage too."""

    id: UUID
    name: str
    slug: str
    status: str | None = None
    created_at: datetime | None = None
    limits: dict[str, int | None] = {}
    usage: dict[str, int] = {}


class Policy(Answer):
    """What a tenant asks of its people."""

    mfa_required: bool
    session_profile: str
    allowed_domains: list[str]


class Deletion(Answer):
    """A tenant that is being deleted. `result` counts rows and files, before and after."""

    id: UUID
    state: str
    progress: float = 0.0
    message: str | None = None
    error: str | None = None
    result: dict[str, Any] | None = None
    created_at: datetime
    finished_at: datetime | None = None

    @property
    def ended(self) -> bool:
        return self.state in {"done", "failed", "cancelled"}


class Me(Answer):
    """Who the token belongs to. A platform admin without a membership has no tenant."""

    id: UUID
    email: str
    name: str
    role: str | None
    tenant: Tenant | None = None
    platform_admin: bool = False
    verified: bool | None = None


class SignIn(Answer):
    """A new session. `recovery_codes` are there when a second factor was set up on the way in."""

    access_token: str = Field(repr=False)
    refresh_token: str = Field(repr=False)
    token_type: str
    expires_in: int
    user: Me
    recovery_codes: list[str] = Field(default=[], repr=False)


class User(Answer):
    """Somebody with a place in the tenant: a person, or a machine by its service account."""

    id: UUID
    kind: str = "person"
    email: str
    name: str
    role: str
    active: bool = True
    disabled: bool = False
    verified: bool | None = None
    joined_at: datetime | None = None
    created_at: datetime | None = None
    last_login_at: datetime | None = None


class Invitation(Answer):
    """A one-time offer of a role; `token` is there only when it has just been made."""

    id: UUID | None = None
    email: str
    role: str
    token: str | None = Field(default=None, repr=False)
    expires_at: datetime


class NewTenant(Answer):
    """A tenant and the invitation for its first admin."""

    tenant: Tenant
    invitation: Invitation


class ApiKey(Answer):
    """A personal access token, as far as it can be seen again."""

    id: UUID
    name: str
    prefix: str
    last_four: str
    scopes: list[str]
    project_ids: list[UUID] | None = None
    default_project_id: UUID | None = None
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


class NewApiKey(ApiKey):
    """A key that has just been made; the token is shown this once."""

    token: str = Field(repr=False, validation_alias="secret")


class ServiceAccount(Answer):
    """A machine's account."""

    id: UUID
    name: str
    description: str = ""
    role: str
    active: bool = True
    created_by: UUID | None = None
    created_at: datetime


class Project(Answer):
    """One machine-learning undertaking."""

    id: UUID
    name: str
    slug: str
    description: str = ""
    problem_class: str | None = None
    complexity_score: int | None = None
    goal_metric: str | None = None
    goal_target: float | None = None
    planned_start: date | None = None
    planned_end: date | None = None
    actual_start: date | None = None
    actual_end: date | None = None
    budget: Decimal | None = None
    budget_currency: str | None = None
    visibility: str
    status: str
    archived_at: datetime | None = None
    metadata: dict[str, Any] = {}
    created_at: datetime
    updated_at: datetime
    created_by: UUID | None = None


class ProjectMember(Answer):
    """Somebody in a project's team."""

    user_id: UUID
    name: str
    email: str
    role: str
    created_at: datetime


class Job(Answer):
    """One piece of background work."""

    id: UUID
    kind: str
    state: str
    progress: float = 0.0
    message: str | None = None
    error: str | None = None
    result: dict[str, Any] | None = None
    attempts: int = 0
    max_attempts: int | None = None
    project_id: UUID | None = None
    cancel_requested: bool = False
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def ended(self) -> bool:
        return self.state in {"done", "failed", "cancelled"}


class AuditEvent(Answer):
    """Somebody changed something."""

    id: UUID
    created_at: datetime
    action: str
    actor_id: UUID | None = None
    actor_kind: str
    actor_name: str | None = None
    actor_email: str | None = None
    target_type: str
    target_id: str | None = None
    facts: dict[str, Any] = {}
    api_key_id: UUID | None = None
    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


class AuditVerification(Answer):
    """What was found when a trail was verified."""

    at: datetime
    sound: bool
    wrong: str | None = None
    what: str | None = None


class AuditTrail(Answer):
    """How far a tenant's events are sealed."""

    seals: int
    sealed_events: int
    unsealed_events: int
    sealed_until: datetime | None = None
    sealed_at: datetime | None = None
    head_hash: str | None = None
    last_verification: AuditVerification | None = None


class Challenge(Answer):
    """A sign-in that asks for more: `methods` are `totp` and `recovery_code`, or `enrol`."""

    mfa_token: str = Field(repr=False)
    expires_in: int
    methods: list[str]


class Enrolment(Answer):
    """The secret for an authenticator app. It counts when its first code has been sent."""

    secret: str = Field(repr=False)
    otpauth_uri: str = Field(repr=False)
    qr_svg: str = Field(repr=False)
    expires_in: int


class MfaState(Answer):
    """The caller's second factor."""

    enabled: bool
    since: datetime | None = None
    recovery_codes_left: int = 0
    required_by: list[str] = []


class Session(Answer):
    """Somewhere the caller is signed in."""

    id: UUID
    device: str
    ip: str | None = None
    kind: str
    amr: list[str] = []
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    current: bool = False


class Mail(Answer):
    """A mail in the outbox, without what it says."""

    id: UUID
    kind: str
    recipient: str
    subject: str
    state: str
    error: str | None = None
    created_at: datetime
    ended_at: datetime | None = None


class MailText(Mail):
    """A mail with its text, which is gone once it was sent."""

    text: str | None = Field(default=None, repr=False)
