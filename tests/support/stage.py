"""What tenant A has, for the matrix test: things of every kind, made through the API."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest

from maestro_ml.approvals.models import (
    ApprovalEvidence,
    ApprovalRequest,
    ApprovalState,
    EvidenceState,
)
from maestro_ml.core.access import Access, Role
from maestro_ml.core.ids import new_id
from maestro_ml.db.work import Sessions, Work, open_work
from maestro_ml.jobs.service import enqueue
from support.forgery import unpack
from support.live import Cast, ok
from support.principals import (
    A_WEBHOOK_OF_MLFLOW,
    Principal,
    a_provider,
    a_webhook,
    accepting,
    named,
)

MLFLOW = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts"
_APPROVALS = 60


def tenant_of(cast: Cast, name: str = "adminA") -> UUID:
    return UUID(unpack(cast[name].token)[1]["tid"])


async def some_jobs(cast: Cast, truth: Sessions, count: int) -> list[str]:
    """Of tenant A, which nobody runs."""
    async with open_work(truth, Access.system(tenant_of(cast))) as work:
        later = work.now + timedelta(days=1)
        jobs = [await enqueue(work, "nobody.runs", {}, run_at=later) for _ in range(count)]
        return [str(job.id) for job in jobs]


async def with_approvals(stage: "Stage", truth: Sessions) -> "Stage":
    """And things that are asked for in A's project, by its member: of a kind that no server knows,
    so that nobody grants one. Their gates have failed, and can be run again."""
    async with open_work(truth, Access.system(tenant_of(stage.cast))) as work:
        for number in range(_APPROVALS):
            asked, failed = an_approval(
                work, UUID(stage.project), UUID(stage.cast["memberA"].id), stage.mark, number
            )
            work.session.add(asked)
            await work.session.flush()
            work.session.add(failed)
            stage.approvals.append(str(asked.id))
            stage.evidence.append({"id": str(asked.id), "evidence_id": str(failed.id)})
    stage.theirs |= {*stage.approvals, *(one["evidence_id"] for one in stage.evidence)}
    return stage


def an_approval(
    work: Work, project: UUID, by: UUID, mark: str, number: int
) -> tuple[ApprovalRequest, ApprovalEvidence]:
    asked = ApprovalRequest(
        project_id=project,
        subject_kind="nothing",
        subject_id=new_id(),
        alias="production",
        target=str(number),
        name=mark,
        fingerprint="f",
        policy_chain="built-in",
        policy_number=0,
        votes_needed=1,
        role_needed=Role.MAINTAINER,
        requested_by=by,
        reason=mark,
        state=ApprovalState.IN_REVIEW,
        expires_at=work.now + timedelta(days=1),
        slot=f"{mark}:{number}",
        created_at=work.now,
    )
    failed = ApprovalEvidence(
        project_id=project,
        request_id=asked.id,
        position=0,
        attempt=1,
        kind="latency",
        parameters={},
        timeout_seconds=60,
        state=EvidenceState.FAILED,
        summary=mark,
        created_at=work.now,
    )
    return asked, failed


@dataclass
class Stage:
    """Tenant A's things, made anew where a call would use them up. Each carries the mark in its
    free text, and `theirs` holds what names one."""

    cast: Cast
    http: httpx2.Client
    principals: list[Principal]
    jobs: list[str]
    mark: str = field(default_factory=lambda: f"SENT{secrets.token_hex(6)}")
    theirs: set[str] = field(default_factory=set)
    approvals: list[str] = field(default_factory=list)
    evidence: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.theirs |= {self.mark, *self.jobs, self.cast["viewerA"].id}
        self.project, self.slug = self.a_project()
        self.with_viewer(self.project)
        self.workspace = {"X-MLFLOW-WORKSPACE": self.slug}
        self.experiment_name = f"{self.mark} {secrets.token_hex(4)}"
        self.experiment = self.an_experiment(self.experiment_name)
        self.run = self.a_run()
        self.model = self.a_model()
        self.webhook, self.mlflow_webhook = self.a_webhook(), self.a_webhook_of_mlflow()
        self.registered = self.a_registered_model()
        self.ended_job = self.jobs.pop()
        ok(self.made("POST", f"/api/v1/jobs/{self.ended_job}/cancel"))

    def made(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        """By tenant A's maintainer, who so leads the team of what they make and nobody else."""
        headers = self.cast["maintainerA"].bearer | getattr(self, "workspace", {})
        return self.http.request(method, path, json=body, headers=headers)

    def by_admin(self, method: str, path: str, body: Any = None) -> Any:
        return ok(self.http.request(method, path, json=body, headers=self.cast["adminA"].bearer))

    def a_project(self) -> tuple[str, str]:
        body = {"name": f"{self.mark} {secrets.token_hex(4)}", "description": self.mark}
        made = ok(self.made("POST", "/api/v1/projects", body))
        self.theirs |= {made["id"], made["slug"]}
        return made["id"], made["slug"]

    def with_viewer(self, project: str) -> str:
        body = {"user_id": self.cast["viewerA"].id, "role": "viewer"}
        ok(self.made("POST", f"/api/v1/projects/{project}/members", body))
        return project

    def an_experiment(self, name: str | None = None, *, deleted: bool = False) -> str:
        body = {"name": name or f"{self.mark} {secrets.token_hex(4)}"}
        made = ok(self.made("POST", f"{MLFLOW}/experiments/create", body))
        id: str = made["experiment_id"]
        self.theirs.add(id)
        tag = {"experiment_id": id, "key": "tag", "value": self.mark}
        ok(self.made("POST", f"{MLFLOW}/experiments/set-experiment-tag", tag))
        if deleted:
            ok(self.made("POST", f"{MLFLOW}/experiments/delete", {"experiment_id": id}))
        return id

    def a_run(self) -> str:
        body = {"experiment_id": self.experiment, "run_name": self.mark}
        made = ok(self.made("POST", f"{MLFLOW}/runs/create", body))
        id: str = made["run"]["info"]["run_id"]
        self.theirs.add(id)
        batch = {
            "run_id": id,
            "metrics": [{"key": "m", "value": 1.0, "timestamp": 1}],
            "params": [{"key": "p", "value": self.mark}],
            "tags": [{"key": "tag", "value": self.mark}],
        }
        ok(self.made("POST", f"{MLFLOW}/runs/log-batch", batch))
        return id

    def a_model(self) -> str:
        """Which A's run has given out, measured on a dataset that it has taken in."""
        marked = [{"key": "tag", "value": self.mark}]
        body = {
            "experiment_id": self.experiment,
            "name": self.mark,
            "source_run_id": self.run,
            "params": marked,
            "tags": marked,
        }
        made = ok(self.made("POST", f"{MLFLOW}/logged-models", body))
        id: str = made["model"]["info"]["model_id"]
        self.theirs.add(id)
        dataset = {"name": self.mark, "digest": "d", "source_type": "local", "source": self.mark}
        point = {"key": "m", "value": 1.0, "timestamp": 1, "model_id": id}
        said: dict[str, dict[str, Any]] = {
            "log-inputs": {"datasets": [{"dataset": dataset}], "models": [{"model_id": id}]},
            "outputs": {"models": [{"model_id": id}]},
            "log-metric": {**point, "dataset_name": self.mark},
        }
        for path, message in said.items():
            ok(self.made("POST", f"{MLFLOW}/runs/{path}", {"run_id": self.run, **message}))
        return id

    def a_webhook(self) -> str:
        """Which hears nothing by itself: its project's end is the end of it."""
        body = a_webhook(self.project) | {"name": self.mark, "description": self.mark}
        id: str = ok(self.made("POST", "/api/v1/webhooks", body))["id"]
        self.theirs.add(id)
        return id

    def a_webhook_of_mlflow(self) -> str:
        body = A_WEBHOOK_OF_MLFLOW | {"name": self.mark, "description": self.mark}
        id: str = ok(self.made("POST", f"{MLFLOW}/webhooks", body))["webhook"]["webhook_id"]
        self.theirs.add(id)
        return id

    def a_delivery(self, webhook: str | None = None) -> str:
        """Of a test, which nobody received."""
        path = f"/api/v1/webhooks/{webhook or self.webhook}/test"
        id: str = ok(self.made("POST", path, {}))["delivery_id"]
        self.theirs.add(id)
        return id

    def a_registered_model(self) -> str:
        """With a version of A's run."""
        name = f"{self.mark} {secrets.token_hex(4)}"
        marked = {"description": self.mark, "tags": [{"key": "tag", "value": self.mark}]}
        ok(self.made("POST", f"{MLFLOW}/registered-models/create", {"name": name} | marked))
        version = {"name": name, "source": f"runs:/{self.run}", "run_id": self.run}
        ok(self.made("POST", f"{MLFLOW}/model-versions/create", version | marked))
        return name

    def an_aliased_model(self) -> str:
        name = self.a_registered_model()
        alias = {"name": name, "alias": "a", "version": "1"}
        ok(self.made("POST", f"{MLFLOW}/registered-models/alias", alias))
        return name

    def a_file(self) -> str:
        """The address of one, of which there is always the same."""
        path = f"{self.experiment}/{self.run}/artifacts/{self.mark}.txt"
        ok(self.made("PUT", f"{FILES}/artifacts/{path}", self.mark))
        return path

    def a_folder(self) -> str:
        return f"{self.experiment}/{self.run}/artifacts"

    def an_upload(self) -> dict[str, Any]:
        """What there is to say of one that is whole."""
        path = self.a_folder()
        body = {"path": f"{self.mark}.bin", "num_parts": 1}
        begun = ok(self.made("POST", f"{FILES}/mpu/create/{path}", body))
        (told,) = begun["credentials"]
        part = self.http.put(told["url"], content=self.mark, headers=told["headers"])
        named = {"part_number": 1, "etag": part.headers["etag"]}
        return {"path": body["path"], "upload_id": begun["upload_id"], "parts": [named]}

    def an_invitation(self) -> str:
        body = {"email": f"{secrets.token_hex(6)}@{self.mark.lower()}.test", "role": "viewer"}
        id: str = self.by_admin("POST", "/api/v1/users/invitations", body)["id"]
        self.theirs.add(id)
        return id

    def a_person(self) -> str:
        """Somebody new in A, for whoever removes or signs out."""
        body = {"email": f"{secrets.token_hex(6)}@{self.mark.lower()}.test", "role": "viewer"}
        offer = self.by_admin("POST", "/api/v1/users/invitations", body)
        accepted = self.http.post("/api/v1/auth/invitations/accept", json=accepting(offer["token"]))
        id: str = ok(accepted)["user"]["id"]
        self.theirs.add(id)
        return id

    def a_service_account(self) -> str:
        body = {"name": f"{self.mark} {secrets.token_hex(4)}", "description": self.mark}
        id: str = self.by_admin("POST", "/api/v1/service-accounts", body)["id"]
        self.theirs.add(id)
        return id

    def a_service_key(self) -> dict[str, str]:
        account = self.a_service_account()
        path = f"/api/v1/service-accounts/{account}/keys"
        key = self.by_admin("POST", path, {"name": self.mark})
        self.theirs.add(key["id"])
        return {"id": account, "key_id": key["id"]}

    def by_root(self, method: str, path: str, body: Any = None) -> Any:
        return ok(self.http.request(method, path, json=body, headers=self.cast["root"].bearer))

    def a_tenant(self) -> tuple[str, str]:
        """Of its own, so that the platform's admin can do away with it."""
        body = named(slug=f"t-{secrets.token_hex(4)}", admin_email="new@admin.test")
        made = self.by_root("POST", "/api/v1/tenants", body)["tenant"]
        return made["id"], made["slug"]

    def a_deletion(self) -> str:
        id, slug = self.a_tenant()
        path = f"/api/v1/tenants/{id}/deletion"
        deletion: str = self.by_root("POST", path, {"confirm": slug})["id"]
        return deletion

    def an_identity_provider(self) -> str:
        body = a_provider() | {"name": self.mark}
        id: str = self.by_admin("POST", "/api/v1/identity-providers", body)["id"]
        self.theirs.add(id)
        return id

    def a_device(self) -> str:
        code: str = ok(self.http.post("/api/v1/auth/device", json={}))["user_code"]
        return code

    def an_api_key(self, who: Principal) -> str:
        """Of the caller's own, if they are of A and can have one; else of A's admin."""
        owner = who.person if who.person and who.standing.home == "A" else "adminA"
        made = self.http.post(
            "/api/v1/api-keys", json={"name": self.mark}, headers=self.cast[owner].bearer
        )
        id: str = ok(made)["id"]
        self.theirs.add(id)
        return id

    def an_event(self) -> str:
        id: str = self.by_admin("GET", "/api/v1/audit-events?limit=1")["items"][0]["id"]
        self.theirs.add(id)
        return id

    def a_mail(self) -> str:
        """The newest; mails are nobody's but the platform's."""
        listed = self.http.get("/api/v1/outbox", headers=self.cast["root"].bearer)
        id: str = ok(listed)["items"][0]["id"]
        return id

    def a_login(self, who: Principal) -> dict[str, Any]:
        person = self.cast[who.person or "spare"]
        body = {"email": person.email, "password": person.password}
        answer = self.http.post("/api/v1/auth/login", json=body)
        while answer.status_code == 429:  # others have guessed at this account
            time.sleep(int(answer.headers["retry-after"]))
            answer = self.http.post("/api/v1/auth/login", json=body)
        entered: dict[str, Any] = ok(answer)
        return entered

    def a_session(self, who: Principal) -> str:
        """Another of the caller's own; of A's admin, if they are not of A."""
        if who.person and who.standing.home != "A":
            who = next(one for one in self.principals if one.person == "adminA")
        token = self.a_login(who)["access_token"]
        id: str = unpack(token)[1]["sid"]
        if who.person and who.standing.home == "A":
            self.theirs.add(id)
        return id

    def fill(self, stem: str, who: Principal) -> str:
        """An object of A, by the word before its place in the address."""
        known: dict[str, Callable[[], str]] = {
            "projects": lambda: self.project,
            "logged-models": lambda: self.model,
            "webhooks": lambda: self.webhook,
            "deliveries": self.a_delivery,
            "models": lambda: self.registered,
            "versions": lambda: "1",
            "aliases": lambda: "a",
            "workspaces": lambda: self.slug,
            "users": lambda: self.cast["viewerA"].id,
            "members": lambda: self.cast["viewerA"].id,
            "invitations": self.an_invitation,
            "audit-events": self.an_event,
            "api-keys": lambda: self.an_api_key(who),
            "jobs": lambda: self.jobs[-1],
            "approvals": lambda: self.approvals[0],
            "service-accounts": self.a_service_account,
            "tenants": lambda: self.a_tenant()[0],
            "deletions": self.a_deletion,
            "sessions": lambda: self.a_session(who),
            "identity-providers": self.an_identity_provider,
            "artifacts": self.a_file,
            "presigned": self.a_file,
            **dict.fromkeys(("create", "complete", "abort"), self.a_folder),
        }
        if stem in known:
            return known[stem]()
        pytest.fail(f"nothing is known to put behind /{stem}/: teach `Stage.fill`")
