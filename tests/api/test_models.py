"""`/api/v1/models`: what the registry shows to people, beside MLflow's wire."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from maestro_ml.core.ids import new_id
from maestro_ml.db.work import Sessions
from maestro_ml.projects.routes import router as projects
from maestro_ml.registry.routes import router
from support.native import Api, native_api
from support.wire import Wire

DATASET = {"name": "customers", "digest": "d1", "source_type": "local", "source": "{}"}


@pytest.fixture
async def models(sessions: Sessions, tmp_path: Path) -> AsyncIterator[Api]:
    async with native_api(sessions, tmp_path, router, projects) as api:
        yield api


async def a_model(models: Api, name: str = "churn", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = await models.ok("member", "POST", "/models", {"name": name, **more})
    return made


async def a_run(wire: Wire, depth: str, accuracy: float, content: bytes) -> str:
    """With a dataset, a param, a metric and the files of a model."""
    run = await wire.run("0")
    data = {"run_id": run, "params": [{"key": "depth", "value": depth}]}
    data |= {"metrics": [{"key": "accuracy", "value": accuracy, "timestamp": 1}]}
    await wire.ok("POST", "runs/log-batch", data)
    tags = [{"key": "mlflow.data.context", "value": "train"}]
    used = {"run_id": run, "datasets": [{"dataset": DATASET, "tags": tags}]}
    await wire.ok("POST", "runs/log-inputs", used)
    info = (await wire.ok("GET", "runs/get", {"run_id": run}))["run"]["info"]
    root = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
    for path in ("model/MLmodel", "model/data/weights"):
        address = f"/api/2.0/mlflow-artifacts/artifacts/{root}/{path}"
        sent = await wire.http.put(
            address,
            content=content if "weights" in path else b"flavors: {}",
            headers={"Authorization": "Bearer admin"},
        )
        assert sent.is_success
    return run


async def a_version(models: Api, run: str, **more: Any) -> dict[str, Any]:
    body = {"run_id": run, "path": "model", **more}
    made: dict[str, Any] = await models.ok("member", "POST", "/models/churn/versions", body)
    return made


async def test_a_model_is_made_read_changed_and_deleted(models: Api) -> None:
    made = await a_model(models, description="who leaves", tags={"team": "a"})
    assert made["tags"] == {"team": "a"}
    assert (made["latest_version"], made["aliases"]) == (None, {})
    assert await models.ok("viewer", "GET", "/models/churn") == made
    change = {"description": "", "tags": {"team": None, "goal": "b"}, "name": "leavers"}
    changed = await models.ok("member", "PATCH", "/models/churn", change)
    assert (changed["name"], changed["description"], changed["tags"]) == (
        "leavers",
        "",
        {"goal": "b"},
    )
    assert (await models("viewer", "GET", "/models/churn")).status_code == 404
    refused = await models.refused(422, "member", "DELETE", "/models/leavers")
    assert refused["type"] == "/problems/model-delete-unconfirmed"
    await models.ok("member", "DELETE", "/models/leavers?confirm=leavers")
    assert (await models.ok("viewer", "GET", "/models"))["items"] == []


async def test_a_change_that_says_nothing_is_a_mistake(models: Api) -> None:
    await a_model(models)
    wrong: list[dict[str, Any]] = [{}, {"colour": "red"}, {"tags": {}}, {"name": "a/b"}]
    for body in wrong:
        await models.refused(422, "member", "PATCH", "/models/churn", body)


async def test_a_version_shows_its_files_with_their_hashes(models: Api, wire: Wire) -> None:
    await a_model(models)
    run = await a_run(wire, "3", 0.9, b"weights")
    made = await a_version(models, run, description="first", tags={"k": "v"})
    assert (made["version"], made["stage"], made["n_files"]) == (1, "None", 2)
    assert made["source"] == f"runs:/{run}/model"
    page = await models.ok("viewer", "GET", "/models/churn/versions/1/files?limit=1")
    rest = f"/models/churn/versions/1/files?limit=1&cursor={page['next_cursor']}"
    files = [*page["items"], *(await models.ok("viewer", "GET", rest))["items"]]
    assert [(file["path"], file["size"]) for file in files] == [
        ("MLmodel", 11),
        ("data/weights", 7),
    ]
    assert all(len(file["sha256"]) == 64 for file in files)
    again = await a_version(models, run)
    assert again["fingerprint"] == made["fingerprint"]
    copy = await models.ok("member", "POST", "/models/churn/versions", {"copy_of": 1})
    assert (copy["fingerprint"], copy["source"]) == (made["fingerprint"], "models:/churn/1")
    other = await a_version(models, await a_run(wire, "4", 0.8, b"other"))
    assert other["fingerprint"] != made["fingerprint"]


async def test_a_version_comes_from_one_place(models: Api) -> None:
    await a_model(models)
    id = str(new_id())
    wrong: list[dict[str, Any]] = [
        *({}, {"run_id": id, "copy_of": 1}, {"run_id": id, "path": "../x"}),
    ]
    for body in wrong:
        await models.refused(422, "member", "POST", "/models/churn/versions", body)
    missing: list[dict[str, Any]] = [{"run_id": id}, {"logged_model_id": id}, {"copy_of": 7}]
    for body in missing:
        await models.refused(404, "member", "POST", "/models/churn/versions", body)


async def test_an_alias_means_one_version_at_a_time(models: Api, wire: Wire) -> None:
    await a_model(models)
    run = await a_run(wire, "3", 0.9, b"weights")
    for _ in range(2):
        await a_version(models, run)
    for number in (1, 2):
        body = {"version": number}
        meant = await models.ok("member", "PUT", "/models/churn/aliases/champion", body)
        assert (meant["version"], meant["aliases"]) == (number, ["champion"])
    assert (await models.ok("viewer", "GET", "/models/churn"))["aliases"] == {"champion": 2}
    assert (await models.ok("viewer", "GET", "/models/churn/versions/1"))["aliases"] == []
    latest = await models.ok("viewer", "GET", "/models/churn/aliases/latest")
    assert latest["version"] == 2
    await models.ok("member", "DELETE", "/models/churn/aliases/champion")
    await models.refused(404, "member", "DELETE", "/models/churn/aliases/champion")
    await models.refused(404, "viewer", "GET", "/models/churn/aliases/champion")
    await models.refused(422, "member", "PUT", "/models/churn/aliases/latest", {"version": 1})
    await models.refused(404, "member", "PUT", "/models/churn/aliases/a", {"version": 9})


async def test_versions_are_told_apart(models: Api, wire: Wire) -> None:
    await a_model(models)
    for depth, accuracy, content in (("3", 0.9, b"a"), ("4", 0.8, b"b")):
        await a_version(models, await a_run(wire, depth, accuracy, content))
    found = await models.ok("viewer", "GET", "/models/churn/comparison?versions=2&versions=1")
    assert [one["version"] for one in found["versions"]] == [2, 1]
    assert found["params"] == {"depth": {"1": "3", "2": "4"}}
    assert found["metrics"] == {"accuracy": {"1": 0.9, "2": 0.8}}
    assert list(found["files"]) == ["data/weights"]
    await models.refused(422, "viewer", "GET", "/models/churn/comparison?versions=1")
    await models.refused(404, "viewer", "GET", "/models/churn/comparison?versions=1&versions=9")


async def test_lineage_leads_from_the_data_to_the_version(models: Api, wire: Wire) -> None:
    await a_model(models)
    run = await a_run(wire, "3", float("nan"), b"a")
    await a_version(models, run)
    await wire.ok("POST", "runs/delete", {"run_id": run})
    found = await models.ok("viewer", "GET", "/models/churn/versions/1/lineage")
    assert found["version"]["version"] == 1
    assert found["run"]["id"].replace("-", "") == run
    assert found["run"]["deleted"]
    assert found["run"]["params"] == {"depth": "3"}
    assert found["run"]["metrics"] == {"accuracy": "NaN"}
    (dataset,) = found["run"]["datasets"]
    assert (dataset["name"], dataset["context"]) == ("customers", "train")
    assert found["logged_model"] is None


async def test_of_two_projects_with_a_model_of_the_name_one_is_named(models: Api) -> None:
    other = await models.ok("maintainer", "POST", "/projects", {"name": "Other", "slug": "zoo"})
    body = {"name": "shared", "project": "zoo"}
    await models.ok("member", "POST", "/models", body)
    only = await models.ok("viewer", "GET", "/models/shared")
    assert only["project_id"] == other["id"]
    await models.ok("maintainer", "POST", "/projects", {"name": "Third", "slug": "third"})
    await models.ok("member", "POST", "/models", body | {"project": "third"})
    refused = await models.refused(422, "viewer", "GET", "/models/shared")
    assert refused["type"] == "/problems/model-name-unclear"
    for name in ("zoo", other["id"]):
        found = await models.ok("viewer", "GET", f"/models/shared?project={name}")
        assert found["project_id"] == other["id"]
    await models.refused(409, "member", "POST", "/models", body)
    await models.refused(404, "viewer", "GET", "/models/shared?project=nothing")


async def test_models_are_listed_by_name_a_page_at_a_time(models: Api) -> None:
    for name in ("c", "a", "b", "A%"):
        await a_model(models, name)
    page = await models.ok("viewer", "GET", "/models?limit=3")
    rest = await models.ok("viewer", "GET", f"/models?limit=3&cursor={page['next_cursor']}")
    assert [one["name"] for one in [*page["items"], *rest["items"]]] == ["A%", "a", "b", "c"]
    found = await models.ok("viewer", "GET", "/models", params={"q": "%"})
    assert [one["name"] for one in found["items"]] == ["A%"]


async def test_a_private_projects_models_are_its_teams(models: Api) -> None:
    body = {"name": "Secret", "slug": "secret", "visibility": "private"}
    await models.ok("maintainer", "POST", "/projects", body)
    await models.ok("maintainer", "POST", "/models", {"name": "hidden", "project": "secret"})
    for path in ("/models/hidden", "/models/hidden?project=secret", "/models?project=secret"):
        await models.refused(404, "member", "GET", path)
    assert (await models.ok("member", "GET", "/models"))["items"] == []
    assert (await models.ok("maintainer", "GET", "/models/hidden"))["name"] == "hidden"


async def test_another_tenant_finds_nothing(models: Api, wire: Wire) -> None:
    await a_model(models)
    await a_version(models, await a_run(wire, "3", 0.9, b"a"))
    for path in ("", "/versions", "/versions/1", "/versions/1/files", "/versions/1/lineage"):
        await models.refused(404, "admin@other", "GET", f"/models/churn{path}")
    await models.refused(404, "admin@other", "DELETE", "/models/churn?confirm=churn")
    assert (await models.ok("admin@other", "GET", "/models"))["items"] == []


async def test_a_viewer_changes_nothing(models: Api) -> None:
    await a_model(models)
    await models.refused(403, "viewer", "POST", "/models", {"name": "x"})
    await models.refused(403, "viewer", "PATCH", "/models/churn", {"description": "x"})
    await models.refused(403, "viewer", "DELETE", "/models/churn?confirm=churn")
    await models.refused(403, "viewer", "PUT", "/models/churn/aliases/a", {"version": 1})
