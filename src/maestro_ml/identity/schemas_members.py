"""What is said about a tenant's people and invitations, and what is seen of them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import MISSING, BaseModel, ConfigDict, Field

from maestro_ml.core.access import Role
from maestro_ml.core.schemas import Change, Command, Name, Text, View
from maestro_ml.identity.models import UserKind
from maestro_ml.identity.schemas import Email, Password, Token
from maestro_ml.identity.schemas_tenants import TenantView
from maestro_ml.tenancy.schemas import TenantCreate


class MemberChange(Change):
    role: Role | MISSING = MISSING
    active: bool | MISSING = Field(
        default=MISSING,
        strict=True,
        description="False: no access to your tenant from the next request on, and their sessions "
        "in it end. API keys sleep until it is true again.",
    )


class MemberFilter(BaseModel):
    """Which people a list is of. What is left out does not matter."""

    model_config = ConfigDict(frozen=True)  # no `forbid`: an address holds the page as well

    q: Annotated[
        Text | None, Field(max_length=200, description="Found in the name or the e-mail address.")
    ] = None
    role: Role | None = None
    active: Annotated[
        bool | None, Field(description="Who has access to your tenant, or only the others.")
    ] = None
    kind: UserKind | None = None


class MemberOrder(StrEnum):
    """By what a list is sorted; `-` turns it round."""

    NEWEST = "-joined_at"
    OLDEST = "joined_at"
    NAME = "name"
    NAME_DOWN = "-name"
    EMAIL = "email"
    EMAIL_DOWN = "-email"


class MemberView(View):
    id: UUID
    kind: UserKind
    email: str
    name: str
    role: Role = Field(description="In your tenant.")
    active: bool = Field(description="False: no access to your tenant.")
    disabled: bool = Field(description="The platform's admin has disabled the whole account.")
    verified: bool
    joined_at: datetime = Field(description="When they came into your tenant.")
    created_at: datetime
    last_login_at: datetime | None


class InvitationCreate(Command):
    email: Email
    role: Role


class InvitationView(View):
    id: UUID
    email: str
    role: Role
    created_at: datetime
    expires_at: datetime


class NewInvitation(InvitationView):
    token: str = Field(description="What accepts it, once. It is in this answer and nowhere else.")


class TenantFound(TenantCreate):
    admin_email: Email = Field(description="Who is invited to be the tenant's first admin.")


class NewTenant(View):
    tenant: TenantView
    invitation: NewInvitation


class Accept(Command):
    token: Token
    password: Password = Field(
        description="A new one; for an address that has an account, that account's password."
    )
    name: Name | None = Field(
        None, description="Needed for a new account; one that exists keeps its own."
    )


class InvitationNamed(Command):
    token: Token


class Invited(View):
    tenant_name: str
    email: str
    role: Role
    expires_at: datetime


class Setup(Command):
    token: Token = Field(description="The one-time secret that the first start printed.")
    email: Email
    password: Password
    name: Name


class AccountNamed(Command):
    email: Email = Field(description="Whose account.")
