"""What is said about an API key, and what is seen of it."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from maestro_ml.core.access import Scope
from maestro_ml.core.schemas import Command, Name, Text, View

MOST_PROJECTS = 100
ProjectNamed = Annotated[Text, Field(min_length=1, max_length=63)]


class ApiKeyCreate(Command):
    name: Name = Field(description="What it is for, to know it by later.")
    scopes: Annotated[frozenset[Scope], Field(min_length=1)] = Field(
        default=frozenset({Scope.READ, Scope.WRITE}),
        description="It never does more than its owner may at the time. Only admins give `admin`.",
    )
    expires_in_days: Annotated[int, Field(ge=1, le=365)] = 90
    projects: (
        Annotated[list[ProjectNamed], Field(min_length=1, max_length=MOST_PROJECTS)] | None
    ) = Field(default=None, description="Ids or slugs of the only projects it reaches.")
    default_project: ProjectNamed | None = Field(
        default=None,
        description="Id or slug of the project that MLflow's runs land in. Default: the oldest "
        "one whose team you are in, else the oldest one you see.",
    )


class ApiKeyView(View):
    id: UUID
    name: str
    prefix: str
    last_four: str
    scopes: list[Scope]
    project_ids: list[UUID] | None = Field(description="Null: every project that you see.")
    default_project_id: UUID | None
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


class NewApiKey(ApiKeyView):
    secret: str = Field(description="The key itself. It is in this answer and nowhere else.")
    default_project: str | None = Field(description="Slug of the project that runs land in.")
