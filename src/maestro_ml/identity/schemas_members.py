"""What is said about a tenant's people and invitations, and what is seen of them."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from maestro_ml.core.access import Role
from maestro_ml.core.schemas import Command, Name, View
from maestro_ml.identity.schemas import Email, Password, Token
from maestro_ml.tenancy.schemas import TenantCreate, TenantView


class MemberChange(Command):
    role: Role


class MemberView(View):
    id: UUID
    email: str
    name: str
    role: Role = Field(description="In your tenant.")
    active: bool = Field(description="False: the account is disabled and cannot sign in.")
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
    name: Name = Field(description="An account that exists keeps its own.")


class Setup(Command):
    token: Token = Field(description="The one-time secret that the first start printed.")
    email: Email
    password: Password
    name: Name
