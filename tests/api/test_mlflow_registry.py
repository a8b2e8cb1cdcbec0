"""MLflow's calls about registered models, spoken by hand."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from maestro_ml.approvals.schemas_policies import PolicyContent, PolicyWrite
from maestro_ml.approvals.service import policies
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.tracking.service import removal
from support import caller
from support.files import FILES, counted, swept
from support.registered import a_model, a_run_with_files, a_version, put, read, sent
from support.wire import Wire


async def numbers(wire: Wire, text: str = "", **more: Any) -> list[str]:
    found = await wire.ok("GET", "model-versions/search", {"filter": text, **more})
    return [f"{one['name']}/{one['version']}" for one in found["model_versions"]]


async def names(wire: Wire, text: str = "", **more: Any) -> list[str]:
    found = await wire.ok("GET", "registered-models/search", {"filter": text, **more})
    return [one["name"] for one in found["registered_models"]]


async def test_a_registered_model_goes_through_its_life(wire: Wire) -> None:
    tags = [{"key": "team", "value": "a"}]
    made = await a_model(wire, description="who leaves", tags=tags)
    assert made["tags"] == tags
    assert made["description"] == "who leaves"
    assert "latest_versions" not in made
    assert "aliases" not in made
    assert (await a_version(wire))["version"] == "1"
    assert (await a_version(wire, run_link="http://x"))["version"] == "2"
    alias = {"name": "churn", "alias": "champion", "version": "1"}
    await wire.ok("POST", "registered-models/alias", alias)
    found = await wire.ok("GET", "registered-models/get", {"name": "churn"})
    model = found["registered_model"]
    assert model["aliases"] == [{"alias": "champion", "version": "1"}]
    assert [one["version"] for one in model["latest_versions"]] == ["2"]
    changed = await wire.ok(
        "PATCH", "registered-models/update", {"name": "churn", "description": "new"}
    )
    assert changed["registered_model"]["description"] == "new"
    renamed = await wire.ok(
        "POST", "registered-models/rename", {"name": "churn", "new_name": "leavers"}
    )
    assert renamed["registered_model"]["name"] == "leavers"
    await wire.missing("GET", "registered-models/get", {"name": "churn"})
    meant = await wire.ok(
        "GET", "registered-models/alias", {"name": "leavers", "alias": "champion"}
    )
    assert meant["model_version"]["version"] == "1"
    assert meant["model_version"]["aliases"] == ["champion"]
    assert await sent(wire, "DELETE", "registered-models/delete", {"name": "leavers"}) == {}
    await wire.missing("GET", "registered-models/get", {"name": "leavers"})
    assert await numbers(wire) == []


async def test_a_version_keeps_the_files_it_was_made_from(wire: Wire) -> None:
    run = await a_run_with_files(wire, model__MLmodel=b"flavors: {}", model__data__model=b"weights")
    await put(wire, run, "other.txt", b"not of the model")
    await a_model(wire)
    version = await a_version(wire, source=f"runs:/{run}/model", run_id=run)
    assert version["run_id"] == run
    assert version["source"] == f"runs:/{run}/model"
    place = await wire.ok("GET", "model-versions/get-download-uri", {"name": "churn", "version": 1})
    uri = place["artifact_uri"]
    listed = await wire.ok(
        "GET", f"{FILES}/artifacts", {"path": uri.removeprefix("mlflow-artifacts:/")}
    )
    assert [(one["path"], one["is_dir"]) for one in listed["files"]] == [
        ("MLmodel", False),
        ("data", True),
    ]
    await put(wire, run, "model/MLmodel", b"replaced")
    await sent(wire, "POST", "runs/delete", {"run_id": run})
    assert (await read(wire, uri, "MLmodel")).content == b"flavors: {}"
    assert (await read(wire, uri, "data/model")).content == b"weights"
    assert (await read(wire, uri, "other.txt")).status_code == 404
    assert (await read(wire, uri, "MLmodel", as_="stranger")).status_code == 404


async def test_nobody_writes_into_a_version(wire: Wire) -> None:
    run = await a_run_with_files(wire, MLmodel=b"x")
    await a_model(wire)
    await a_version(wire, source=f"runs:/{run}/", run_id=run)
    place = await wire.ok("GET", "model-versions/get-download-uri", {"name": "churn", "version": 1})
    root = place["artifact_uri"].removeprefix("mlflow-artifacts:/")
    for method, path in (
        ("PUT", f"artifacts/{root}/MLmodel"),
        ("DELETE", f"artifacts/{root}/MLmodel"),
        ("POST", f"mpu/create/{root}"),
    ):
        body = {"path": "MLmodel", "num_parts": 1}
        answer = await wire.http.request(
            method, f"{FILES}/{path}", json=body, headers={"Authorization": "Bearer admin"}
        )
        assert answer.status_code == 400, answer.text
        assert "never change" in answer.json()["message"]


async def test_a_copy_has_the_same_files_and_its_source_is_a_number(wire: Wire) -> None:
    run = await a_run_with_files(wire, m__MLmodel=b"x")
    await a_model(wire)
    await a_model(wire, "copy")
    await a_version(wire, source=f"runs:/{run}/m", run_id=run)
    alias = {"name": "churn", "alias": "best", "version": "1"}
    await wire.ok("POST", "registered-models/alias", alias)
    for source in ("models:/churn/1", "models:/churn@best", "models:/churn/latest"):
        copy = await a_version(wire, "copy", source=source, run_id="", run_link="")
        assert (copy["source"], copy["run_id"]) == ("models:/churn/1", run)
    await sent(wire, "DELETE", "registered-models/delete", {"name": "churn"})
    place = await wire.ok("GET", "model-versions/get-download-uri", {"name": "copy", "version": 3})
    assert (await read(wire, place["artifact_uri"], "MLmodel")).content == b"x"


@pytest.mark.parametrize(
    "source",
    [
        "/etc/passwd",
        "model",
        "file:///etc/passwd",
        "http://127.0.0.1/model",
        "mlflow-artifacts://elsewhere/1/2/artifacts",
        "s3://bucket/../secrets",
        "s3://bucket/%252e%252e/secrets",
        "s3://",
        "models:/",
        "models:/a/b/c",
        "models:/churn/none of these",
    ],
)
async def test_a_source_that_leads_elsewhere_is_refused(wire: Wire, source: str) -> None:
    await a_model(wire)
    message = {"name": "churn", "source": source}
    assert "source" in await wire.invalid("model-versions/create", message)
    assert await numbers(wire) == []


async def test_a_source_that_is_not_there_is_missing(wire: Wire) -> None:
    await a_model(wire)
    nobody = "0" * 32
    for source in (f"runs:/{nobody}/m", f"models:/m-{nobody}", "models:/churn/7", "models:/no/1"):
        await wire.missing("POST", "model-versions/create", {"name": "churn", "source": source})
    message = {"name": "churn", "source": "s3://bucket/m", "run_id": nobody}
    await wire.missing("POST", "model-versions/create", message)


async def test_a_source_and_a_run_that_differ_are_a_mistake(wire: Wire) -> None:
    one = await a_run_with_files(wire, m=b"x")
    experiment = await wire.experiment("another")
    other = await wire.run(experiment)
    await a_model(wire)
    message = {"name": "churn", "source": f"runs:/{one}/m", "run_id": other}
    assert "run_id" in await wire.invalid("model-versions/create", message)


async def test_stages_are_aliases_under_another_name(wire: Wire, sessions: Sessions) -> None:
    async with open_work(sessions, caller()) as work:
        free = PolicyWrite(policy=PolicyContent(protected=[]))
        await policies.write(work, {}, free)
    await a_model(wire)
    for _ in range(3):
        await a_version(wire)

    async def put_into(number: int, stage: str, *, archive: bool = False) -> str:
        message: dict[str, Any] = {"name": "churn", "version": str(number), "stage": stage}
        message |= {"archive_existing_versions": archive}
        moved = await wire.ok("POST", "model-versions/transition-stage", message)
        return str(moved["model_version"]["current_stage"])

    async def latest(*stages: str) -> list[str]:
        message = {"name": "churn", "stages": list(stages)}
        found = await wire.ok("POST", "registered-models/get-latest-versions", message)
        return [f"{v['version']} {v['current_stage']}" for v in found["model_versions"]]

    assert await put_into(1, "production") == "Production"
    assert await put_into(2, "Staging") == "Staging"
    alias = {"name": "churn", "alias": "production"}
    meant = await wire.ok("GET", "registered-models/alias", alias)
    assert meant["model_version"]["version"] == "1"
    assert await put_into(2, "Production", archive=True) == "Production"
    assert await latest() == ["1 Archived", "2 Production", "3 None"]
    assert await latest("Staging") == []
    await wire.ok("POST", "registered-models/alias", alias | {"version": "3"})
    assert await latest("Production") == ["3 Production"]
    assert await latest("None") == ["2 None"]
    assert await put_into(3, "None") == "None"
    await wire.refused(400, "INVALID_PARAMETER_VALUE", "GET", "registered-models/alias", alias)
    message: dict[str, Any] = {"name": "churn", "version": "1", "stage": "Best"}
    assert "Archived" in await wire.invalid("model-versions/transition-stage", message)
    message |= {"stage": "None", "archive_existing_versions": True}
    assert "Active stage" in await wire.invalid("model-versions/transition-stage", message)


async def test_numbers_never_come_back(wire: Wire) -> None:
    await a_model(wire)
    await a_version(wire)
    await a_version(wire)
    await sent(wire, "DELETE", "model-versions/delete", {"name": "churn", "version": "2"})
    await wire.missing("GET", "model-versions/get", {"name": "churn", "version": "2"})
    assert (await a_version(wire))["version"] == "3"


@pytest.mark.parametrize("alias", ["latest", "LATEST", "v1", "V22", "a b", "a/b", "", "x" * 256])
async def test_an_alias_that_means_something_else_is_refused(wire: Wire, alias: str) -> None:
    await a_model(wire)
    await a_version(wire)
    message = {"name": "churn", "alias": alias, "version": "1"}
    assert "alias" in await wire.invalid("registered-models/alias", message)


async def test_latest_is_an_alias_that_everybody_has(wire: Wire) -> None:
    await a_model(wire)
    alias = {"name": "churn", "alias": "latest"}
    await wire.missing("GET", "registered-models/alias", alias)
    await a_version(wire)
    await a_version(wire)
    found = await wire.ok("GET", "registered-models/alias", alias)
    assert found["model_version"]["version"] == "2"


@pytest.mark.parametrize("name", ["", "  ", "a/b", "a:b", "..", ".", "x" * 257])
async def test_a_name_that_reads_as_something_else_is_refused(wire: Wire, name: str) -> None:
    assert "name" in await wire.invalid("registered-models/create", {"name": name})
    await wire.invalid("registered-models/get", {"name": name}, method="GET")


async def test_a_name_is_taken_once(wire: Wire) -> None:
    await a_model(wire)
    taken = (400, "RESOURCE_ALREADY_EXISTS", "POST")
    await wire.refused(*taken, "registered-models/create", {"name": "churn"})
    await a_model(wire, "other")
    message = {"name": "other", "new_name": "churn"}
    await wire.refused(*taken, "registered-models/rename", message)
    await a_model(wire, "Churn")


@pytest.mark.parametrize("version", ["x", "1.0", "", "9" * 30])
async def test_a_version_is_a_whole_number(wire: Wire, version: str) -> None:
    await a_model(wire)
    message = {"name": "churn", "version": version}
    assert "version" in await wire.invalid("model-versions/get", message, method="GET")


@pytest.mark.parametrize("version", ["0", "-1", "7", "99999999999"])
async def test_a_version_that_is_not_there_is_missing(wire: Wire, version: str) -> None:
    await a_model(wire)
    await wire.missing("GET", "model-versions/get", {"name": "churn", "version": version})


async def test_tags_are_set_replaced_and_taken_away(wire: Wire) -> None:
    await a_model(wire)
    await a_version(wire, tags=[{"key": "k", "value": "1"}])
    for path, more in (("registered-models", {}), ("model-versions", {"version": "1"})):
        named = {"name": "churn", **more}
        await wire.ok("POST", f"{path}/set-tag", named | {"key": "k", "value": "2"})
        await wire.ok("POST", f"{path}/set-tag", named | {"key": "empty"})
        answer = await wire.ok("GET", f"{path}/get", named)
        [found] = answer.values()
        assert found["tags"] == [{"key": "empty", "value": ""}, {"key": "k", "value": "2"}]
        for _ in range(2):
            await sent(wire, "DELETE", f"{path}/delete-tag", named | {"key": "k"})
        long = named | {"key": "k", "value": "x" * 100_001}
        assert "value" in await wire.invalid(f"{path}/set-tag", long)


async def test_models_are_searched_by_name_and_tag(wire: Wire) -> None:
    for name in ("beta", "Gamma", "alpha", "alto"):
        await a_model(wire, name, tags=[{"key": "first", "value": name[0]}])
    assert await names(wire) == ["Gamma", "alpha", "alto", "beta"]
    assert await names(wire, "name LIKE 'al%'") == ["alpha", "alto"]
    assert await names(wire, "name ILIKE 'g%'") == ["Gamma"]
    assert await names(wire, "tags.first = 'a' AND name != 'alto'") == ["alpha"]
    assert await names(wire, order_by=["name DESC"]) == ["beta", "alto", "alpha", "Gamma"]
    assert await names(wire, order_by=["timestamp DESC"]) != []
    page = await wire.ok("GET", "registered-models/search", {"max_results": 3})
    token = {"max_results": 3, "page_token": page["next_page_token"]}
    rest = await wire.ok("GET", "registered-models/search", token)
    assert [one["name"] for one in rest["registered_models"]] == ["beta"]
    assert "next_page_token" not in rest
    for bad in ("name > 'a'", "run_id = 'x'", "name = 'a' OR name = 'b'", "   x"):
        await wire.invalid("registered-models/search", {"filter": bad}, method="GET")
    await wire.invalid("registered-models/search", {"max_results": 1001}, method="GET")


async def test_versions_are_searched_by_what_they_are(wire: Wire) -> None:
    run = await a_run_with_files(wire, m=b"x")
    await a_model(wire, "a")
    await a_model(wire, "b")
    await a_version(wire, "a", source=f"runs:/{run}/m", run_id=run)
    await a_version(wire, "a", tags=[{"key": "k", "value": "v"}])
    await a_version(wire, "b")
    assert set(await numbers(wire)) == {"a/1", "a/2", "b/1"}
    assert await numbers(wire, "name = 'a'", order_by=["version_number DESC"]) == ["a/2", "a/1"]
    assert await numbers(wire, f"run_id = '{run}'") == ["a/1"]
    assert await numbers(wire, "run_id = ''", order_by=["name"]) == ["a/2", "b/1"]
    assert await numbers(wire, "source_path LIKE 's3:%' AND version_number = 2") == ["a/2"]
    assert await numbers(wire, "version_number >= '2'") == ["a/2"]
    assert await numbers(wire, "tags.k = 'v'") == ["a/2"]
    for bad in ("version_number = 1.5", "current_stage = 'None'", "description = 'x'"):
        await wire.invalid("model-versions/search", {"filter": bad}, method="GET")


async def test_prompts_are_found_by_whoever_asks_for_them(wire: Wire) -> None:
    prompt = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    await a_model(wire)
    await a_model(wire, "greeting", tags=prompt)
    text = {"key": "mlflow.prompt.text", "value": "Hello {{name}}" * 5_000}
    await a_version(wire, "greeting", source="dummy-source", tags=[*prompt, text])
    assert await names(wire) == ["churn"]
    asked = "tags.`mlflow.prompt.is_prompt` = 'true'"
    assert await names(wire, asked) == ["greeting"]
    assert await names(wire, "tag.`mlflow.prompt.is_prompt` != 'true'") == ["churn"]
    assert await numbers(wire) == []
    assert await numbers(wire, f"name = 'greeting' AND {asked}") == ["greeting/1"]
    copied = {"name": "churn", "source": "models:/greeting/1"}
    assert "prompt" in await wire.invalid("model-versions/create", copied)


async def test_another_tenant_finds_nothing(wire: Wire) -> None:
    run = await a_run_with_files(wire, m=b"x")
    await a_model(wire)
    await a_version(wire, source=f"runs:/{run}/m", run_id=run)
    for method, path, message in (
        ("GET", "registered-models/get", {"name": "churn"}),
        ("GET", "model-versions/get", {"name": "churn", "version": "1"}),
        ("GET", "registered-models/alias", {"name": "churn", "alias": "latest"}),
        ("POST", "model-versions/create", {"name": "churn", "source": "s3://a/b"}),
        ("POST", "registered-models/set-tag", {"name": "churn", "key": "k"}),
    ):
        await wire.missing(method, path, message, as_="stranger")
    found = await wire.ok("GET", "registered-models/search", {}, as_="stranger")
    assert found == {"registered_models": []}
    await wire.ok("POST", "registered-models/create", {"name": "mine"}, as_="stranger")
    stolen = {"name": "mine", "source": f"runs:/{run}/m"}
    await wire.missing("POST", "model-versions/create", stolen, as_="stranger")


async def test_a_viewer_reads_and_changes_nothing(wire: Wire) -> None:
    await a_model(wire)
    await wire.ok("GET", "registered-models/get", {"name": "churn"}, as_="viewer")
    for path, message in (
        ("registered-models/create", {"name": "x"}),
        ("model-versions/create", {"name": "churn", "source": "s3://a/b"}),
        ("registered-models/set-tag", {"name": "churn", "key": "k"}),
    ):
        await wire.refused(403, "PERMISSION_DENIED", "POST", path, message, as_="viewer")


async def test_a_version_outlives_its_run_that_is_removed_for_good(
    wire: Wire, sessions: Sessions, tmp_path: Path
) -> None:
    run = await a_run_with_files(wire, m__MLmodel=b"kept", other=b"goes")
    await a_model(wire)
    await a_version(wire, source=f"runs:/{run}/m", run_id=run)
    await wire.ok("POST", "runs/delete", {"run_id": run})
    async with open_work(sessions, caller()) as work:
        assert await removal.remove_runs(work, work.now + timedelta(days=1)) == [UUID(run)]
    await swept(sessions, tmp_path)
    assert await counted(sessions) == len(b"kept")
    place = await wire.ok("GET", "model-versions/get-download-uri", {"name": "churn", "version": 1})
    assert (await read(wire, place["artifact_uri"], "MLmodel")).content == b"kept"
    await sent(wire, "DELETE", "registered-models/delete", {"name": "churn"})
    await swept(sessions, tmp_path)
    assert await counted(sessions) == 0
