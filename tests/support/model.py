"""Who may see and do what, as plain sets and dicts: written from `docs/concepts` and from
`docs/reference/permissions.md`, and knowing nothing of the product's own code.

A caller is a session or a key; each question is answered by the HTTP status that is due.
"""

from dataclasses import dataclass, field

ROLES = ("viewer", "member", "maintainer", "admin")
TEAM_ROLES = ROLES[:3]
SCOPES = ("read", "write", "admin")
# permission: the least role, the least scope of a key ("" where no key will do).
NEEDS = {
    "account:read": ("viewer", "read"),
    "session:read": ("viewer", ""),
    "session:end": ("viewer", ""),
    "session:switch": ("viewer", ""),
    "api-key:read": ("viewer", ""),
    "api-key:write": ("viewer", ""),
    "tenant:read": ("viewer", "read"),
    "user:read": ("admin", "admin"),
    "user:write": ("admin", "admin"),
    "admin:appoint": ("admin", ""),
    "service-key:write": ("admin", ""),
    "project:read": ("viewer", "read"),
    "project:create": ("member", "write"),
    "project:write": ("member", "write"),
    "project:manage": ("maintainer", "write"),
}
# What a key that is for a few projects only may do outside of all of them.
UNBOUND = {"account:read", "tenant:read", "project:read"}


@dataclass
class Place:
    role: str
    active: bool = True


@dataclass
class Tenant:
    id: str
    slug: str
    mark: str
    open: bool = True
    places: dict[str, Place] = field(default_factory=dict)  # by user
    machines: set[str] = field(default_factory=set)  # users that are service accounts

    def admins(self) -> set[str]:
        """Who keeps the tenant from being nobody's: people, who can sign in."""
        return {
            user
            for user, place in self.places.items()
            if place.role == "admin" and place.active and user not in self.machines
        }


@dataclass
class Project:
    id: str
    slug: str
    tenant: Tenant
    mark: str
    private: bool
    archived: bool = False
    team: dict[str, str] = field(default_factory=dict)

    def maintainers(self) -> set[str]:
        return {user for user, role in self.team.items() if role == "maintainer"}

    def ownerless_without(self, user: str) -> bool:
        return self.private and not self.maintainers() - {user}


@dataclass
class Caller:
    """A session; a key, if it has scopes."""

    secret: str
    id: str
    user: str
    tenant: Tenant
    scopes: frozenset[str] | None = None
    only: frozenset[str] | None = None
    ended: bool = False


@dataclass
class Invitation:
    id: str
    token: str
    tenant: Tenant
    user: str
    role: str
    open: bool = True


@dataclass
class Model:
    tenants: list[Tenant] = field(default_factory=list)
    emails: dict[str, str] = field(default_factory=dict)  # of people, by user
    projects: dict[str, Project] = field(default_factory=dict)
    callers: dict[str, Caller] = field(default_factory=dict)
    invitations: dict[str, Invitation] = field(default_factory=dict)

    def known(self, who: Caller) -> bool:
        place = who.tenant.places.get(who.user)
        return not who.ended and who.tenant.open and place is not None and place.active

    def may(self, who: Caller, permission: str, project: Project | None = None) -> bool:
        role, scope = NEEDS[permission]
        if who.scopes is not None and not self._scope_reaches(who, scope):
            return False
        if who.only is not None:
            if project is None and permission not in UNBOUND:
                return False
            if project is not None and project.id not in who.only:
                return False
        held = [who.tenant.places[who.user].role]
        if project is not None and who.user in project.team:
            held.append(project.team[who.user])
        return any(ROLES.index(one) >= ROLES.index(role) for one in held)

    def sees(self, who: Caller, project: Project) -> bool:
        """Whether it is there for them at all."""
        if project.id not in self.projects or project.tenant is not who.tenant:
            return False
        if who.only is not None and project.id not in who.only:
            return False
        return not project.private or who.user in project.team

    def seen(self, who: Caller) -> set[str]:
        return {id for id, project in self.projects.items() if self.sees(who, project)}

    def keys(self, user: str, tenant: Tenant) -> set[str]:
        return {
            one.id
            for one in self.callers.values()
            if one.scopes is not None and not one.ended and (one.user, one.tenant) == (user, tenant)
        }

    def sessions(self, user: str) -> set[str]:
        return {
            one.id
            for one in self.callers.values()
            if one.scopes is None and one.user == user and not one.ended
        }

    def refusal(
        self,
        who: Caller | None,
        permission: str,
        project: Project | None = None,
    ) -> int | None:
        """The status that turns a caller away before anything else is looked at."""
        if who is None or not self.known(who):
            return 401
        if project is not None and not self.sees(who, project):
            return 404
        return None if self.may(who, permission, project) else 403

    def secrets_from(self, who: Caller | None) -> set[str]:
        """Marks that no answer to them may bear."""
        tenant = None if who is None else who.tenant
        foreign = {one.mark for one in self.tenants if one is not tenant}
        unseen = {
            one.mark for one in self.projects.values() if who is None or not self.sees(who, one)
        }
        return foreign | unseen

    def end_sessions(self, user: str, tenant: Tenant) -> None:
        for one in self.callers.values():
            if one.scopes is None and (one.user, one.tenant) == (user, tenant):
                one.ended = True

    def remove(self, user: str, tenant: Tenant, by: Caller) -> None:
        """Out of the tenant and its teams; private projects that nobody else maintains pass on."""
        heir = by.user if by.user != user else min(tenant.admins() - {user}, default="")
        for project in self.projects.values():
            if project.tenant is not tenant:
                continue
            if user in project.maintainers() and project.ownerless_without(user):
                project.team[heir] = "maintainer"
            project.team.pop(user, None)
        self.end_sessions(user, tenant)
        for one in self.callers.values():
            if one.scopes is not None and (one.user, one.tenant) == (user, tenant):
                one.ended = True
        for offer in self.invitations.values():
            if offer.tenant is tenant and offer.user == user:
                offer.open = False
        del tenant.places[user]
        tenant.machines.discard(user)

    def _scope_reaches(self, who: Caller, scope: str) -> bool:
        assert who.scopes is not None
        return bool(scope) and any(SCOPES.index(s) >= SCOPES.index(scope) for s in who.scopes)
