"""What accounts are asked for, and how they are shown."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from maestro_ml.core.access import Role
from maestro_ml.core.schemas import Command, Name, Slug, Text, View
from maestro_ml.identity import emails
from maestro_ml.identity.errors import EmailInvalid


def _checked(text: str) -> str:
    try:
        return emails.address(text)
    except EmailInvalid as wrong:
        raise ValueError(wrong.detail) from None


Email = Annotated[Text, Field(max_length=emails.MAX_LENGTH), AfterValidator(_checked)]
# Kept as it was sent: never trimmed. Its own rules are told apart from the schema's.
Password = Annotated[Text, Field(min_length=1, max_length=1024)]
Token = Annotated[Text, Field(min_length=1, max_length=200)]


class Register(Command):
    email: Email
    password: Password
    name: Name
    role: Literal["viewer"] = Field(
        "viewer", description="Existing clients send it; whoever registers is a viewer."
    )


class Login(Command):
    email: Annotated[Text, Field(min_length=1, max_length=320)]
    password: Password
    tenant: Slug | None = Field(
        None, description="Slug of the tenant to work in. Default: the one you joined first."
    )


class Refresh(Command):
    refresh_token: Token


class TenantOfAccount(View):
    id: UUID
    slug: str
    name: str


class AccountView(View):
    id: UUID
    email: str
    name: str
    role: Role | None = Field(description="In the tenant; none without a tenant.")
    tenant: TenantOfAccount | None
    platform_admin: bool
    verified: bool
    created_at: datetime
    last_login_at: datetime | None


class Me(AccountView):
    csrf_token: str | None = Field(
        None, description="For changes with the browser's cookie: the header X-CSRF-Token."
    )


class SignedIn(View):
    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = Field("bearer")
    expires_in: int = Field(description="Seconds that the access token lives.")
    user: AccountView


class SignedInWeb(View):
    """The session is in the browser's cookie."""

    csrf_token: str
    user: AccountView


class AuthHealth(View):
    status: Literal["ok"] = "ok"
