"""What each operation is sent by the matrix test, and how it ends for whoever may."""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from maestro_ml.core.ids import new_id
from maestro_ml.identity import tokens
from support.live import a_password, ok
from support.policy import Operation
from support.principals import (
    A_WEBHOOK_OF_MLFLOW,
    Principal,
    a_provider,
    a_webhook,
    accepting,
    named,
)
from support.stage import MLFLOW, Stage


@dataclass
class Call:
    """What an operation is sent, and how it ends for whoever may."""

    body: Any = None
    query: dict[str, Any] = field(default_factory=dict)
    path: dict[str, str] = field(default_factory=dict)
    bearer: str | None = None  # in place of the caller's own
    ends: str | None = None  # the code of a refusal; None: it is done
    finds: bool = False  # a search: what is elsewhere is not found, and that is no fault
    after: Callable[[], object] = lambda: None
    used_up: bool = False


def _signing_in(stage: Stage, who: Principal) -> Call:
    person = stage.cast[who.person or "spare"]
    return Call({"email": person.email, "password": person.password})


def _leaving(stage: Stage, who: Principal) -> Call:
    return Call(bearer=stage.a_login(who)["access_token"] if who.person else None)


def _leaving_everywhere(stage: Stage, who: Principal) -> Call:
    person = who.person
    return Call(after=lambda: stage.cast.sign_in(person) if person else None)


def _half_way(**more: str) -> dict[str, str]:
    return {"mfa_token": tokens.mint(tokens.MFA)} | more


def _of_experiment(**more: Any) -> Callable[[Stage, Principal], Call]:
    return lambda stage, _: Call({"experiment_id": stage.experiment} | more)


def _of_run(**more: Any) -> Callable[[Stage, Principal], Call]:
    return lambda stage, _: Call({"run_id": stage.run} | more)


def _of_registered(*, query: bool = False, **more: str) -> Callable[[Stage, Principal], Call]:
    def prepare(stage: Stage, _: Principal) -> Call:
        sent = {"name": stage.registered} | more
        return Call(query=sent) if query else Call(sent)

    return prepare


def _deleted_run(stage: Stage) -> str:
    run = stage.a_run()
    ok(stage.made("POST", f"{MLFLOW}/runs/delete", {"run_id": run}))
    return run


def _tagged_run(stage: Stage) -> str:
    tag = {"run_id": stage.run, "key": "gone", "value": "x"}
    ok(stage.made("POST", f"{MLFLOW}/runs/set-tag", tag))
    return stage.run


def _tagged_experiment(stage: Stage) -> str:
    tag = {"experiment_id": stage.experiment, "key": "gone", "value": "x"}
    ok(stage.made("POST", f"{MLFLOW}/experiments/set-experiment-tag", tag))
    return stage.experiment


def _a_word(stage: Stage) -> str:
    """Another one each time, so that something is changed."""
    return f"{stage.mark} {secrets.token_hex(4)}"


def _replaying(stage: Stage, _: Principal) -> Call:
    """To a webhook that is disabled: nothing is tried behind the tests' backs."""
    webhook = stage.a_webhook()
    delivery = stage.a_delivery(webhook)
    ok(stage.made("PATCH", f"/api/v1/webhooks/{webhook}", {"status": "disabled"}))
    return Call(path={"id": webhook, "delivery_id": delivery}, ends="webhook-disabled")


A_DATASET = {"name": "n", "digest": "d", "source_type": "local", "source": "{}"}
A_DESCRIPTION = json.dumps(
    dict.fromkeys(("artifact_path", "flavors", "utc_time_created", "run_id"), "x")
)
UNSIGNED = "INVALID_PARAMETER_VALUE"  # of files in a local folder

# What needs more than an address. Where a call would destroy what others need, it gets an object
# of its own, or makes a mistake that is found out last.
CALLS: Mapping[str, Callable[[Stage, Principal], Call]] = {
    "register_user": lambda stage, _: Call(
        {"email": stage.cast["viewerA"].email, "password": a_password(), "name": "N"},
        ends="email-taken",
    ),
    "login": _signing_in,
    "refresh_tokens": lambda stage, who: Call(
        {"refresh_token": stage.a_login(who)["refresh_token"]},
        # Beside somebody else's credential it counts for nothing.
        ends="unauthenticated" if who.standing.known and who.person is None else None,
    ),
    "set_up_platform": lambda *_: Call(
        accepting(tokens.mint(tokens.SETUP)) | {"email": "another@root.test"}, ends="setup-refused"
    ),
    "read_invitation": lambda *_: Call(
        {"token": tokens.mint(tokens.INVITATION)}, ends="invitation-invalid"
    ),
    "accept_invitation": lambda *_: Call(
        accepting(tokens.mint(tokens.INVITATION)), ends="invitation-invalid"
    ),
    "forget_password": lambda *_: Call({"email": "nobody@maestro.test"}),
    "reset_password": lambda *_: Call(
        {"token": tokens.mint(tokens.LINK), "new_password": a_password()}, ends="link-refused"
    ),
    "verify_email": lambda *_: Call({"token": tokens.mint(tokens.LINK)}, ends="link-refused"),
    "change_me": lambda stage, who: Call({"name": who.person or "N"}),
    "change_password": lambda *_: Call(
        {"current_password": a_password(), "new_password": a_password()}, ends="wrong-password"
    ),
    "change_email": lambda *_: Call({"new_email": "new@maestro.test"}, ends="wrong-password"),
    "read_mail": lambda stage, _: Call(path={"id": stage.a_mail()}),
    "start_single_sign_on": lambda *_: Call(
        path={"tenant": "nobody", "provider": "nothing"}, ends="identity-provider-not-found"
    ),
    "finish_single_sign_on": lambda *_: Call(
        path={"id": str(new_id())}, ends="single-sign-on-refused"
    ),
    "start_device_login": lambda *_: Call({}),
    "poll_device_login": lambda *_: Call(
        {"device_code": tokens.mint(tokens.DEVICE)}, ends="expired-token"
    ),
    "show_page_file": lambda *_: Call(path={"file": "pages.css"}),
    "read_device_login": lambda stage, _: Call(query={"user_code": stage.a_device()}),
    "approve_device_login": lambda stage, _: Call({"user_code": stage.a_device()}),
    "deny_device_login": lambda stage, _: Call({"user_code": stage.a_device()}),
    "create_identity_provider": lambda *_: Call(a_provider()),
    "change_identity_provider": lambda *_: Call({"name": "N"}),
    "logout": _leaving,
    "logout_everywhere": _leaving_everywhere,
    "login_with_code": lambda *_: Call(_half_way(code="000000"), ends="mfa-token-invalid"),
    "enrol_at_login": lambda *_: Call(_half_way(), ends="mfa-token-invalid"),
    "confirm_at_login": lambda *_: Call(_half_way(code="000000"), ends="mfa-token-invalid"),
    "switch_tenant": lambda *_: Call({"tenant": "no-such-tenant"}, ends="tenant-not-found"),
    "begin_totp": lambda *_: Call({"current_password": "wrong"}, ends="wrong-password"),
    "confirm_totp": lambda *_: Call({"code": "000000"}, ends="mfa-not-begun"),
    "renew_recovery_codes": lambda *_: Call({"code": "000000"}, ends="mfa-inactive"),
    "disable_mfa": lambda *_: Call({"code": "000000"}, ends="mfa-inactive"),
    "create_tenant": lambda *_: Call(
        named(slug=f"t-{secrets.token_hex(4)}", admin_email="new@admin.test")
    ),
    "create_api_key": lambda *_: Call(named()),
    "invite_user": lambda *_: Call(
        {"email": f"{secrets.token_hex(6)}@invited.test", "role": "viewer"}
    ),
    "change_user": lambda *_: Call({"role": "viewer"}),
    "remove_user": lambda stage, _: Call(path={"id": stage.a_person()}),
    "sign_out_user": lambda stage, _: Call(path={"id": stage.a_person()}),
    "create_service_account": lambda *_: Call(named()),
    "change_service_account": lambda *_: Call({"description": "changed"}),
    "create_service_key": lambda *_: Call(named()),
    "revoke_service_key": lambda stage, _: Call(path=stage.a_service_key()),
    "change_tenant": lambda *_: Call({"limits": {"max_users": 7}}),
    "delete_tenant": lambda *_: Call({"confirm": "no"}, ends="tenant-delete-unconfirmed"),
    "change_tenant_policy": lambda *_: Call({"session_profile": "standard"}),
    "disable_account": lambda *_: Call({"email": "no@one.test"}, ends="account-not-found"),
    "enable_account": lambda *_: Call({"email": "no@one.test"}, ends="account-not-found"),
    "create_project": lambda *_: Call(named()),
    "change_project": lambda *_: Call({"status": secrets.choice(("planned", "active"))}),
    "delete_project": lambda *_: Call(query={"confirm": "no"}, ends="project-delete-unconfirmed"),
    "archive_project": lambda stage, _: Call(path={"id": stage.a_project()[0]}),
    "add_project_member": lambda stage, _: Call(
        {"user_id": stage.cast["viewerA"].id, "role": "viewer"},
        path={"id": stage.a_project()[0]},
    ),
    "change_project_member": lambda *_: Call({"role": "viewer"}),
    "remove_project_member": lambda stage, _: Call(
        path={"id": stage.with_viewer(stage.a_project()[0])}
    ),
    "create_approval": lambda *_: Call(
        {
            "subject_kind": "nothing",
            "subject_id": str(new_id()),
            "alias": "production",
            "target": "1",
        },
        ends="approval-kind-unknown",
    ),
    "vote_on_approval": lambda *_: Call({"verdict": "approve"}, ends="approval-kind-unknown"),
    "withdraw_approval": lambda stage, _: Call(path={"id": stage.approvals.pop()}),
    "override_approval": lambda *_: Call({"reason": "r"}, ends="approval-kind-unknown"),
    "retry_evidence": lambda stage, _: Call(path=stage.evidence.pop(0)),
    "write_approval_policy": lambda *_: Call({"policy": None}),
    "try_approval_policy": lambda *_: Call({"policy": {}}),
    "cancel_job": lambda stage, _: Call(path={"id": stage.jobs.pop()}),
    "watch_job": lambda stage, _: Call(path={"id": stage.ended_job}),
    "create_webhook": lambda stage, _: Call(a_webhook(stage.project)),
    "change_webhook": lambda stage, _: Call({"description": _a_word(stage)}),
    "delete_webhook": lambda stage, _: Call(path={"id": stage.a_webhook()}),
    "rotate_webhook_secret": lambda *_: Call({}),
    "test_webhook": lambda *_: Call({}),
    "replay_webhook_delivery": _replaying,
    "POST webhooks": lambda *_: Call(A_WEBHOOK_OF_MLFLOW),
    "GET webhooks/{webhook_id}": lambda stage, _: Call(path={"webhook_id": stage.mlflow_webhook}),
    "PATCH webhooks/{webhook_id}": lambda stage, _: Call(
        {"description": _a_word(stage)}, path={"webhook_id": stage.mlflow_webhook}
    ),
    "DELETE webhooks/{webhook_id}": lambda stage, _: Call(
        path={"webhook_id": stage.a_webhook_of_mlflow()}
    ),
    "POST webhooks/{webhook_id}/test": lambda stage, _: Call(
        {}, path={"webhook_id": stage.mlflow_webhook}
    ),
    "POST workspaces": lambda *_: Call({"name": f"w-{secrets.token_hex(4)}"}),
    "PATCH workspaces/{workspace_name}": lambda stage, _: Call({"description": stage.mark}),
    "DELETE workspaces/{workspace_name}": lambda stage, _: Call(
        path={"workspace_name": stage.a_project()[1]}
    ),
    "POST experiments/create": lambda *_: Call(named()),
    "GET experiments/get": lambda stage, _: Call(query={"experiment_id": stage.experiment}),
    "GET experiments/get-by-name": lambda stage, _: Call(
        query={"experiment_name": stage.experiment_name}
    ),
    "POST experiments/search": lambda *_: Call({"max_results": 5}),
    "POST experiments/update": lambda stage, _: Call(
        {"experiment_id": stage.an_experiment(), "new_name": secrets.token_hex(6)}
    ),
    "POST experiments/delete": lambda stage, _: Call({"experiment_id": stage.an_experiment()}),
    "POST experiments/restore": lambda stage, _: Call(
        {"experiment_id": stage.an_experiment(deleted=True)}
    ),
    "POST experiments/set-experiment-tag": _of_experiment(key="k", value="v"),
    "POST experiments/delete-experiment-tag": lambda stage, _: Call(
        {"experiment_id": _tagged_experiment(stage), "key": "gone"}
    ),
    "POST runs/create": _of_experiment(),
    "GET runs/get": lambda stage, _: Call(query={"run_id": stage.run}),
    "POST runs/update": _of_run(status="RUNNING"),
    "POST runs/delete": lambda stage, _: Call({"run_id": stage.a_run()}),
    "POST runs/restore": lambda stage, _: Call({"run_id": _deleted_run(stage)}),
    "POST runs/log-metric": _of_run(key="k", value=1.0, timestamp=1),
    "POST runs/log-parameter": _of_run(key="k", value="v"),
    "POST runs/log-batch": _of_run(
        tags=[{"key": "k", "value": "v"}], metrics=[{"key": "k", "value": 1.0, "timestamp": 1}]
    ),
    "POST runs/set-tag": _of_run(key="k", value="v"),
    "POST runs/delete-tag": lambda stage, _: Call({"run_id": _tagged_run(stage), "key": "gone"}),
    "POST runs/search": lambda stage, _: Call({"experiment_ids": [stage.experiment]}, finds=True),
    "GET metrics/get-history": lambda stage, _: Call(
        query={"run_id": stage.run, "metric_key": "m"}
    ),
    "POST runs/log-inputs": _of_run(datasets=[{"dataset": A_DATASET}]),
    "POST runs/outputs": lambda stage, _: Call(
        {"run_id": stage.run, "models": [{"model_id": stage.model}]}
    ),
    "POST runs/log-model": _of_run(model_json=A_DESCRIPTION),
    "POST experiments/search-datasets": lambda stage, _: Call(
        {"experiment_ids": [stage.experiment]}, finds=True
    ),
    "POST logged-models": _of_experiment(name="m"),
    "POST logged-models/search": lambda stage, _: Call(
        {"experiment_ids": [stage.experiment]}, finds=True
    ),
    "PATCH logged-models/{model_id}": lambda *_: Call({"status": "LOGGED_MODEL_READY"}),
    "DELETE logged-models/{model_id}": lambda stage, _: Call(path={"model_id": stage.a_model()}),
    "PATCH logged-models/{model_id}/tags": lambda *_: Call({"tags": [{"key": "k", "value": "v"}]}),
    "DELETE logged-models/{model_id}/tags/{tag_key}": lambda stage, _: Call(
        path={"model_id": stage.a_model(), "tag_key": "tag"}
    ),
    "POST logged-models/{model_id}/params": lambda *_: Call(
        {"params": [{"key": "k", "value": "v"}]}
    ),
    "create_model": lambda stage, _: Call(named(project=stage.slug)),
    "change_model": lambda *_: Call({"description": "changed"}),
    "delete_model": lambda *_: Call(query={"confirm": "no"}, ends="model-delete-unconfirmed"),
    "compare_model_versions": lambda *_: Call(query={"versions": ["1", "1"]}),
    "set_model_alias": lambda stage, _: Call(
        {"version": 1}, path={"name": stage.a_registered_model(), "alias": "a"}
    ),
    "read_model_alias": lambda stage, _: Call(path={"name": stage.registered, "alias": "latest"}),
    "delete_model_alias": lambda stage, _: Call(
        path={"name": stage.an_aliased_model(), "alias": "a"}
    ),
    "create_model_version": lambda *_: Call({"copy_of": 1}),
    "change_model_version": lambda *_: Call({"description": "changed"}),
    "delete_model_version": lambda stage, _: Call(
        path={"name": stage.a_registered_model(), "version": "1"}
    ),
    "POST registered-models/create": lambda *_: Call(named()),
    "GET registered-models/get": _of_registered(query=True),
    "POST registered-models/rename": lambda stage, _: Call(
        {"name": stage.a_registered_model(), "new_name": secrets.token_hex(6)}
    ),
    "PATCH registered-models/update": _of_registered(description="new"),
    "DELETE registered-models/delete": lambda stage, _: Call({"name": stage.a_registered_model()}),
    "GET registered-models/get-latest-versions": _of_registered(query=True),
    "POST registered-models/get-latest-versions": _of_registered(),
    "POST registered-models/set-tag": _of_registered(key="k", value="v"),
    "DELETE registered-models/delete-tag": lambda stage, _: Call(
        {"name": stage.a_registered_model(), "key": "tag"}
    ),
    "POST registered-models/alias": lambda stage, _: Call(
        {"name": stage.a_registered_model(), "alias": "a", "version": "1"}
    ),
    "DELETE registered-models/alias": lambda stage, _: Call(
        {"name": stage.an_aliased_model(), "alias": "a"}
    ),
    "GET registered-models/alias": _of_registered(query=True, alias="latest"),
    "POST model-versions/create": lambda stage, _: Call(
        {"name": stage.registered, "source": "s3://bucket/model", "run_id": stage.run}
    ),
    "GET model-versions/get": _of_registered(query=True, version="1"),
    "PATCH model-versions/update": _of_registered(version="1", description="new"),
    "POST model-versions/transition-stage": lambda stage, _: Call(
        {"name": stage.a_registered_model(), "version": "1", "stage": "Archived"}
    ),
    "DELETE model-versions/delete": lambda stage, _: Call(
        {"name": stage.a_registered_model(), "version": "1"}
    ),
    "GET model-versions/get-download-uri": _of_registered(query=True, version="1"),
    "POST model-versions/set-tag": _of_registered(version="1", key="k", value="v"),
    "DELETE model-versions/delete-tag": lambda stage, _: Call(
        {"name": stage.a_registered_model(), "version": "1", "key": "tag"}
    ),
    "GET artifacts/list": lambda stage, _: Call(query={"run_id": stage.run}),
    "POST artifacts/presigned-download-url": lambda stage, _: Call(
        {"run_id": stage.run, "path": stage.a_file().rpartition("/")[2]}, ends=UNSIGNED
    ),
    "POST artifacts/presigned-upload-url": lambda stage, _: Call(
        {"run_id": stage.run, "path": "x"}, ends=UNSIGNED
    ),
    "GET mlflow-artifacts/artifacts": lambda stage, _: Call(query={"path": stage.a_folder()}),
    "GET mlflow-artifacts/presigned/{path}": lambda *_: Call(ends="ENDPOINT_NOT_FOUND"),
    "POST mlflow-artifacts/mpu/create/{path}": lambda *_: Call({"path": "x", "num_parts": 1}),
    "POST mlflow-artifacts/mpu/complete/{path}": lambda stage, _: Call(stage.an_upload()),
    "POST mlflow-artifacts/mpu/abort/{path}": lambda stage, _: Call(stage.an_upload()),
    "PUT mlflow-artifacts/mpu/parts/{upload_id}/{number}": lambda *_: Call(
        path={"upload_id": str(new_id()), "number": "1"}, ends="RESOURCE_DOES_NOT_EXIST"
    ),
    "GET metrics/get-history-bulk": lambda stage, _: Call(
        query={"run_id": stage.run, "metric_key": "m"}
    ),
    "GET metrics/get-history-bulk-interval": lambda stage, _: Call(
        query={"run_ids": stage.run, "metric_key": "m"}
    ),
}


def call_of(stage: Stage, operation: Operation, who: Principal) -> Call:
    """What that caller sends, and where to."""
    prepare = CALLS.get(operation.name)
    if prepare is None and operation.has_body:
        pytest.fail(f"no body is known for {operation}: teach `CALLS`")
    call = prepare(stage, who) if prepare else Call()
    words = operation.path.split("/")
    for before, word in pairwise(words):
        if word.startswith("{") and word[1:-1] not in call.path:
            call.path[word[1:-1]] = stage.fill(before, who)
    return call
