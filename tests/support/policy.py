"""What each route asks of its caller: the table that the matrix test holds the server to."""

from dataclasses import dataclass
from pathlib import Path

from fastapi.routing import iter_route_contexts

from maestro_ml.api.main import create_app
from maestro_ml.core.access import (
    EVERYBODYS,
    LISTED,
    PROJECT_SCOPED,
    RULES,
    Permission,
    Role,
    Rule,
    Scope,
)
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
    "read_invitation": PUBLIC,
    "accept_invitation": PUBLIC,
    "login_with_code": PUBLIC,
    "enrol_at_login": PUBLIC,
    "confirm_at_login": PUBLIC,
    "forget_password": PUBLIC,
    "reset_password": PUBLIC,
    "verify_email": PUBLIC,
    "change_me": P.ACCOUNT_WRITE,
    "change_password": P.ACCOUNT_WRITE,
    "change_email": P.ACCOUNT_WRITE,
    "resend_verification": P.ACCOUNT_WRITE,
    "list_mails": P.OUTBOX_READ,
    "read_mail": P.OUTBOX_READ,
    "start_single_sign_on": PUBLIC,
    "finish_single_sign_on": PUBLIC,
    "start_device_login": PUBLIC,
    "poll_device_login": PUBLIC,
    "show_front_page": PUBLIC,
    "show_device_page": PUBLIC,
    "show_password_page": PUBLIC,
    "show_email_page": PUBLIC,
    "show_invitation_page": PUBLIC,
    "show_page_file": PUBLIC,
    "read_device_login": P.DEVICE_APPROVE,
    "approve_device_login": P.DEVICE_APPROVE,
    "deny_device_login": P.DEVICE_APPROVE,
    "create_identity_provider": P.IDENTITY_PROVIDER_WRITE,
    "list_identity_providers": P.IDENTITY_PROVIDER_READ,
    "read_identity_provider": P.IDENTITY_PROVIDER_READ,
    "change_identity_provider": P.IDENTITY_PROVIDER_WRITE,
    "delete_identity_provider": P.IDENTITY_PROVIDER_WRITE,
    "test_identity_provider": P.IDENTITY_PROVIDER_WRITE,
    "logout": P.SESSION_END,
    "logout_everywhere": P.SESSION_END,
    "list_sessions": P.SESSION_READ,
    "end_session": P.SESSION_END,
    "list_my_tenants": P.SESSION_READ,
    "switch_tenant": P.SESSION_SWITCH,
    "read_mfa": P.MFA_READ,
    "begin_totp": P.MFA_WRITE,
    "confirm_totp": P.MFA_WRITE,
    "renew_recovery_codes": P.MFA_WRITE,
    "disable_mfa": P.MFA_WRITE,
    "read_me": P.ACCOUNT_READ,
    "create_tenant": P.TENANT_CREATE,
    "list_tenants": P.TENANT_MANAGE,
    "read_tenant": P.TENANT_MANAGE,
    "change_tenant": P.TENANT_MANAGE,
    "suspend_tenant": P.TENANT_MANAGE,
    "resume_tenant": P.TENANT_MANAGE,
    "delete_tenant": P.TENANT_MANAGE,
    "list_tenant_deletions": P.TENANT_MANAGE,
    "read_tenant_deletion": P.TENANT_MANAGE,
    "read_tenant_policy": P.TENANT_READ,
    "change_tenant_policy": P.TENANT_WRITE,
    "disable_account": P.ACCOUNT_MANAGE,
    "enable_account": P.ACCOUNT_MANAGE,
    "read_current_tenant": P.TENANT_READ,
    "create_api_key": P.API_KEY_WRITE,
    "list_api_keys": P.API_KEY_READ,
    "revoke_api_key": P.API_KEY_WRITE,
    "invite_user": P.USER_WRITE,
    "list_invitations": P.USER_READ,
    "revoke_invitation": P.USER_WRITE,
    "resend_invitation": P.USER_WRITE,
    "list_users": P.USER_READ,
    "read_user": P.USER_READ,
    "change_user": P.USER_WRITE,
    "start_password_reset": P.USER_WRITE,
    "remove_user": P.USER_WRITE,
    "sign_out_user": P.USER_WRITE,
    "create_service_account": P.USER_WRITE,
    "list_service_accounts": P.USER_READ,
    "read_service_account": P.USER_READ,
    "change_service_account": P.USER_WRITE,
    "delete_service_account": P.USER_WRITE,
    "create_service_key": P.SERVICE_KEY_WRITE,
    "list_service_keys": P.SERVICE_KEY_READ,
    "revoke_service_key": P.SERVICE_KEY_WRITE,
    "create_project": P.PROJECT_CREATE,
    "list_projects": P.PROJECT_READ,
    "read_project": P.PROJECT_READ,
    "change_project": P.PROJECT_WRITE,
    "archive_project": P.PROJECT_MANAGE,
    "restore_project": P.PROJECT_MANAGE,
    "delete_project": P.PROJECT_MANAGE,
    "create_model": P.MODEL_WRITE,
    "list_models": P.MODEL_READ,
    "read_model": P.MODEL_READ,
    "change_model": P.MODEL_WRITE,
    "delete_model": P.MODEL_WRITE,
    "compare_model_versions": P.MODEL_READ,
    "set_model_alias": P.MODEL_WRITE,
    "read_model_alias": P.MODEL_READ,
    "delete_model_alias": P.MODEL_WRITE,
    "create_model_version": P.MODEL_WRITE,
    "list_model_versions": P.MODEL_READ,
    "read_model_version": P.MODEL_READ,
    "change_model_version": P.MODEL_WRITE,
    "delete_model_version": P.MODEL_WRITE,
    "list_model_version_files": P.MODEL_READ,
    "read_model_lineage": P.MODEL_READ,
    "list_project_members": P.PROJECT_READ,
    "add_project_member": P.PROJECT_MANAGE,
    "change_project_member": P.PROJECT_MANAGE,
    "remove_project_member": P.PROJECT_MANAGE,
    "list_approvals": P.APPROVAL_READ,
    "create_approval": P.APPROVAL_REQUEST,
    "read_approval": P.APPROVAL_READ,
    "vote_on_approval": P.APPROVAL_DECIDE,
    "withdraw_approval": P.APPROVAL_REQUEST,
    "override_approval": P.APPROVAL_OVERRIDE,
    "retry_evidence": P.APPROVAL_REQUEST,
    "read_approval_policy": P.POLICY_READ,
    "list_approval_policies": P.POLICY_READ,
    "write_approval_policy": P.POLICY_WRITE,
    "try_approval_policy": P.POLICY_READ,
    "list_audit_events": P.AUDIT_READ,
    "read_audit_event": P.AUDIT_READ,
    "export_audit_events": P.AUDIT_READ,
    "read_audit_trail": P.AUDIT_READ,
    "verify_audit_trail": P.AUDIT_READ,
    "list_jobs": P.JOB_READ,
    "read_job": P.JOB_READ,
    "cancel_job": P.JOB_CANCEL,
    "watch_job": P.JOB_READ,
    "create_webhook": P.WEBHOOK_WRITE,
    "list_webhooks": P.PROJECT_READ,
    "read_webhook": P.WEBHOOK_READ,
    "change_webhook": P.WEBHOOK_WRITE,
    "delete_webhook": P.WEBHOOK_WRITE,
    "rotate_webhook_secret": P.WEBHOOK_WRITE,
    "test_webhook": P.WEBHOOK_WRITE,
    "list_webhook_deliveries": P.WEBHOOK_READ,
    "replay_webhook_delivery": P.WEBHOOK_WRITE,
    "GET server-info": SIGNED_IN,
    "GET server-features": SIGNED_IN,
    "GET workspaces": P.PROJECT_READ,
    "POST workspaces": P.PROJECT_CREATE,
    "GET workspaces/{workspace_name}": P.PROJECT_READ,
    "PATCH workspaces/{workspace_name}": P.PROJECT_WRITE,
    "DELETE workspaces/{workspace_name}": P.PROJECT_MANAGE,
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
    "POST runs/log-inputs": P.RUN_WRITE,
    "POST runs/outputs": P.RUN_WRITE,
    "POST runs/log-model": P.RUN_WRITE,
    "POST experiments/search-datasets": P.RUN_READ,
    "POST logged-models": P.RUN_WRITE,
    "POST logged-models/search": P.RUN_READ,
    "GET logged-models/{model_id}": P.RUN_READ,
    "PATCH logged-models/{model_id}": P.RUN_WRITE,
    "DELETE logged-models/{model_id}": P.RUN_WRITE,
    "PATCH logged-models/{model_id}/tags": P.RUN_WRITE,
    "DELETE logged-models/{model_id}/tags/{tag_key}": P.RUN_WRITE,
    "POST logged-models/{model_id}/params": P.RUN_WRITE,
    "POST registered-models/create": P.MODEL_WRITE,
    "GET registered-models/get": P.MODEL_READ,
    "GET registered-models/search": P.MODEL_READ,
    "POST registered-models/rename": P.MODEL_WRITE,
    "PATCH registered-models/update": P.MODEL_WRITE,
    "DELETE registered-models/delete": P.MODEL_WRITE,
    "GET registered-models/get-latest-versions": P.MODEL_READ,
    "POST registered-models/get-latest-versions": P.MODEL_READ,
    "POST registered-models/set-tag": P.MODEL_WRITE,
    "DELETE registered-models/delete-tag": P.MODEL_WRITE,
    "POST registered-models/alias": P.MODEL_WRITE,
    "DELETE registered-models/alias": P.MODEL_WRITE,
    "GET registered-models/alias": P.MODEL_READ,
    "POST model-versions/create": P.MODEL_WRITE,
    "GET model-versions/get": P.MODEL_READ,
    "GET model-versions/search": P.MODEL_READ,
    "PATCH model-versions/update": P.MODEL_WRITE,
    "POST model-versions/transition-stage": P.MODEL_WRITE,
    "DELETE model-versions/delete": P.MODEL_WRITE,
    "GET model-versions/get-download-uri": P.MODEL_READ,
    "POST model-versions/set-tag": P.MODEL_WRITE,
    "DELETE model-versions/delete-tag": P.MODEL_WRITE,
    "GET artifacts/list": P.RUN_READ,
    "GET logged-models/{model_id}/artifacts/directories": P.RUN_READ,
    "POST artifacts/presigned-download-url": P.RUN_READ,
    "POST artifacts/presigned-upload-url": P.RUN_WRITE,
    "GET mlflow-artifacts/artifacts": P.RUN_READ,
    "GET mlflow-artifacts/artifacts/{path}": P.RUN_READ,
    "PUT mlflow-artifacts/artifacts/{path}": P.RUN_WRITE,
    "DELETE mlflow-artifacts/artifacts/{path}": P.RUN_WRITE,
    "GET mlflow-artifacts/presigned/{path}": P.RUN_READ,
    "POST mlflow-artifacts/mpu/create/{path}": P.RUN_WRITE,
    "POST mlflow-artifacts/mpu/complete/{path}": P.RUN_WRITE,
    "POST mlflow-artifacts/mpu/abort/{path}": P.RUN_WRITE,
    "PUT mlflow-artifacts/mpu/parts/{upload_id}/{number}": PUBLIC,
    "GET metrics/get-history-bulk": P.RUN_READ,
    "GET metrics/get-history-bulk-interval": P.RUN_READ,
    "POST webhooks": P.WEBHOOK_WRITE,
    "GET webhooks": P.WEBHOOK_READ,
    "GET webhooks/{webhook_id}": P.WEBHOOK_READ,
    "PATCH webhooks/{webhook_id}": P.WEBHOOK_WRITE,
    "DELETE webhooks/{webhook_id}": P.WEBHOOK_WRITE,
    "POST webhooks/{webhook_id}/test": P.WEBHOOK_WRITE,
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
        path = (route.path or "").replace(":path}", "}")
        for method in sorted((route.methods or set()) - {"HEAD"}):
            name = route.name or ""
            for prefix in PREFIXES:
                if path.startswith(f"{prefix}/"):
                    name = f"{method} {path.removeprefix(f'{prefix}/')}"
                elif path.startswith(f"{prefix}-artifacts/"):
                    name = f"{method} {path[path.index('mlflow-artifacts') :]}"
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
    confined: bool = False  # to a project of its tenant that no call names


def verdict(name: str, who: Standing, names_something_of: str | None) -> int | None:
    """The status that refuses them, by the rules alone; None: they may."""
    policy = POLICY[name]
    if policy == PUBLIC or (policy == SIGNED_IN and who.known):
        return None
    if policy == METRICS or not who.known:
        return 401
    permission = Permission(policy)
    rule = RULES[permission]
    if _too_low(rule, who):
        return 403
    if who.confined:
        return _outside(permission, names_something_of)
    return None if rule.platform or names_something_of in {None, who.home} else 404


def _too_low(rule: Rule, who: Standing) -> bool:
    ranks = list(Role)
    if all(scope.rank < rule.scope.rank for scope in who.scopes):
        return True
    if rule.session_only and who.by_key:
        return True
    if rule.platform:
        return not who.platform_admin
    return rule.role is not None and ranks.index(who.role) < ranks.index(rule.role)


def _outside(permission: Permission, names_something_of: str | None) -> int | None:
    """A key's list of projects leaves it what everybody reads, and lists that come out empty."""
    if permission not in PROJECT_SCOPED:
        return None if permission in EVERYBODYS else 403
    if names_something_of:
        return 404
    return None if permission in LISTED else 403
