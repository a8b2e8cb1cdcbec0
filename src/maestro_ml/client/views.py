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
    """An organisation. Its own people see limits and usage too."""

    id: UUID
    name: str
    slug: str
    status: str | None = None
    created_at: datetime | None = None


class Me(Answer):
    """Who the token belongs to. A platform admin without a membership has no tenant."""

    id: UUID
    email: str
    name: str
    role: str | None
    tenant: Tenant | None = None
    platform_admin: bool = False


class SignIn(Answer):
    """A new session."""

    access_token: str = Field(repr=False)
    refresh_token: str = Field(repr=False)
    token_type: str
    expires_in: int
    user: Me


class User(Answer):
    """A member of the tenant."""

    id: UUID
    email: str
    name: str
    role: str
    active: bool = True
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
