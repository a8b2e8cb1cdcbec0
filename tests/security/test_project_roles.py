"""A role in a project's team raises rights inside that project, on every verb, and nowhere else."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest

from maestro_ml.core.access import PROJECT_SCOPED, RULES, Access, Permission, Role
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.jobs.service import enqueue
from support.forgery import unpack
from support.live import Cast, ok
from support.policy import POLICY
from support.registry import registry_calls, registry_of
from support.stage import an_approval
from support.webhook_calls import webhook_calls, webhooks_of

MLFLOW, FILES = "/api/2.0/mlflow", "/api/2.0/mlflow-artifacts"
FOLDERS = "artifacts/directories"
NATIVE = "/api/v1"
WORKSPACES = "/api/3.0/mlflow/workspaces"


@dataclass
class Ground:
    """A private project of A, with something of each kind in it; its maintainer is A's."""

    cast: Cast
    http: httpx2.Client
    tenant: UUID
    truth: Sessions
    id: str
    slug: str
    experiment: str
    run: str
    model: str
    hooks: list[Any] = field(default_factory=list)

    @property
    def files(self) -> str:
        return f"{self.experiment}/{self.run}/artifacts"

    @classmethod
    def made(cls, cast: Cast, http: httpx2.Client, truth: Sessions, role: Role | None) -> "Ground":
        """With the tenant's viewer in its team, as that, or not at all."""
        owner = dict(cast["maintainerA"].bearer)
        tenant = UUID(unpack(cast["adminA"].token)[1]["tid"])

        def ask(path: str, body: Any, **headers: str) -> Any:
            return ok(http.post(path, json=body, headers=owner | headers))

        name = {"name": secrets.token_hex(8), "visibility": "private"}
        project = ask(f"{NATIVE}/projects", name)
        if role is not None:
            viewer = {"user_id": cast["viewerA"].id, "role": role}
            ask(f"{NATIVE}/projects/{project['id']}/members", viewer)
        workspace = {"X-MLFLOW-WORKSPACE": project["slug"]}
        experiment = ask(f"{MLFLOW}/experiments/create", {"name": "e"}, **workspace)
        id = experiment["experiment_id"]
        run = ask(f"{MLFLOW}/runs/create", {"experiment_id": id}, **workspace)
        run_id = run["run"]["info"]["run_id"]
        model = ask(f"{MLFLOW}/logged-models", {"experiment_id": id}, **workspace)
        model_id = model["model"]["info"]["model_id"]
        found = (project["id"], project["slug"], id, run_id, model_id)
        ground = cls(cast, http, tenant, truth, *found)
        ok(ground.send("maintainerA", "PUT", f"{FILES}/artifacts/{ground.files}/f", "x"))
        for path, body in registry_of(run_id):
            ok(ground.send("maintainerA", "POST", path, body))
        for path, body in webhooks_of(ground.id):
            ground.hooks.append(ok(ground.send("maintainerA", "POST", path, body)))
        return ground

    async def a_job(self) -> str:
        async with open_work(self.truth, Access.system(self.tenant)) as work:
            later = work.now + timedelta(days=1)
            job = await enqueue(work, "nobody.runs", {}, project_id=UUID(self.id), run_at=later)
        return str(job.id)

    async def an_approval(self) -> tuple[str, str]:
        """What the viewer asks for, and what a gate has found, in the API's words."""
        async with open_work(self.truth, Access.system(self.tenant)) as work:
            viewer = UUID(self.cast["viewerA"].id)
            asked, failed = an_approval(work, UUID(self.id), viewer, secrets.token_hex(6), 1)
            work.session.add(asked)
            await work.session.flush()
            work.session.add(failed)
        path = f"{NATIVE}/approvals/{asked.id}"
        return path, f"{path}/evidence/{failed.id}/retry"

    async def calls(self) -> Iterator[tuple[str, str, str, Any]]:
        """Every verb that names this project or something in it: its name in the policy, and how
        it is sent. What destroys comes last."""
        project, job = f"{NATIVE}/projects/{self.id}", f"{NATIVE}/jobs/{await self.a_job()}"
        run, experiment = {"run_id": self.run}, {"experiment_id": self.experiment}
        approval, retry = await self.an_approval()
        member = f"{project}/members/{self.cast['memberA'].id}"
        tag = {"key": "k", "value": "v"}
        experiments = {"experiment_ids": [self.experiment]}
        models = {"models": [{"model_id": self.model}]}
        part = {"path": "x", "num_parts": 1}
        described = json.dumps(
            dict.fromkeys(("artifact_path", "flavors", "utc_time_created", "run_id"), "x")
        )
        native = [
            ("read_project", "GET", project, None),
            ("list_project_members", "GET", f"{project}/members", None),
            ("read_job", "GET", job, None),
            ("read_approval", "GET", approval, None),
            ("retry_evidence", "POST", retry, None),
            ("withdraw_approval", "POST", f"{approval}/withdrawal", None),
            ("change_project", "PATCH", project, {"description": "d"}),
            ("cancel_job", "POST", f"{job}/cancel", None),
            ("watch_job", "GET", f"{job}/events", None),
            ("add_project_member", "POST", f"{project}/members", self._new_member()),
            ("change_project_member", "PATCH", member, {"role": "member"}),
            ("remove_project_member", "DELETE", member, None),
            ("archive_project", "POST", f"{project}/archive", None),
            ("restore_project", "POST", f"{project}/restore", None),
        ]
        wire: list[tuple[str, Any]] = [
            ("GET experiments/get", experiment),
            ("GET experiments/get-by-name", {"experiment_name": "e"}),
            ("GET experiments/search", {}),
            ("POST experiments/search", {}),
            ("GET runs/get", run),
            ("GET metrics/get-history", run | {"metric_key": "m"}),
            ("GET metrics/get-history-bulk", run | {"metric_key": "m"}),
            (
                "GET metrics/get-history-bulk-interval",
                {"run_ids": run["run_id"], "metric_key": "m"},
            ),
            ("POST experiments/create", {"name": secrets.token_hex(6)}),
            ("POST experiments/update", experiment | {"new_name": "e"}),
            ("POST experiments/set-experiment-tag", experiment | tag),
            ("POST experiments/delete-experiment-tag", experiment | {"key": "k"}),
            ("POST runs/create", experiment),
            ("POST runs/update", run | {"status": "RUNNING"}),
            ("POST runs/log-metric", run | {"key": "m", "value": 1.0, "timestamp": 1}),
            ("POST runs/log-parameter", run | tag),
            ("POST runs/log-batch", run | {"tags": [tag]}),
            ("POST runs/set-tag", run | tag),
            ("POST runs/delete-tag", run | {"key": "k"}),
            ("POST runs/delete", run),
            ("POST runs/restore", run),
            ("POST experiments/delete", experiment),
            ("POST experiments/restore", experiment),
        ]
        lists = [
            (name, *name.replace(" ", f" {MLFLOW}/", 1).split(" "), body) for name, body in wire
        ]
        model, file = f"{MLFLOW}/logged-models/{self.model}", f"{FILES}/artifacts/{self.files}/f"
        tracked = [
            (
                "POST experiments/search-datasets",
                f"{MLFLOW}/experiments/search-datasets",
                experiments,
            ),
            ("POST logged-models", f"{MLFLOW}/logged-models", experiment),
            ("POST logged-models/search", f"{MLFLOW}/logged-models/search", experiments),
            ("GET logged-models/{model_id}", model, None),
            ("GET logged-models/{model_id}/artifacts/directories", f"{model}/{FOLDERS}", None),
            ("PATCH logged-models/{model_id}", model, {"status": "LOGGED_MODEL_READY"}),
            ("PATCH logged-models/{model_id}/tags", f"{model}/tags", {"tags": [tag]}),
            ("DELETE logged-models/{model_id}/tags/{tag_key}", f"{model}/tags/k", None),
            ("POST logged-models/{model_id}/params", f"{model}/params", {"params": [tag]}),
            ("POST runs/log-inputs", f"{MLFLOW}/runs/log-inputs", run | models),
            ("POST runs/outputs", f"{MLFLOW}/runs/outputs", run | models),
            ("POST runs/log-model", f"{MLFLOW}/runs/log-model", run | {"model_json": described}),
            ("GET artifacts/list", f"{MLFLOW}/artifacts/list", run),
            ("GET mlflow-artifacts/artifacts", f"{FILES}/artifacts", {"path": self.files}),
            ("GET mlflow-artifacts/artifacts/{path}", file, None),
            ("PUT mlflow-artifacts/artifacts/{path}", file, "y"),
            ("POST mlflow-artifacts/mpu/create/{path}", f"{FILES}/mpu/create/{self.files}", part),
            ("DELETE mlflow-artifacts/artifacts/{path}", file, None),
            ("DELETE logged-models/{model_id}", model, None),
        ]
        deep = [(name, name.split(" ")[0], path, body) for name, path, body in tracked]
        delete = f"{project}?confirm={self.slug}"
        workspace = [
            (f"{method} workspaces/{{workspace_name}}", method, f"{WORKSPACES}/{self.slug}", body)
            for method, body in (("GET", None), ("PATCH", {"description": "d"}))
        ]
        last = ("delete_project", "DELETE", delete, None)
        registry = [*registry_calls(self.slug, self.run), *webhook_calls(self.id, self.hooks)]
        return iter([*native, *workspace, *registry, *deep, *lists, last])

    def _new_member(self) -> dict[str, str]:
        return {"user_id": self.cast["memberA"].id, "role": "viewer"}

    def send(self, who: str, method: str, path: str, body: Any) -> httpx2.Response:
        headers = dict(self.cast[who].bearer) | {"X-MLFLOW-WORKSPACE": self.slug}
        sent: dict[str, Any] = {"json": body} if method != "GET" else {"params": body}
        return self.http.request(method, path, headers=headers, **sent)


@pytest.fixture(scope="module")
def http(cast: Cast) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=cast.url, timeout=60) as http:
        yield http


def least(name: str) -> Role:
    role = RULES[Permission(POLICY[name])].role
    assert role is not None
    return role


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER, Role.MAINTAINER])
async def test_a_role_in_the_team_is_what_counts_in_the_project(
    cast: Cast, http: httpx2.Client, truth: Sessions, role: Role
) -> None:
    ground = Ground.made(cast, http, truth, role)
    seen = set()
    for name, method, path, body in await ground.calls():
        seen.add(name)
        if name in {"change_project_member", "remove_project_member"}:
            owner = f"{NATIVE}/projects/{ground.id}/members"
            ground.send("maintainerA", "POST", owner, ground._new_member())
        if name == "watch_job":  # or the stream would go on
            ground.send("maintainerA", "POST", path.replace("events", "cancel"), None)
        answer = ground.send("viewerA", method, path, body)
        if role.rank >= least(name).rank:
            assert answer.is_success, (name, answer.text)
        else:
            assert answer.status_code == 403, (name, answer.text)
    # Beside these there are only what names no project, or lists what is in sight.
    scoped = {name for name, policy in POLICY.items() if policy in PROJECT_SCOPED}
    destroy = "DELETE workspaces/{workspace_name}"
    assert scoped - seen == {
        *("create_project", "list_projects", "list_jobs", "POST runs/search", "list_models"),
        "list_webhooks",
        *("GET workspaces", "POST workspaces", destroy),
        # About what a server has nothing of by itself, or an admin's: `api/test_approval_eyes.py`.
        *("list_approvals", "create_approval", "vote_on_approval", "override_approval"),
        "replay_webhook_delivery",  # of what was delivered: `api/test_webhooks.py`
        # Refused to everybody here, or about an upload: `api/test_mlflow_files_access.py`.
        *(f"POST artifacts/presigned-{way}-url" for way in ("download", "upload")),
        "GET mlflow-artifacts/presigned/{path}",
        *(f"POST mlflow-artifacts/mpu/{verb}/{{path}}" for verb in ("complete", "abort")),
    }
    ground = Ground.made(cast, http, truth, role)
    answer = ground.send("viewerA", "DELETE", f"{WORKSPACES}/{ground.slug}?mode=CASCADE", None)
    assert answer.status_code == (204 if role.rank >= least(destroy).rank else 403)


@pytest.mark.parametrize("who", ["adminA", "memberA", "viewerA", "adminB"])
async def test_outside_of_the_team_it_is_not_there(
    cast: Cast, http: httpx2.Client, truth: Sessions, who: str
) -> None:
    """A tenant's admin included; and whoever leads another project's team."""
    ground = Ground.made(cast, http, truth, None)
    Ground.made(cast, http, truth, Role.MAINTAINER)
    for name, method, path, body in await ground.calls():
        answer = ground.send(who, method, path, body)
        assert answer.status_code == 404, (name, answer.text)
    project = ground.send("maintainerA", "GET", f"{NATIVE}/projects/{ground.id}", None)
    assert ok(project)["description"] == ""


async def test_a_team_leader_is_no_more_in_the_tenant(
    cast: Cast, http: httpx2.Client, truth: Sessions
) -> None:
    ground = Ground.made(cast, http, truth, Role.MAINTAINER)
    for method, path, body in (
        ("POST", "/projects", {"name": secrets.token_hex(6)}),
        ("GET", "/users", None),
        ("POST", "/users/invitations", {"email": "x@a.test", "role": "viewer"}),
        ("PATCH", f"/users/{cast['viewerA'].id}", {"role": "admin"}),
        ("GET", "/service-accounts", None),
        ("POST", "/service-accounts", {"name": "x"}),
        ("PATCH", "/tenants/current/policy", {"session_profile": "strict"}),
        ("GET", "/tenants", None),
    ):
        answer = ground.send("viewerA", method, f"{NATIVE}{path}", body)
        assert answer.status_code == 403, (path, answer.text)
    key = {"name": "k", "scopes": ["admin"]}
    answer = ground.send("viewerA", "POST", f"{NATIVE}/api-keys", key)
    assert answer.status_code == 403
    for role in ("admin", "owner"):
        body = {"user_id": cast["memberA"].id, "role": role}
        path = f"{NATIVE}/projects/{ground.id}/members"
        assert ground.send("viewerA", "POST", path, body).status_code == 422
