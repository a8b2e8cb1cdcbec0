"""What is said about a service account, and what is seen of it."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import MISSING, Field

from maestro_ml.core.access import Role
from maestro_ml.core.schemas import Change, Command, Name, Text, View

Description = Annotated[Text, Field(max_length=1000)]


class ServiceAccountCreate(Command):
    name: Name = Field(description="What it is for; no two of a tenant have the same.")
    description: Description = ""
    role: Role = Field(Role.MEMBER, description="In your tenant.")


class ServiceAccountChange(Change):
    name: Name | MISSING = MISSING
    description: Description | MISSING = MISSING
    role: Role | MISSING = MISSING
    active: bool | MISSING = Field(
        default=MISSING,
        strict=True,
        description="False: its keys are refused from the next request on, until it is true again.",
    )


class ServiceAccountView(View):
    id: UUID
    name: str
    description: str
    role: Role
    active: bool
    created_by: UUID | None
    created_at: datetime
