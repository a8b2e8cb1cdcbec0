"""A protected alias of a registered model moves by approval, whichever door somebody tries."""

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
from maestro_ml.registry.routes import router as models_router
from maestro_ml.registry.service.promotion import KIND, ModelAliases
from support.native import Api, native_api
from support.wire import Wire

KINDS = {KIND: ModelAliases()}
YES = {"verdict": "approve"}


@pytest.fixture
async def api(sessions: Sessions, tmp_path: Path) -> AsyncIterator[Api]:
    routers = (models_router, approvals, policies, projects)
    async with native_api(sessions, tmp_path, *routers, subjects=KINDS) as api:
        yield api


@pytest.fixture
async def model(wire: Wire, api: Api) -> str:
    """With two versions by the member: the first is in production."""
    await wire.ok("POST", "registered-models/create", {"name": "churn"}, as_="member")
    for accuracy in (0.9, 0.8):
        await a_version(wire, accuracy)
    id: str = (await api.ok("viewer", "GET", "/models/churn"))["id"]
    await into_production(api, id, 1)
    return id


async def a_version(wire: Wire, accuracy: float, digest: str = "d1") -> None:
    made = await wire.ok("POST", "runs/create", {"experiment_id": "0"}, as_="member")
    run = made["run"]["info"]["run_id"]
    point = {"run_id": run, "key": "accuracy", "value": accuracy, "timestamp": 1}
    await wire.ok("POST", "runs/log-metric", point, as_="member")
    dataset = {"name": "customers", "digest": digest, "source_type": "local", "source": "{}"}
    used = {"run_id": run, "datasets": [{"dataset": dataset}]}
    await wire.ok("POST", "runs/log-inputs", used, as_="member")
    version = {"name": "churn", "source": f"runs:/{run}/", "run_id": run}
    await wire.ok("POST", "model-versions/create", version, as_="member")


def asked_for(model: str, target: int | None, **more: Any) -> dict[str, Any]:
    wanted = None if target is None else str(target)
    body = {"subject_kind": KIND, "subject_id": model, "alias": "production", "reason": "r"}
    return body | {"target": wanted} | more


async def into_production(api: Api, model: str, target: int | None) -> None:
    asked = await api.ok("member", "POST", "/approvals", asked_for(model, target))
    voted = await api.ok("maintainer", "POST", f"/approvals/{asked['id']}/votes", YES)
    assert voted["state"] == "granted"


async def in_production(api: Api) -> int | None:
    aliases = (await api.ok("viewer", "GET", "/models/churn"))["aliases"]
    found: int | None = aliases.get("production")
    return found


DOORS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "an alias is set": (
        *("POST", "registered-models/alias"),
        {"name": "churn", "alias": "production", "version": "2"},
    ),
    "in another case": (
        *("POST", "registered-models/alias"),
        {"name": "churn", "alias": "PRODUCTION", "version": "2"},
    ),
    "an alias is taken away": (
        *("DELETE", "registered-models/alias"),
        {"name": "churn", "alias": "production"},
    ),
    "a stage is entered": (
        *("POST", "model-versions/transition-stage"),
        {"name": "churn", "version": "2", "stage": "production"},
    ),
    "and others put aside": (
        *("POST", "model-versions/transition-stage"),
        {
            **{"name": "churn", "version": "2", "stage": "Production"},
            "archive_existing_versions": True,
        },
    ),
    "a stage is left": (
        *("POST", "model-versions/transition-stage"),
        {"name": "churn", "version": "1", "stage": "Archived"},
    ),
    "a version is deleted": (
        *("DELETE", "model-versions/delete"),
        {"name": "churn", "version": "1"},
    ),
    "a model is deleted": ("DELETE", "registered-models/delete", {"name": "churn"}),
    "a model is renamed": (
        *("POST", "registered-models/rename"),
        {"name": "churn", "new_name": "another"},
    ),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("who", ["member", "admin"])
async def test_no_door_of_mlflows_moves_a_protected_alias(
    wire: Wire, api: Api, model: str, door: str, who: str
) -> None:
    method, path, message = DOORS[door]
    answer = await wire.http.request(
        method,
        f"/api/2.0/mlflow/{path}",
        json=message,
        headers={"Authorization": f"Bearer {who}"},
    )
    assert (answer.status_code, answer.json()["error_code"]) == (409, "RESOURCE_CONFLICT")
    assert "maintainer" in answer.json()["message"]
    assert await in_production(api) == 1


async def test_no_door_of_the_native_api_does(api: Api, model: str) -> None:
    assert model
    for method, path, body in (
        ("PUT", "/models/churn/aliases/production", {"version": 2}),
        ("PUT", "/models/churn/aliases/Production", {"version": 2}),
        ("DELETE", "/models/churn/aliases/production", None),
        ("DELETE", "/models/churn/versions/1", None),
        ("DELETE", "/models/churn?confirm=churn", None),
        ("PATCH", "/models/churn", {"name": "another"}),
    ):
        refused = await api.refused(409, "admin", method, path, body)
        assert refused["type"] == "/problems/approval-needed"
    assert await in_production(api) == 1


async def test_what_changes_nothing_needs_no_approval(wire: Wire, api: Api, model: str) -> None:
    assert model
    same = {"name": "churn", "alias": "production", "version": "1"}
    await wire.ok("POST", "registered-models/alias", same)
    free = {"name": "churn", "alias": "challenger", "version": "2"}
    await wire.ok("POST", "registered-models/alias", free)
    await api.ok("member", "DELETE", "/models/churn/aliases/challenger")
    await api.ok("member", "DELETE", "/models/churn/versions/2")


async def test_a_grant_moves_the_alias_and_takes_it_away(api: Api, model: str) -> None:
    await into_production(api, model, 2)
    assert await in_production(api) == 2
    version = await api.ok("viewer", "GET", "/models/churn/versions/2")
    assert (version["stage"], version["aliases"]) == ("Production", ["production"])
    await into_production(api, model, None)
    assert await in_production(api) is None
    await api.ok("member", "PATCH", "/models/churn", {"name": "another"})


async def test_whoever_made_it_or_asked_for_it_has_no_vote(api: Api, model: str) -> None:
    asked = await api.ok("maintainer", "POST", "/approvals", asked_for(model, 2))
    refused = await api.refused(403, "maintainer", "POST", f"/approvals/{asked['id']}/votes", YES)
    assert refused["type"] == "/problems/approval-own"
    assert await in_production(api) == 1
    await api.ok("admin", "POST", f"/approvals/{asked['id']}/votes", YES)
    assert await in_production(api) == 2


async def test_what_is_not_there_cannot_be_asked_for(api: Api, model: str) -> None:
    for target in ("9", "x", "", "²", "1.0", "-1", "9" * 40):
        body = asked_for(model, 1) | {"target": target}
        answer = await api("member", "POST", "/approvals", body)
        assert answer.status_code in {404, 422}, (target, answer.text)
    await api.refused(404, "member@other", "POST", "/approvals", asked_for(model, 2))


async def policy(api: Api, *gates: dict[str, Any]) -> None:
    body = {"policy": {"gates": list(gates)}}
    await api.ok("admin", "POST", "/approval-policies", body)


async def evidence(api: Api, sessions: Sessions, model: str, target: int) -> dict[str, Any]:
    asked = await api.ok("member", "POST", "/approvals", asked_for(model, target))
    worker = Worker(sessions, {"approvals.gate": partial(handlers.gate, KINDS)})
    while await worker.run_one():
        pass
    found = await api.ok("viewer", "GET", f"/approvals/{asked['id']}")
    (item,) = found["evidence"]
    await api.ok("member", "POST", f"/approvals/{asked['id']}/withdrawal")
    return dict(item)


async def test_a_metric_may_not_be_worse_than_the_champions(
    api: Api, wire: Wire, sessions: Sessions, model: str
) -> None:
    gate: dict[str, Any] = {"kind": "metric", "parameters": {"metric": "accuracy"}}
    await policy(api, gate)
    worse = await evidence(api, sessions, model, 2)
    assert worse["state"] == "failed"
    assert "worse than the 0.9 of version 1" in worse["summary"]
    await a_version(wire, 0.95)
    assert (await evidence(api, sessions, model, 3))["state"] == "passed"
    await a_version(wire, 0.95, digest="other")
    elsewhere = await evidence(api, sessions, model, 4)
    assert "not measured on the same data" in elsewhere["summary"]
    gate["parameters"] |= {"worse_by_at_most": 0.2, "at_least": 0.85}
    await policy(api, gate)
    low = await evidence(api, sessions, model, 2)
    assert low["summary"] == "accuracy is 0.8, and must be at least 0.85."
    gate["parameters"] = {"metric": "recall"}
    await policy(api, gate)
    assert "says nothing" in (await evidence(api, sessions, model, 2))["summary"]


async def test_tags_and_files_are_looked_at(
    api: Api, wire: Wire, sessions: Sessions, model: str
) -> None:
    await policy(api, {"kind": "tags", "parameters": {"keys": ["owner", "licence"]}})
    missing = await evidence(api, sessions, model, 2)
    assert missing["summary"] == "Tags are missing: owner, licence."
    tags = {"tags": {"owner": "ann", "licence": "MIT"}}
    await api.ok("member", "PATCH", "/models/churn/versions/2", tags)
    assert (await evidence(api, sessions, model, 2))["state"] == "passed"
    await policy(api, {"kind": "files"})
    assert (await evidence(api, sessions, model, 2))["summary"] == "It has no files."
    remote = {"name": "churn", "source": "s3://bucket/model"}
    await wire.ok("POST", "model-versions/create", remote)
    assert "store elsewhere" in (await evidence(api, sessions, model, 3))["summary"]


async def test_a_gate_that_nobody_knows_is_a_mistake(api: Api, model: str) -> None:
    subject = {"kind": KIND, "id": model}
    for gate in ({"kind": "magic"}, {"kind": "metric"}, {"kind": "tags", "parameters": {"k": 1}}):
        body = {"policy": {"gates": [gate]}, "subject": subject}
        await api.refused(422, "admin", "POST", "/approval-policies", body)
