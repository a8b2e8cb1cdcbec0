"""Versions of registered models: what they are made of, and how the client loads them."""

import importlib
from pathlib import Path
from typing import Any

import pytest

mlflow: Any = importlib.import_module("mlflow")

pytestmark = pytest.mark.usefixtures("experiment")
with_models = pytest.mark.since("3.0.0")
INVALID, MISSING = "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"


def a_logged_model(client: Any, folder: Path, weights: str) -> Any:
    """As `mlflow.<library>.log_model` logs one."""
    (folder / "weights.txt").write_text(weights)
    (folder / "MLmodel").write_text("flavors: {weights: {data: weights.txt}}")
    made = mlflow.initialize_logged_model("model")
    client.log_model_artifacts(made.model_id, str(folder))
    return mlflow.finalize_logged_model(made.model_id, "READY")


def numbers(found: Any) -> list[int]:
    return [int(version.version) for version in found]


def test_a_model_is_registered_from_a_run(
    client: Any, weights_of: Any, name: str, run: Any, refusal: Any
) -> None:
    for k in ("one", "two"):
        made = mlflow.register_model(f"runs:/{run.info.run_id}/model", name, tags={"k": k})
        assert (made.source, made.status) == (f"{run.info.artifact_uri}/model", "READY")
        assert (made.run_id, made.tags) == (run.info.run_id, {"k": k})
    assert numbers(client.get_registered_model(name).latest_versions) == [2]
    client.set_registered_model_alias(name, "best", "1")
    for version in ("1", "2", "latest"):
        assert weights_of(f"models:/{name}/{version}") == "w"
    assert weights_of(f"models:/{name}@best") == "w"
    assert refusal(weights_of, f"models:/{name}/3") == MISSING
    assert refusal(weights_of, f"models:/{name}@worst") == INVALID


@with_models
def test_a_logged_model_is_registered(
    client: Any, weights_of: Any, name: str, tmp_path: Path
) -> None:
    with mlflow.start_run() as run:
        logged = a_logged_model(client, tmp_path, "one")
    by_id = mlflow.register_model(f"models:/{logged.model_id}", name)
    of_run = mlflow.register_model(f"runs:/{run.info.run_id}/model", name)
    for made in (by_id, of_run):
        assert (made.source, made.run_id) == (f"models:/{logged.model_id}", run.info.run_id)
    by_place = client.create_model_version(name, logged.artifact_location, model_id=logged.model_id)
    assert by_place.run_id == run.info.run_id
    for version in "123":
        assert weights_of(f"models:/{name}/{version}") == "one"


@pytest.mark.since("2.8.0")
def test_a_version_is_copied_to_another_model(
    client: Any, weights_of: Any, name: str, versions: list[Any], refusal: Any
) -> None:
    client.set_model_version_tag(name, "2", "k", "v")
    client.update_model_version(name, "2", "as it is")
    client.set_registered_model_alias(name, "best", "2")
    there = f"{name} copy"
    for uri in (f"models:/{name}/2", f"models:/{name}@best"):
        copy = client.copy_model_version(uri, there)
        assert (copy.name, copy.source) == (there, f"models:/{name}/2")
        assert (copy.run_id, copy.tags) == (versions[1].run_id, {"k": "v"})
        assert (copy.description, copy.current_stage) == ("as it is", "None")
        assert list(copy.aliases) == []
    assert int(copy.version) == 2
    of_a_copy = client.copy_model_version(f"models:/{there}/latest", there)
    assert (int(of_a_copy.version), of_a_copy.source) == (3, f"models:/{there}/2")
    client.delete_registered_model(name)
    for version in "123":
        assert weights_of(f"models:/{there}/{version}") == "w"
    for wrong in (f"models:/{there}/9", f"models:/{there}@best", f"runs:/{versions[0].run_id}"):
        assert refusal(client.copy_model_version, wrong, there)


def test_a_registered_version_is_registered_once_more(
    client: Any, weights_of: Any, name: str, versions: list[Any], refusal: Any
) -> None:
    there = f"{name} 2"
    made = mlflow.register_model(f"models:/{name}/2", there)
    assert (int(made.version), made.source) == (1, f"models:/{name}/2")
    assert weights_of(f"models:/{there}/1") == "w"
    source, other = f"models:/{name}/1", mlflow.start_run().info.run_id
    assert client.create_model_version(there, source, versions[0].run_id).source == source
    assert refusal(client.create_model_version, there, source, other) == INVALID
    assert refusal(client.create_model_version, there, f"models:/{name}/9") == MISSING
    assert refusal(client.create_model_version, there, f"models:/{name} 9/1") == MISSING


def test_a_version_is_made_of_nothing_but_its_own_runs_files(
    client: Any, name: str, run: Any, refusal: Any
) -> None:
    client.create_registered_model(name)
    mine, other = run.info, mlflow.start_run().info
    for source, run_id in [
        (f"runs:/{mine.run_id}/model", other.run_id),
        (f"{mine.artifact_uri}/model", other.run_id),
        (f"{other.artifact_uri}/../{mine.run_id}/model", other.run_id),
        (f"{other.artifact_uri}/%2e%2e/{mine.run_id}/model", other.run_id),
        *(("mlflow-artifacts:/elsewhere", mine.run_id), ("models:/", None)),
        *(("/etc/passwd", None), ("/etc/passwd", mine.run_id), ("file:///etc", mine.run_id)),
        *(("models", None), ("s3://bucket/../other", None), ("models:/a/1/more", None)),
    ]:
        assert refusal(client.create_model_version, name, source, run_id) == INVALID, source
    assert list(client.search_model_versions(f"name = '{name}'")) == []
    source = f"runs:/{mine.run_id}/model"
    assert refusal(client.create_model_version, f"{name} 2", source, mine.run_id) == MISSING


@with_models
def test_a_version_is_made_of_nothing_but_its_own_logged_models_files(
    client: Any, name: str, tmp_path: Path, refusal: Any
) -> None:
    client.create_registered_model(name)
    with mlflow.start_run():
        mine, other = a_logged_model(client, tmp_path, "one"), a_logged_model(client, tmp_path, "")
    where = mine.artifact_location
    for source, about in [
        (f"models:/{mine.model_id}", {"model_id": other.model_id}),
        (where, {"model_id": other.model_id}),
    ]:
        assert refusal(client.create_model_version, name, source, **about) == INVALID, about


def test_a_remote_source_is_named_and_never_read(client: Any, name: str) -> None:
    client.create_registered_model(name)
    made = client.create_model_version(name, "s3://bucket.test/model")
    assert (made.source, made.status, made.run_id) == ("s3://bucket.test/model", "READY", "")
    assert client.get_model_version_download_uri(name, "1") == "s3://bucket.test/model"


@pytest.mark.differs
def test_the_run_of_a_version_is_known_where_mlflow_takes_any(
    client: Any, name: str, refusal: Any
) -> None:
    client.create_registered_model(name)
    for source in (f"runs:/{'0' * 32}/model", "s3://bucket.test/model"):
        assert refusal(client.create_model_version, name, source, "0" * 32) in (INVALID, MISSING)


@pytest.mark.differs
def test_files_of_a_version_stay_as_they_were_where_mlflows_change(
    client: Any, weights_of: Any, name: str, run: Any, versions: list[Any]
) -> None:
    assert len(versions) == 3
    client.log_text(run.info.run_id, "changed", "model/weights.txt")
    assert weights_of(f"models:/{name}/1") == "w"
    client.delete_run(run.info.run_id)
    assert weights_of(f"models:/{name}/2") == "w"


@pytest.mark.differs
@with_models
def test_a_runs_uri_leads_to_the_model_that_the_run_logged_where_mlflow_misplaces_it(
    client: Any, weights_of: Any, name: str, tmp_path: Path
) -> None:
    with mlflow.start_run() as run:
        a_logged_model(client, tmp_path, "one")
    client.create_registered_model(name)
    client.create_model_version(name, f"runs:/{run.info.run_id}/model", run.info.run_id)
    assert weights_of(f"models:/{name}/1") == "one"
