"""What each route asks of its caller: the table that the matrix test holds the server to."""

from dataclasses import dataclass
from pathlib import Path

from fastapi.routing import iter_route_contexts

from maestro_ml.api.main import create_app
from maestro_ml.core.access import RULES, Permission, Role, Scope
from maestro_ml.core.settings import Settings
from maestro_ml.mlflow.route import PREFIXES

PUBLIC = "public"
SIGNED_IN = "signed in"  # whoever we know, whatever they may do
METRICS = "metrics"  # a token of its own, which is no person's
P = Permission

# By operation: the route function's name; MLflow's calls, which stand under two addresses each,
# by method and what follows the prefix.
POLICY: dict[str, Permission | str] = {
    "read_docs": PUBLIC,
    "read_openapi": PUBLIC,
    "read_health": PUBLIC,
    "read_readiness": PUBLIC,
    "read_version": PUBLIC,
    "read_metrics": METRICS,
    "read_signing_keys": PUBLIC,
    "read_auth_health": PUBLIC,
    "register_user": PUBLIC,
    "login": PUBLIC,
    "refresh_tokens": PUBLIC,
    "set_up_platform": PUBLIC,
    "accept_invitation": PUBLIC,
    "logout": P.SESSION_END,
    "logout_everywhere": P.SESSION_END,
    "read_me": P.ACCOUNT_READ,
    "create_tenant": P.TENANT_CREATE,
    "list_tenants": P.TENANT_CREATE,
    "read_current_tenant": P.TENANT_READ,
    "create_api_key": P.API_KEY_WRITE,
    "list_api_keys": P.API_KEY_READ,
    "revoke_api_key": P.API_KEY_WRITE,
    "invite_user": P.USER_WRITE,
    "list_invitations": P.USER_READ,
    "revoke_invitation": P.USER_WRITE,
    "list_users": P.USER_READ,
    "read_user": P.USER_READ,
    "change_user": P.USER_WRITE,
    "create_project": P.PROJECT_CREATE,
    "list_projects": P.PROJECT_READ,
    "read_project": P.PROJECT_READ,
    "change_project": P.PROJECT_WRITE,
    "archive_project": P.PROJECT_MANAGE,
    "restore_project": P.PROJECT_MANAGE,
    "delete_project": P.PROJECT_MANAGE,
    "list_project_members": P.PROJECT_READ,
    "add_project_member": P.PROJECT_MANAGE,
    "change_project_member": P.PROJECT_MANAGE,
    "remove_project_member": P.PROJECT_MANAGE,
    "list_jobs": P.JOB_READ,
    "read_job": P.JOB_READ,
    "cancel_job": P.JOB_CANCEL,
    "watch_job": P.JOB_READ,
    "GET server-info": SIGNED_IN,
    "POST experiments/create": P.RUN_WRITE,
    "GET experiments/get": P.RUN_READ,
    "GET experiments/get-by-name": P.RUN_READ,
    "GET experiments/search": P.RUN_READ,
    "POST experiments/search": P.RUN_READ,
    "POST experiments/update": P.RUN_WRITE,
    "POST experiments/delete": P.RUN_WRITE,
    "POST experiments/restore": P.RUN_WRITE,
    "POST experiments/set-experiment-tag": P.RUN_WRITE,
    "POST experiments/delete-experiment-tag": P.RUN_WRITE,
    "POST runs/create": P.RUN_WRITE,
    "GET runs/get": P.RUN_READ,
    "POST runs/update": P.RUN_WRITE,
    "POST runs/delete": P.RUN_WRITE,
    "POST runs/restore": P.RUN_WRITE,
    "POST runs/log-metric": P.RUN_WRITE,
    "POST runs/log-parameter": P.RUN_WRITE,
    "POST runs/log-batch": P.RUN_WRITE,
    "POST runs/set-tag": P.RUN_WRITE,
    "POST runs/delete-tag": P.RUN_WRITE,
    "POST runs/search": P.RUN_READ,
    "GET metrics/get-history": P.RUN_READ,
}


@dataclass(frozen=True)
class Operation:
    """One method at one address."""

    name: str
    method: str
    path: str
    has_body: bool

    @property
    def mlflow(self) -> bool:
        return self.path.startswith(PREFIXES)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def operations() -> list[Operation]:
    """Everything the server answers at, be it in OpenAPI or not."""
    app = create_app(Settings(data=Path("never-opened")))
    found: list[Operation] = []
    for route in iter_route_contexts(app.routes):
        path = route.path or ""
        for method in sorted((route.methods or set()) - {"HEAD"}):
            name = route.name or ""
            for prefix in PREFIXES:
                if path.startswith(f"{prefix}/"):
                    name = f"{method} {path.removeprefix(f'{prefix}/')}"
            has_body = getattr(route, "body_field", None) is not None
            found.append(Operation(name, method, path, has_body))
    return found


@dataclass(frozen=True)
class Standing:
    """What somebody is, as far as the rules ask. `known`: their credential is good."""

    known: bool = True
    home: str = "A"
    role: Role = Role.VIEWER
    scopes: frozenset[Scope] = frozenset(Scope)
    by_key: bool = False
    platform_admin: bool = False


def verdict(name: str, who: Standing, names_something_of: str | None) -> int | None:
    """The status that refuses them, by the rules alone; None: they may."""
    policy = POLICY[name]
    if policy == PUBLIC or (policy == SIGNED_IN and who.known):
        return None
    if policy == METRICS or not who.known:
        return 401
    rule = RULES[Permission(policy)]
    ranks = list(Role)
    too_low = all(scope.rank < rule.scope.rank for scope in who.scopes)
    if too_low or (rule.session_only and who.by_key):
        return 403
    if rule.platform and not who.platform_admin:
        return 403
    if rule.role and not rule.platform and ranks.index(who.role) < ranks.index(rule.role):
        return 403
    return None if names_something_of in {None, who.home} else 404
