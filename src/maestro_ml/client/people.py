"""Tenants, their people, and the keys that people give to machines."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from maestro_ml.client.paging import pages
from maestro_ml.client.transport import Transport, segment
from maestro_ml.client.views import ApiKey, Invitation, NewApiKey, NewTenant, Tenant, User


class ApiKeys:
    """A key cannot make or see keys: these need a session (`client.auth.login`)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[ApiKey]:
        """The caller's own keys."""
        return pages(self._transport, "/api-keys", ApiKey)

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
        return NewApiKey.model_validate(self._transport.ask("POST", "/api-keys", json=body))

    def revoke(self, id: UUID | str) -> None:
        """End a key. It is refused from the next request on."""
        self._transport.ask("DELETE", f"/api-keys/{segment(id)}")


class Tenants:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def current(self) -> Tenant:
        """The tenant that the caller acts in, with its limits and what is used of them."""
        return Tenant.model_validate(self._transport.ask("GET", "/tenants/current"))

    def list(self) -> Iterator[Tenant]:
        """All tenants. For platform admins, in a session."""
        return pages(self._transport, "/tenants", Tenant)

    def create(self, *, name: str, slug: str, admin_email: str) -> NewTenant:
        """Make a tenant and invite its first admin. For platform admins, in a session."""
        body = {"name": name, "slug": slug, "admin_email": admin_email}
        return NewTenant.model_validate(self._transport.ask("POST", "/tenants", json=body))


class Users:
    """The people of the caller's tenant. For its admins."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[User]:
        return pages(self._transport, "/users", User)

    def get(self, id: UUID | str) -> User:
        return User.model_validate(self._transport.ask("GET", f"/users/{segment(id)}"))

    def set_role(self, id: UUID | str, role: str) -> User:
        """Give somebody another role in the tenant."""
        path = f"/users/{segment(id)}"
        return User.model_validate(self._transport.ask("PATCH", path, json={"role": role}))

    def invite(self, *, email: str, role: str) -> Invitation:
        """Offer somebody a role. The token is in this answer and nowhere else."""
        body = {"email": email, "role": role}
        answer = self._transport.ask("POST", "/users/invitations", json=body)
        return Invitation.model_validate(answer)
