"""What is said about a tenant's identity providers, and what is seen of them."""

import re
from datetime import datetime
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, SecretStr

from maestro_ml.core.access import Role
from maestro_ml.core.schemas import Command, Name, Slug, Text, View

_DOMAIN = re.compile(
    r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]"
)
_MICROSOFT = frozenset({"login.microsoftonline.com", "login.microsoftonline.us", "sts.windows.net"})
# Directories of everybody: the last one is that of private Microsoft accounts.
_EVERYBODY = frozenset(
    {"common", "organizations", "consumers", "9188040d-6c67-4c5b-b112-36a304b66dad"}
)


def _issuer(text: str) -> str:
    """Its address is checked for real where the network is at hand; this is about its meaning."""
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError("must be an address like https://accounts.example.com") from None
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.query or "#" in text:
        raise ValueError("must be an address like https://accounts.example.com, without ? and #")
    directory = parts.path.strip("/").split("/")[0].lower()
    if parts.hostname in _MICROSOFT and (directory in _EVERYBODY or "{" in directory):
        raise ValueError(
            "must name one directory: with this issuer anybody of any organisation could sign in"
        )
    return text


def _domain(text: str) -> str:
    lowered = text.lower()
    if _DOMAIN.fullmatch(lowered) is None:
        raise ValueError("must be a mail domain like example.com")
    return lowered


def _scope(text: str) -> str:
    if re.fullmatch(r"[!#-\[\]-~]{1,100}", text) is None:
        raise ValueError("must be one OAuth scope")
    return text


def _not_admin(role: Role) -> Role:
    if role is Role.ADMIN:
        raise ValueError("must not be admin: name the group whose people are admins")
    return role


Issuer = Annotated[Text, Field(min_length=8, max_length=500), AfterValidator(_issuer)]
ClientId = Annotated[Text, Field(min_length=1, max_length=300)]
ClientSecret = Annotated[SecretStr, Field(min_length=1, max_length=1000)]
Scopes = Annotated[list[Annotated[Text, AfterValidator(_scope)]], Field(max_length=20)]
Domains = Annotated[list[Annotated[Text, AfterValidator(_domain)]], Field(max_length=100)]
Claim = Annotated[Text, Field(min_length=1, max_length=200)]
GroupRoles = Annotated[
    dict[Annotated[Text, Field(min_length=1, max_length=300)], Role], Field(max_length=200)
]
DefaultRole = Annotated[Role, AfterValidator(_not_admin)]
SCOPES = ("openid", "email", "profile")


class IdentityProviderCreate(Command):
    name: Name
    slug: Slug = Field(description="Its name in the address where people sign in; never changes.")
    issuer: Issuer = Field(
        description="Exactly as the issuer writes itself in its discovery document and tokens."
    )
    client_id: ClientId
    client_secret: ClientSecret | None = Field(
        None, description="Kept encrypted and never shown again. None: a public client."
    )
    scopes: Scopes = Field(list(SCOPES), description="`openid` is always asked for.")
    allowed_domains: Domains = Field(
        [],
        description="Mail domains it may speak for. Somebody with a verified address of one of "
        "them gets an account at their first sign-in.",
    )
    groups_claim: Claim | None = Field(
        None, description="The claim of the ID token that lists somebody's groups."
    )
    group_roles: GroupRoles = Field(
        {},
        description="Role by group. With any, the role is set anew at each sign-in, to the "
        "highest one that a group gives.",
    )
    default_role: DefaultRole = Field(Role.VIEWER, description="For whom no group gives a role.")
    trusts_mfa: bool = Field(
        False,
        description="Whether its word counts for the second factor: nobody whose ID token says "
        "`mfa` in its `amr` is asked for a code here.",
    )
    enabled: bool = True


class IdentityProviderChange(Command):
    """Only what is sent changes. The issuer stays: people are known by it."""

    name: Name | None = None
    client_id: ClientId | None = None
    client_secret: ClientSecret | None = None
    scopes: Scopes | None = None
    allowed_domains: Domains | None = None
    groups_claim: Claim | None = None
    group_roles: GroupRoles | None = None
    default_role: DefaultRole | None = None
    trusts_mfa: bool | None = None
    enabled: bool | None = None


class IdentityProviderView(View):
    id: UUID
    name: str
    slug: str
    issuer: str
    client_id: str
    has_secret: bool
    scopes: list[str]
    allowed_domains: list[str]
    groups_claim: str | None
    group_roles: dict[str, Role]
    default_role: Role
    trusts_mfa: bool
    enabled: bool
    created_at: datetime
    updated_at: datetime
    start_path: str = Field(description="Where people of your tenant begin to sign in.")
    redirect_uri: str = Field(description="What to enter as the redirect URI at the provider.")


class IdentityProviderTest(View):
    """What the issuer says of itself right now."""

    works: bool
    detail: str
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    signing_keys: int = 0


class SentBack(View):
    """What an identity provider sends a browser back with. Some add more to it, as they may (RFC
    6749, 4.1.2)."""

    model_config = ConfigDict(extra="ignore")

    state: Annotated[Text, Field(max_length=200)] = ""
    code: Annotated[Text, Field(max_length=4096)] = ""
    iss: Annotated[Text, Field(max_length=500)] | None = None
    error: Annotated[Text, Field(max_length=200)] | None = None
