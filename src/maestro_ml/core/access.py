"""Who may do what. The whole permission matrix is on this page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from maestro_ml.core.errors import Forbidden

SYSTEM_ACTOR = UUID(int=0)


class Role(StrEnum):
    """Inside a tenant or a project, from least to most."""

    VIEWER = "viewer"
    MEMBER = "member"
    MAINTAINER = "maintainer"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        return list(Role).index(self)


class Scope(StrEnum):
    """What an API key was made for; each includes the ones before it. A session has all three."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        return list(Scope).index(self)


class Permission(StrEnum):
    ACCOUNT_READ = "account:read"
    ACCOUNT_WRITE = "account:write"
    SESSION_END = "session:end"
    SESSION_READ = "session:read"
    SESSION_SWITCH = "session:switch"
    MFA_READ = "mfa:read"
    MFA_WRITE = "mfa:write"
    API_KEY_READ = "api-key:read"
    API_KEY_WRITE = "api-key:write"
    TENANT_READ = "tenant:read"
    TENANT_WRITE = "tenant:write"
    TENANT_CREATE = "tenant:create"
    TENANT_MANAGE = "tenant:manage"
    ACCOUNT_MANAGE = "account:manage"
    OUTBOX_READ = "outbox:read"
    USER_READ = "user:read"
    USER_WRITE = "user:write"
    ADMIN_APPOINT = "admin:appoint"
    AUDIT_READ = "audit:read"
    SERVICE_KEY_READ = "service-key:read"
    SERVICE_KEY_WRITE = "service-key:write"
    JOB_READ = "job:read"
    JOB_CANCEL = "job:cancel"
    PROJECT_READ = "project:read"
    PROJECT_CREATE = "project:create"
    PROJECT_WRITE = "project:write"
    PROJECT_MANAGE = "project:manage"
    RUN_READ = "run:read"
    RUN_WRITE = "run:write"
    MODEL_READ = "model:read"
    MODEL_WRITE = "model:write"
    APPROVAL_READ = "approval:read"
    APPROVAL_REQUEST = "approval:request"
    APPROVAL_DECIDE = "approval:decide"
    APPROVAL_OVERRIDE = "approval:override"
    POLICY_READ = "policy:read"
    POLICY_WRITE = "policy:write"
    IDENTITY_PROVIDER_READ = "identity-provider:read"
    IDENTITY_PROVIDER_WRITE = "identity-provider:write"
    DEVICE_APPROVE = "device:approve"
    WEBHOOK_READ = "webhook:read"
    WEBHOOK_WRITE = "webhook:write"
    TENANT_WEBHOOK_READ = "tenant-webhook:read"
    TENANT_WEBHOOK_WRITE = "tenant-webhook:write"


@dataclass(frozen=True, slots=True)
class Rule:
    """The least role in the tenant (or project) and the key scope. No role: any caller."""

    role: Role | None
    scope: Scope
    session_only: bool = False  # an API key may not, whatever its scope
    platform: bool = False  # above tenants: only a platform admin
    # Every request asks: what reaches far enough is found once.
    roles: frozenset[Role] = field(init=False)
    scopes: frozenset[Scope] = field(init=False)

    def __post_init__(self) -> None:
        least = self.role
        roles = () if least is None else (one for one in Role if one.rank >= least.rank)
        object.__setattr__(self, "roles", frozenset(roles))
        scopes = (one for one in Scope if one.rank >= self.scope.rank)
        object.__setattr__(self, "scopes", frozenset(scopes))


RULES: Mapping[Permission, Rule] = {
    Permission.ACCOUNT_READ: Rule(None, Scope.READ),
    Permission.ACCOUNT_WRITE: Rule(None, Scope.WRITE, session_only=True),
    Permission.SESSION_END: Rule(None, Scope.WRITE, session_only=True),
    Permission.SESSION_READ: Rule(None, Scope.READ, session_only=True),
    Permission.SESSION_SWITCH: Rule(None, Scope.WRITE, session_only=True),
    Permission.MFA_READ: Rule(None, Scope.READ, session_only=True),
    Permission.MFA_WRITE: Rule(None, Scope.WRITE, session_only=True),
    Permission.API_KEY_READ: Rule(Role.VIEWER, Scope.READ, session_only=True),
    Permission.API_KEY_WRITE: Rule(Role.VIEWER, Scope.WRITE, session_only=True),
    Permission.TENANT_READ: Rule(Role.VIEWER, Scope.READ),
    Permission.TENANT_WRITE: Rule(Role.ADMIN, Scope.ADMIN),
    Permission.TENANT_CREATE: Rule(None, Scope.ADMIN, session_only=True, platform=True),
    Permission.TENANT_MANAGE: Rule(None, Scope.ADMIN, session_only=True, platform=True),
    Permission.ACCOUNT_MANAGE: Rule(None, Scope.ADMIN, session_only=True, platform=True),
    Permission.OUTBOX_READ: Rule(None, Scope.ADMIN, session_only=True, platform=True),
    Permission.USER_READ: Rule(Role.ADMIN, Scope.ADMIN),
    Permission.USER_WRITE: Rule(Role.ADMIN, Scope.ADMIN),
    Permission.ADMIN_APPOINT: Rule(Role.ADMIN, Scope.ADMIN, session_only=True),
    Permission.AUDIT_READ: Rule(Role.ADMIN, Scope.ADMIN),
    Permission.SERVICE_KEY_READ: Rule(Role.ADMIN, Scope.ADMIN, session_only=True),
    Permission.SERVICE_KEY_WRITE: Rule(Role.ADMIN, Scope.ADMIN, session_only=True),
    Permission.JOB_READ: Rule(Role.VIEWER, Scope.READ),
    Permission.JOB_CANCEL: Rule(Role.MEMBER, Scope.WRITE),
    Permission.PROJECT_READ: Rule(Role.VIEWER, Scope.READ),
    Permission.PROJECT_CREATE: Rule(Role.MEMBER, Scope.WRITE),
    Permission.PROJECT_WRITE: Rule(Role.MEMBER, Scope.WRITE),
    Permission.PROJECT_MANAGE: Rule(Role.MAINTAINER, Scope.WRITE),
    Permission.RUN_READ: Rule(Role.VIEWER, Scope.READ),
    Permission.RUN_WRITE: Rule(Role.MEMBER, Scope.WRITE),
    Permission.MODEL_READ: Rule(Role.VIEWER, Scope.READ),
    Permission.MODEL_WRITE: Rule(Role.MEMBER, Scope.WRITE),
    Permission.APPROVAL_READ: Rule(Role.VIEWER, Scope.READ),
    Permission.APPROVAL_REQUEST: Rule(Role.MEMBER, Scope.WRITE),
    # A vote is a person's word, and what decides about votes is too: a key lies in a script.
    Permission.APPROVAL_DECIDE: Rule(Role.MAINTAINER, Scope.WRITE, session_only=True),
    Permission.APPROVAL_OVERRIDE: Rule(Role.ADMIN, Scope.ADMIN, session_only=True),
    Permission.POLICY_READ: Rule(Role.VIEWER, Scope.READ),
    Permission.POLICY_WRITE: Rule(Role.ADMIN, Scope.ADMIN, session_only=True),
    Permission.IDENTITY_PROVIDER_READ: Rule(Role.ADMIN, Scope.ADMIN),
    Permission.IDENTITY_PROVIDER_WRITE: Rule(Role.ADMIN, Scope.ADMIN, session_only=True),
    Permission.DEVICE_APPROVE: Rule(None, Scope.WRITE, session_only=True),
    Permission.WEBHOOK_READ: Rule(Role.MAINTAINER, Scope.READ),
    Permission.WEBHOOK_WRITE: Rule(Role.MAINTAINER, Scope.WRITE),
    Permission.TENANT_WEBHOOK_READ: Rule(Role.ADMIN, Scope.ADMIN),
    Permission.TENANT_WEBHOOK_WRITE: Rule(Role.ADMIN, Scope.ADMIN),
}


class ActorKind(StrEnum):
    USER = "user"
    SERVICE = "service"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One caller, as the database knew them when the request began.

    `tenant_id` and `role` are None for a platform admin without a membership. `only_projects`
    is the project list of an API key; None means that the key, or the session, has no such list.
    """

    actor_id: UUID
    tenant_id: UUID | None
    role: Role | None
    kind: ActorKind = ActorKind.USER
    platform_admin: bool = False
    scopes: frozenset[Scope] = frozenset(Scope)
    session_id: UUID | None = None
    api_key_id: UUID | None = None
    default_project_id: UUID | None = None
    only_projects: frozenset[UUID] | None = None
    project_roles: Mapping[UUID, Role] = field(default_factory=dict)
    max_requests_per_minute: int | None = None  # of the tenant, all its callers together

    @property
    def credential_id(self) -> UUID | None:
        """The session, or the API key, that they are known by."""
        return self.session_id or self.api_key_id

    def allows(self, permission: Permission, project_id: UUID | None = None) -> bool:
        rule = RULES[permission]
        if self.scopes.isdisjoint(rule.scopes):
            return False
        if rule.session_only and self.api_key_id is not None:
            return False
        if rule.platform:
            return self.platform_admin
        if not self._listed(permission, project_id):
            return False
        if rule.role is None or self.role in rule.roles:
            return True
        return project_id is not None and self.project_roles.get(project_id) in rule.roles

    def _listed(self, permission: Permission, project_id: UUID | None) -> bool:
        """Whether a key's list of projects, if it has one, leaves this open."""
        if self.only_projects is None:
            return True
        if permission not in PROJECT_SCOPED:
            return permission in EVERYBODYS
        return permission in LISTED if project_id is None else project_id in self.only_projects

    def require(self, permission: Permission, project_id: UUID | None = None) -> None:
        """Raises:
        Forbidden: the caller's role, scope or kind of credential is too low.
        """
        if not self.allows(permission, project_id):
            raise Forbidden(
                f"This needs the permission {permission}, which your role or your key's scope "
                "does not include.",
                permission=permission,
            )

    @classmethod
    def system(cls, tenant_id: UUID) -> "Access":
        """The platform itself, acting for one tenant: what job handlers run as."""
        return cls(
            actor_id=SYSTEM_ACTOR, tenant_id=tenant_id, role=Role.ADMIN, kind=ActorKind.SYSTEM
        )


# A key with a project list reaches these only inside its projects; the listed ones may also be
# asked without a project, because the session filters what they find. Of the tenant's own things it
# reads what everybody reads, and changes none.
PROJECT_SCOPED = frozenset(
    p
    for p in Permission
    if p.value.split(":")[0] in {"project", "run", "model", "job", "approval", "webhook"}
)
LISTED = frozenset(
    {
        Permission.PROJECT_READ,
        Permission.RUN_READ,
        Permission.MODEL_READ,
        Permission.JOB_READ,
        Permission.APPROVAL_READ,
        Permission.WEBHOOK_READ,
    }
)
EVERYBODYS = frozenset(
    permission
    for permission, rule in RULES.items()
    if rule.scope is Scope.READ and rule.role in {None, Role.VIEWER}
)
