"""Ways around an approval, one each: what is protected stays so, and what was decided on stays
what it was."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from maestro_ml.approvals import handlers
from maestro_ml.approvals.routes import router as approvals
from maestro_ml.approvals.routes_policies import router as policies
from maestro_ml.db.work import Sessions
from maestro_ml.jobs.worker import Worker
from maestro_ml.projects.routes import router as projects
from maestro_ml.registry import handlers as registry
from maestro_ml.registry.routes import router as models
from maestro_ml.registry.service.promotion import KIND, ModelAliases
from support.files import FILES
from support.native import Api, native_api
from support.wire import Wire

KINDS = {KIND: ModelAliases()}
YES = {"verdict": "approve"}


@pytest.fixture
async def api(sessions: Sessions, tmp_path: Path) -> AsyncIterator[Api]:
    sessions.listeners = (registry.listen,)
    routers = (models, approvals, policies, projects)
    async with native_api(sessions, tmp_path, *routers, subjects=KINDS) as api:
        yield api


async def a_model(wire: Wire, *, as_: str = "member", name: str = "churn") -> None:
    await wire.ok("POST", "registered-models/create", {"name": name}, as_=as_)


async def a_run(wire: Wire, *, as_: str = "member", accuracy: float | None = None) -> str:
    made = await wire.ok("POST", "runs/create", {"experiment_id": "0"}, as_=as_)
    run: str = made["run"]["info"]["run_id"]
    if accuracy is not None:
        await measured(wire, run, accuracy)
    return run


async def measured(wire: Wire, run: str, accuracy: float, at: int = 1) -> None:
    point = {"run_id": run, "key": "accuracy", "value": accuracy, "timestamp": at, "step": at}
    await wire.ok("POST", "runs/log-metric", point, as_="member")


async def uploaded(wire: Wire, run: str, *, as_: str) -> None:
    info = (await wire.ok("GET", "runs/get", {"run_id": run}))["run"]["info"]
    root = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
    answer = await wire.http.put(
        f"{FILES}/artifacts/{root}/m/model.pkl",
        content=b"weights",
        headers={"Authorization": f"Bearer {as_}"},
    )
    assert answer.is_success, answer.text


async def a_version(wire: Wire, source: str, *, as_: str = "member", **more: Any) -> int:
    message = {"name": "churn", "source": source, **more}
    made = await wire.ok("POST", "model-versions/create", message, as_=as_)
    return int(made["model_version"]["version"])


async def id_of(api: Api, name: str = "churn") -> str:
    id: str = (await api.ok("viewer", "GET", f"/models/{name}"))["id"]
    return id


async def ask(
    api: Api, target: int | str | None, *, as_: str = "member", alias: str = "production"
) -> str:
    body = {
        "subject_kind": KIND,
        "subject_id": await id_of(api),
        "alias": alias,
        "target": None if target is None else str(target),
    }
    id: str = (await api.ok(as_, "POST", "/approvals", body))["id"]
    return id


async def vote(api: Api, id: str, *, as_: str = "maintainer") -> str:
    state: str = (await api.ok(as_, "POST", f"/approvals/{id}/votes", YES))["state"]
    return state


async def work_off(sessions: Sessions) -> None:
    worker = Worker(sessions, {"approvals.gate": partial(handlers.gate, KINDS)})
    while await worker.run_one():
        pass


async def in_production(api: Api) -> int | None:
    found: int | None = (await api.ok("viewer", "GET", "/models/churn"))["aliases"].get(
        "production"
    )
    return found


async def test_a_project_does_not_go_with_what_is_in_production(wire: Wire, api: Api) -> None:
    await a_model(wire)
    await a_version(wire, "s3://bucket/model")
    assert await vote(api, await ask(api, 1)) == "granted"
    project = (await api.ok("viewer", "GET", "/models/churn"))["project_id"]
    slug = (await api.ok("viewer", "GET", f"/projects/{project}"))["slug"]
    way = f"/projects/{project}?confirm={slug}"
    for who in ("maintainer", "admin"):
        refused = await api.refused(409, who, "DELETE", way)
        assert refused["type"] == "/problems/approval-needed"
    mlflows = await wire.http.delete(
        f"/api/3.0/mlflow/workspaces/{slug}?mode=CASCADE",
        headers={"Authorization": "Bearer maintainer"},
    )
    assert mlflows.status_code == 409, mlflows.text
    assert await in_production(api) == 1
    assert await vote(api, await ask(api, None)) == "granted"
    await api.ok("maintainer", "DELETE", way)


async def test_a_policy_of_its_own_is_not_lost_with_a_model_and_its_name(
    wire: Wire, api: Api
) -> None:
    await a_model(wire)
    subject = {"kind": KIND, "id": await id_of(api)}
    open_to_all: dict[str, Any] = {"policy": {"protected": []}}
    await api.ok("admin", "POST", "/approval-policies", open_to_all)
    strict = {"policy": {"protected": ["golden"]}, "subject": subject}
    await api.ok("admin", "POST", "/approval-policies", strict)
    project = (await api.ok("viewer", "GET", "/models/churn"))["project_id"]
    slug = (await api.ok("viewer", "GET", f"/projects/{project}"))["slug"]
    for method, path, body in (
        ("DELETE", "/models/churn?confirm=churn", None),
        ("PATCH", "/models/churn", {"name": "another"}),
        ("DELETE", f"/projects/{project}?confirm={slug}", None),
    ):
        refused = await api.refused(409, "maintainer", method, path, body)
        assert refused["type"] == "/problems/approval-policy-kept"
    await api.ok("admin", "PATCH", "/models/churn", {"name": "another"})
    ended = {"policy": None, "subject": subject}
    await api.ok("admin", "POST", "/approval-policies", ended)
    await api.ok("member", "DELETE", "/models/another?confirm=another")


async def test_who_uploaded_a_file_of_a_version_has_made_it(wire: Wire, api: Api) -> None:
    await a_model(wire)
    run = await a_run(wire)
    await uploaded(wire, run, as_="maintainer")
    assert await a_version(wire, f"runs:/{run}/m", run_id=run) == 1
    await wire.http.request(
        "DELETE",
        "/api/2.0/mlflow-artifacts/artifacts/"
        + (await wire.ok("GET", "runs/get", {"run_id": run}))["run"]["info"][
            "artifact_uri"
        ].removeprefix("mlflow-artifacts:/"),
        headers={"Authorization": "Bearer member"},
    )
    id = await ask(api, 1)
    refused = await api.refused(403, "maintainer", "POST", f"/approvals/{id}/votes", YES)
    assert refused["type"] == "/problems/approval-own"
    assert await vote(api, id, as_="admin") == "granted"


async def test_who_made_a_version_has_made_its_copies(wire: Wire, api: Api) -> None:
    await a_model(wire)
    assert await a_version(wire, "s3://bucket/model", as_="maintainer") == 1
    assert await a_version(wire, "models:/churn/1") == 2
    assert await a_version(wire, "models:/churn/2") == 3
    await api.ok("member", "DELETE", "/models/churn/versions/1")
    await api.ok("member", "DELETE", "/models/churn/versions/2")
    id = await ask(api, 3)
    refused = await api.refused(403, "maintainer", "POST", f"/approvals/{id}/votes", YES)
    assert refused["type"] == "/problems/approval-own"


@pytest.mark.parametrize("what", ["a metric", "the champion", "a tag"])
async def test_what_a_gate_looked_at_is_the_same_when_it_is_granted(
    wire: Wire, api: Api, sessions: Sessions, what: str
) -> None:
    await a_model(wire)
    runs = [await a_run(wire, accuracy=accuracy) for accuracy in (0.5, 0.9, 0.8)]
    for run in runs:
        tags = [{"key": "owner", "value": "ann"}]
        await a_version(wire, f"runs:/{run}/", run_id=run, tags=tags)
    assert await vote(api, await ask(api, 1)) == "granted"
    gates = [
        {"kind": "metric", "parameters": {"metric": "accuracy", "same_data": False}},
        {"kind": "tags", "parameters": {"keys": ["owner"]}},
    ]
    await api.ok("admin", "POST", "/approval-policies", {"policy": {"gates": gates}})
    best, third = await ask(api, 2), await ask(api, 3)
    await work_off(sessions)
    if what == "a metric":
        await measured(wire, runs[2], 0.1, at=2)
    elif what == "the champion":
        assert await vote(api, best) == "granted"
    else:
        await api.ok("member", "PATCH", "/models/churn/versions/3", {"tags": {"owner": None}})
    refused = await api.refused(409, "maintainer", "POST", f"/approvals/{third}/votes", YES)
    assert refused["type"] == "/problems/approval-expired"
    await ask(api, 3)
    said = (await api.ok("viewer", "GET", f"/approvals/{third}"))["ended_because"]
    assert "looked at has changed" in said
    assert await in_production(api) == (2 if what == "the champion" else 1)


async def test_what_is_put_aside_keeps_a_stage_that_it_has_besides(wire: Wire, api: Api) -> None:
    await a_model(wire)
    await api.ok("admin", "POST", "/approval-policies", {"policy": {"protected": ["staging"]}})
    for _ in range(2):
        await a_version(wire, "s3://bucket/model")
    assert await vote(api, await ask(api, 1, alias="staging")) == "granted"
    await api.ok("member", "PUT", "/models/churn/aliases/production", {"version": 1})
    moved = {
        **{"name": "churn", "version": "2", "stage": "Production"},
        "archive_existing_versions": True,
    }
    await wire.ok("POST", "model-versions/transition-stage", moved, as_="member")
    first = await api.ok("viewer", "GET", "/models/churn/versions/1")
    assert (first["stage"], first["aliases"]) == ("Staging", ["staging"])


@pytest.mark.parametrize("alias", ["\uff50roduction", "PRODUCTION", "\U0001d5c9roduction"])
async def test_letters_that_read_the_same_are_protected_as_well(
    wire: Wire, api: Api, alias: str
) -> None:
    await a_model(wire)
    await a_version(wire, "s3://bucket/model")
    answer = await api("member", "PUT", f"/models/churn/aliases/{alias}", {"version": 1})
    assert answer.status_code in {409, 422}, answer.text


async def test_a_version_is_asked_for_by_its_number_alone(wire: Wire, api: Api) -> None:
    await a_model(wire)
    await a_version(wire, "s3://bucket/model")
    for target in ("01", "0", "2147483648", "9999999999"):
        body = {"subject_kind": KIND, "subject_id": await id_of(api), "alias": "production"}
        await api.refused(404, "member", "POST", "/approvals", body | {"target": target})
