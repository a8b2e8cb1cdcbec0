"""MLflow's calls by those who may not: strangers, viewers, and who is in another workspace."""

import json
from typing import Any

from maestro_ml.core.clock import utc_now
from maestro_ml.core.ids import new_id
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.projects.models import Project, Visibility
from support import caller
from support.wire import Wire

DESCRIBED = json.dumps(dict.fromkeys(("artifact_path", "flavors", "utc_time_created", "run_id")))


async def test_an_id_that_is_nobodys_is_not_found(wire: Wire) -> None:
    for id in ("1", "x", "0" * 32, "0" * 31, "../..", "%00", "é" * 32, "G" * 32):
        await wire.missing("GET", "runs/get", {"run_id": id})
        await wire.missing("GET", "experiments/get", {"experiment_id": id})
        await wire.missing("POST", "runs/create", {"experiment_id": id})
        await wire.missing("POST", "runs/log-batch", {"run_id": id})


async def test_viewers_read_and_are_told_why_they_do_not_write(wire: Wire) -> None:
    experiment = await wire.experiment()
    run, model = await wire.run(experiment), await wire.model(experiment)
    await wire.ok("GET", "runs/get", {"run_id": run}, as_="viewer")
    await wire.ok("GET", f"logged-models/{model}", as_="viewer")
    owner = {"run_id": run, "experiment_id": experiment}
    writes: dict[str, dict[str, Any]] = {
        "experiments/create": {"name": "x"},
        "experiments/delete": {},
        "experiments/update": {"new_name": "x"},
        "experiments/set-experiment-tag": {"key": "a"},
        "runs/create": {},
        "runs/update": {"status": "FAILED"},
        "runs/delete": {},
        "runs/restore": {},
        "runs/log-metric": {"key": "a", "value": 1, "timestamp": 1},
        "runs/log-parameter": {"key": "a"},
        "runs/set-tag": {"key": "a"},
        "runs/delete-tag": {"key": "a"},
        "runs/log-batch": {},
        "runs/log-inputs": {},
        "runs/outputs": {"models": []},
        "runs/log-model": {"model_json": DESCRIBED},
        "logged-models": {},
        f"logged-models/{model}/params": {},
        f"PATCH logged-models/{model}": {"status": 2},
        f"PATCH logged-models/{model}/tags": {},
        f"DELETE logged-models/{model}/tags/x": {},
        f"DELETE logged-models/{model}": {},
    }
    for call, message in writes.items():
        method, _, path = call.rpartition(" ")
        await wire.refused(
            403, "PERMISSION_DENIED", method or "POST", path, {**owner, **message}, as_="viewer"
        )


async def test_nobody_is_told_nothing(wire: Wire) -> None:
    for path in ("experiments/create", "runs/log-batch", "no/such/call"):
        answer = await wire("POST", path, b"{", as_="nobody")
        assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED")


async def test_another_tenant_finds_what_nobody_has(wire: Wire) -> None:
    experiment = await wire.experiment()
    run, model = await wire.run(experiment), await wire.model(experiment)
    for method, path, message in [
        ("GET", "experiments/get", {"experiment_id": experiment}),
        ("POST", "experiments/delete", {"experiment_id": experiment}),
        ("POST", "runs/create", {"experiment_id": experiment}),
        ("GET", "runs/get", {"run_id": run}),
        ("POST", "runs/delete", {"run_id": run}),
        ("POST", "runs/log-batch", {"run_id": run}),
        ("GET", "metrics/get-history", {"run_id": run, "metric_key": "m"}),
        ("POST", "runs/log-inputs", {"run_id": run}),
        ("POST", "logged-models", {"experiment_id": experiment}),
    ]:
        none = {k: v if k == "metric_key" else new_id().hex for k, v in message.items()}
        theirs = await wire(method, path, message, as_="stranger")
        nobodys = await wire(method, path, none, as_="stranger")
        assert (theirs.status_code, theirs.content) == (404, nobodys.content)
    search = {"experiment_ids": [experiment]}
    assert await wire.ok("POST", "runs/search", search, as_="stranger") == {"runs": []}
    for path in ("logged-models/search", "experiments/search-datasets"):
        (nothing,) = (await wire.ok("POST", path, search, as_="stranger")).values()
        assert nothing == []
    for method, path, change in [
        ("GET", "", None),
        ("DELETE", "", None),
        ("PATCH", "", {"status": 2}),
        ("PATCH", "/tags", {}),
        ("DELETE", "/tags/x", None),
        ("POST", "/params", {}),
    ]:
        theirs = await wire(method, f"logged-models/{model}{path}", change, as_="stranger")
        id = f"m-{new_id().hex}"
        nobodys = await wire(method, f"logged-models/{id}{path}", change, as_="stranger")
        assert (theirs.status_code, theirs.content) == (404, nobodys.content)
    own = await wire.ok("POST", "runs/create", {"experiment_id": "0"}, as_="stranger")
    own_run = {"run_id": own["run"]["info"]["run_id"]}
    naming: dict[str, dict[str, Any]] = {
        "runs/log-inputs": {"models": [{"model_id": model}]},
        "runs/outputs": {"models": [{"model_id": model}]},
        "runs/log-metric": {"key": "k", "value": 1, "timestamp": 1, "model_id": model},
        "logged-models": {"experiment_id": "0", "source_run_id": run},
    }
    for path, said in naming.items():
        await wire.missing("POST", path, {**own_run, **said}, as_="stranger")


async def a_second_project(sessions: Sessions, visibility: Visibility) -> None:
    async with open_work(sessions, caller()) as work:
        now = utc_now()
        work.session.add(
            Project(
                name="second", slug="second", visibility=visibility, created_at=now, updated_at=now
            )
        )


async def test_a_workspace_is_a_project_and_what_is_outside_is_not_there(
    wire: Wire, sessions: Sessions
) -> None:
    await a_second_project(sessions, Visibility.INTERNAL)
    experiment = await wire.experiment()
    run, model = await wire.run(experiment), await wire.model(experiment)
    for workspace in ("lab", "default", ""):
        await wire.ok("GET", "runs/get", {"run_id": run}, workspace=workspace)
    await wire.missing("GET", "runs/get", {"run_id": run}, workspace="second")
    await wire.missing("GET", "experiments/get", {"experiment_id": experiment}, workspace="second")
    message = {"experiment_ids": [experiment]}
    assert await wire.ok("POST", "runs/search", message, workspace="second") == {"runs": []}
    await wire.missing("POST", "runs/log-batch", {"run_id": run}, workspace="second")
    await wire.missing("GET", f"logged-models/{model}", None, workspace="second")
    found = await wire.ok("POST", "logged-models/search", message, workspace="second")
    assert found == {"models": []}
    same = await wire.ok("POST", "experiments/create", {"name": "churn"}, workspace="second")
    await wire.missing("POST", "runs/create", same)
    there = (await wire.ok("POST", "runs/create", same, workspace="second"))["run"]["info"]
    output = {"run_id": there["run_id"], "models": [{"model_id": model}]}
    await wire.missing("POST", "runs/outputs", output, workspace="second")


async def test_a_workspace_that_is_not_there_is_not_found(wire: Wire) -> None:
    for workspace in ("shop", "nowhere", "LAB", "' OR 1=1", "../lab", "x" * 500):
        await wire.missing("POST", "experiments/create", {"name": "x"}, workspace=workspace)
        await wire.missing("POST", "experiments/search", {}, workspace=workspace)


async def test_a_private_project_is_not_there_for_those_outside_its_team(
    wire: Wire, sessions: Sessions
) -> None:
    await a_second_project(sessions, Visibility.PRIVATE)
    await wire.missing("POST", "experiments/search", {}, workspace="second", as_="member")
