"""Tenants, their people, and the keys that people give to machines."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict, Unpack
from uuid import UUID

from maestro_ml.client.errors import MaestroClientError
from maestro_ml.client.paging import pages
from maestro_ml.client.transport import Transport, segment
from maestro_ml.client.views import (
    ApiKey,
    Deletion,
    Invitation,
    NewApiKey,
    NewTenant,
    Policy,
    ServiceAccount,
    Tenant,
    User,
)


class ServiceAccountChanges(TypedDict, total=False):
    name: str
    description: str
    role: str
    active: bool


class PolicyChanges(TypedDict, total=False):
    mfa_required: bool
    session_profile: str
    allowed_domains: list[str]


class ApiKeys:
    """A key cannot make or see keys: these need a session (`client.auth.login`)."""

    def __init__(self, transport: Transport, path: str = "/api-keys") -> None:
        self._transport = transport
        self._path = path

    def list(self) -> Iterator[ApiKey]:
        """The owner's keys."""
        return pages(self._transport, self._path, ApiKey)

    def create(
        self,
        name: str,
        *,
        scopes: Sequence[str] | None = None,
        project_ids: Sequence[UUID] | None = None,
        default_project_id: UUID | None = None,
        expires_in_days: int | None = None,
    ) -> NewApiKey:
        """Make a key. Its token is in this answer and nowhere else."""
        body: dict[str, Any] = {"name": name}
        if scopes is not None:
            body["scopes"] = [*scopes]
        if project_ids is not None:
            body["projects"] = [str(id) for id in project_ids]
        if default_project_id is not None:
            body["default_project"] = str(default_project_id)
        if expires_in_days is not None:
            body["expires_in_days"] = expires_in_days
        return NewApiKey.model_validate(self._transport.ask("POST", self._path, json=body))

    def revoke(self, id: UUID | str) -> None:
        """End a key. It is refused from the next request on."""
        self._transport.ask("DELETE", f"{self._path}/{segment(id)}")


class ServiceAccounts:
    """The machines of the caller's tenant. For its admins."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[ServiceAccount]:
        return pages(self._transport, "/service-accounts", ServiceAccount)

    def get(self, id: UUID | str) -> ServiceAccount:
        return ServiceAccount.model_validate(self._transport.ask("GET", _service(id)))

    def create(self, name: str, *, description: str = "", role: str = "member") -> ServiceAccount:
        """Make an account for a machine. It is of use once it has a key."""
        body = {"name": name, "description": description, "role": role}
        answer = self._transport.ask("POST", "/service-accounts", json=body)
        return ServiceAccount.model_validate(answer)

    def update(self, id: UUID | str, **changes: Unpack[ServiceAccountChanges]) -> ServiceAccount:
        """Change what is given. Not active: its keys are refused from the next request on."""
        answer = self._transport.ask("PATCH", _service(id), json=changes)
        return ServiceAccount.model_validate(answer)

    def delete(self, id: UUID | str) -> None:
        """Remove one with its keys. What it made stays."""
        self._transport.ask("DELETE", _service(id))

    def keys(self, id: UUID | str) -> ApiKeys:
        """Its keys, which need a session (`client.auth.login`)."""
        return ApiKeys(self._transport, f"{_service(id)}/keys")


class Tenants:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def current(self) -> Tenant:
        """The tenant that the caller acts in, with its limits and what is used of them."""
        return Tenant.model_validate(self._transport.ask("GET", "/tenants/current"))

    def policy(self) -> Policy:
        """What the caller's tenant asks of its people."""
        return Policy.model_validate(self._transport.ask("GET", _POLICY))

    def set_policy(self, **changes: Unpack[PolicyChanges]) -> Policy:
        """Change what is given. For the tenant's admins."""
        return Policy.model_validate(self._transport.ask("PATCH", _POLICY, json=changes))

    # What follows is for platform admins, in a session.

    def list(self, *, search: str | None = None, status: str | None = None) -> Iterator[Tenant]:
        """All tenants."""
        return pages(self._transport, "/tenants", Tenant, params={"q": search, "status": status})

    def get(self, slug_or_id: UUID | str) -> Tenant:
        """One, by its id or, if a `str`, by its slug."""
        if not isinstance(slug_or_id, UUID):
            for tenant in self.list(search=slug_or_id):
                if tenant.slug == slug_or_id:
                    return tenant
            if not _ID.fullmatch(slug_or_id):
                raise MaestroClientError(f"There is no tenant with the slug {slug_or_id!r}.")
        return Tenant.model_validate(self._transport.ask("GET", _tenant(slug_or_id)))

    def create(self, *, name: str, slug: str, admin_email: str) -> NewTenant:
        """Make a tenant and invite its first admin."""
        body = {"name": name, "slug": slug, "admin_email": admin_email}
        return NewTenant.model_validate(self._transport.ask("POST", "/tenants", json=body))

    def rename(self, id: UUID | str, name: str) -> Tenant:
        """Give a tenant another name. Its slug never changes."""
        return self._tell("PATCH", _tenant(id), {"name": name})

    def set_limits(self, id: UUID | str, **limits: int | None) -> Tenant:
        """Change the given limits. One below what is used stops only what is new."""
        return self._tell("PATCH", _tenant(id), {"limits": limits})

    def suspend(self, id: UUID | str) -> Tenant:
        """Let nobody in, from the next request on."""
        return self._tell("POST", f"{_tenant(id)}/suspend")

    def resume(self, id: UUID | str) -> Tenant:
        """Let everybody in again."""
        return self._tell("POST", f"{_tenant(id)}/resume")

    def delete(self, id: UUID | str, *, confirm: str) -> Deletion:
        """Begin to delete a tenant with everything in it. `confirm` is its slug."""
        path = f"{_tenant(id)}/deletion"
        answer = self._transport.ask("POST", path, json={"confirm": confirm})
        return Deletion.model_validate(answer)

    def deletion(self, id: UUID | str) -> Deletion:
        """How far a deletion is."""
        path = f"/tenants/deletions/{segment(id)}"
        return Deletion.model_validate(self._transport.ask("GET", path))

    def deletions(self) -> Iterator[Deletion]:
        """Those under way and of the last 30 days."""
        return pages(self._transport, "/tenants/deletions", Deletion)

    def _tell(self, method: str, path: str, body: Any = None) -> Tenant:
        return Tenant.model_validate(self._transport.ask(method, path, json=body))


class Accounts:
    """Whole accounts, in every tenant at once. For platform admins, in a session."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def disable(self, email: str) -> None:
        """Take all access away: sessions end, API keys sleep."""
        self._transport.ask("POST", "/accounts/disable", json={"email": email})

    def enable(self, email: str) -> None:
        """Give the access back."""
        self._transport.ask("POST", "/accounts/enable", json={"email": email})


class Users:
    """The people of the caller's tenant. For its admins."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        search: str | None = None,
        role: str | None = None,
        active: bool | None = None,
        kind: str | None = None,
        sort: str | None = None,
    ) -> Iterator[User]:
        asked = {"q": search, "role": role, "active": active, "kind": kind, "sort": sort}
        return pages(self._transport, "/users", User, params=asked)

    def get(self, id: UUID | str) -> User:
        return User.model_validate(self._transport.ask("GET", _user(id)))

    def set_role(self, id: UUID | str, role: str) -> User:
        """Give somebody another role in the tenant."""
        return User.model_validate(self._transport.ask("PATCH", _user(id), json={"role": role}))

    def deactivate(self, id: UUID | str) -> User:
        """Take somebody's access to the tenant away, until it is given back."""
        return User.model_validate(self._transport.ask("PATCH", _user(id), json={"active": False}))

    def reactivate(self, id: UUID | str) -> User:
        """Give it back."""
        return User.model_validate(self._transport.ask("PATCH", _user(id), json={"active": True}))

    def remove(self, id: UUID | str) -> None:
        """Take somebody out of the tenant. What they made stays."""
        self._transport.ask("DELETE", _user(id))

    def sign_out(self, id: UUID | str) -> None:
        """End every session that somebody has in the tenant. API keys stay."""
        self._transport.ask("POST", f"{_user(id)}/sign-out")

    def start_password_reset(self, id: UUID | str) -> None:
        """Have a link for a new password mailed to somebody."""
        self._transport.ask("POST", f"{_user(id)}/password-reset")

    def invite(self, *, email: str, role: str) -> Invitation:
        """Offer somebody a role. The token is in this answer and nowhere else."""
        body = {"email": email, "role": role}
        answer = self._transport.ask("POST", _INVITATIONS, json=body)
        return Invitation.model_validate(answer)

    def resend_invitation(self, id: UUID | str) -> Invitation:
        """Mail an open offer again, with a new token; the old one stops working."""
        path = f"{_INVITATIONS}/{segment(id)}/resend"
        return Invitation.model_validate(self._transport.ask("POST", path))

    def invitations(self) -> Iterator[Invitation]:
        """The offers that can still be accepted."""
        return pages(self._transport, _INVITATIONS, Invitation)

    def revoke_invitation(self, id: UUID | str) -> None:
        """Take an offer back."""
        self._transport.ask("DELETE", f"{_INVITATIONS}/{segment(id)}")


_ID = re.compile(r"[0-9a-fA-F-]{32,36}")
_POLICY = "/tenants/current/policy"
_INVITATIONS = "/users/invitations"


def _user(id: UUID | str) -> str:
    return f"/users/{segment(id)}"


def _service(id: UUID | str) -> str:
    return f"/service-accounts/{segment(id)}"


def _tenant(id: UUID | str) -> str:
    return f"/tenants/{segment(id)}"
