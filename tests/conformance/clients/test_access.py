"""Whose key it is decides what the client sees, as everywhere in Maestro."""

import importlib
import os
import uuid
from typing import Any

import pytest

mlflow: Any = importlib.import_module("mlflow")


def test_a_key_that_only_reads_only_reads(
    client: Any, experiment: Any, refusal: Any, become: Any
) -> None:
    run = client.create_run(experiment.experiment_id).info.run_id
    become("reader")
    assert client.get_run(run).info.run_id == run
    assert len(client.search_runs([experiment.experiment_id])) == 1
    assert refusal(client.log_metric, run, "m", 1) == "PERMISSION_DENIED"
    assert refusal(client.create_experiment, "theirs") == "PERMISSION_DENIED"


def test_another_tenant_sees_nothing(
    client: Any, experiment: Any, refusal: Any, become: Any
) -> None:
    run = client.create_run(experiment.experiment_id).info.run_id
    become("stranger")
    assert client.get_experiment_by_name(experiment.name) is None
    assert [e.name for e in client.search_experiments()] == ["Default"]
    assert list(client.search_runs([experiment.experiment_id])) == []
    for call in (client.get_run, client.delete_run):
        assert refusal(call, run) == "RESOURCE_DOES_NOT_EXIST"
    assert refusal(client.log_metric, run, "m", 1) == "RESOURCE_DOES_NOT_EXIST"
    assert refusal(client.get_experiment, experiment.experiment_id) == "RESOURCE_DOES_NOT_EXIST"


def test_another_tenant_has_a_registry_of_its_own(
    client: Any, name: str, experiment: Any, refusal: Any, become: Any
) -> None:
    run = client.create_run(experiment.experiment_id).info.run_id
    client.log_text(run, "w", "model/weights.txt")
    client.create_registered_model(name)
    client.create_model_version(name, f"runs:/{run}/model", run)
    client.set_registered_model_alias(name, "best", "1")
    become("reader")
    assert client.get_model_version_by_alias(name, "best").run_id == run
    for call, args in [
        (client.create_registered_model, [f"{name} 2"]),
        (client.delete_registered_model, [name]),
        (client.delete_model_version, [name, "1"]),
        (client.set_registered_model_tag, [name, "k", "v"]),
        (client.set_registered_model_alias, [name, "worst", "1"]),
    ]:
        assert refusal(call, *args) == "PERMISSION_DENIED", call
    become("stranger")
    assert list(client.search_registered_models(f"name = '{name}'")) == []
    assert list(client.search_model_versions(f"name = '{name}'")) == []
    for call, args in [
        *((client.get_registered_model, [name]), (client.delete_registered_model, [name])),
        *((client.get_model_version, [name, "1"]), (client.delete_model_version, [name, "1"])),
        (client.get_model_version_download_uri, [name, "1"]),
        (client.get_model_version_by_alias, [name, "best"]),
        (client.set_registered_model_alias, [name, "worst", "1"]),
    ]:
        assert refusal(call, *args) == "RESOURCE_DOES_NOT_EXIST", call
    theirs = client.create_registered_model(f"{name} theirs").name
    for source, run_id in ((f"runs:/{run}/model", run), (f"models:/{name}/1", None)):
        refused = refusal(client.create_model_version, theirs, source, run_id)
        assert refused in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"), source
    client.create_registered_model(name)
    assert client.get_registered_model(name).latest_versions == []


def test_without_a_key_nobody_gets_in(client: Any, refusal: Any, become: Any) -> None:
    become("nobody")
    assert refusal(client.search_experiments) == "UNAUTHENTICATED"
    assert refusal(client.get_run, "0" * 32) == "UNAUTHENTICATED"


@pytest.mark.since("3.10")
def test_a_workspace_is_a_project(
    client: Any, experiment: Any, refusal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_WORKSPACE", os.environ["CONFORMANCE_WORKSPACE"])
    found = client.get_experiment_by_name(experiment.name)
    assert found.experiment_id == experiment.experiment_id
    assert found.workspace == os.environ["CONFORMANCE_WORKSPACE"]
    for workspace in ("theirs", "nowhere"):  # another tenant's, and nobody's
        monkeypatch.setenv("MLFLOW_WORKSPACE", workspace)
        assert refusal(client.create_experiment, "x") == "RESOURCE_DOES_NOT_EXIST"
        assert refusal(client.search_experiments) == "RESOURCE_DOES_NOT_EXIST"


@pytest.mark.since("3.10")
def test_workspaces_are_made_changed_used_and_deleted(
    refusal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"w-{uuid.uuid4().hex[:8]}"
    made = mlflow.create_workspace(name, description="who leaves")
    assert (made.name, made.description) == (name, "who leaves")
    assert name in [workspace.name for workspace in mlflow.list_workspaces()]
    assert refusal(mlflow.create_workspace, name) == "RESOURCE_ALREADY_EXISTS"
    assert (
        refusal(mlflow.create_workspace, "elsewhere", None, "s3://bucket")
        == "INVALID_PARAMETER_VALUE"
    )
    mlflow.update_workspace(name, description="who stays")
    assert mlflow.get_workspace(name).description == "who stays"
    monkeypatch.setenv("MLFLOW_WORKSPACE", name)
    with mlflow.start_run(experiment_id="0") as run:
        mlflow.log_metric("m", 1)
    monkeypatch.delenv("MLFLOW_WORKSPACE")
    assert refusal(mlflow.get_run, run.info.run_id) == "RESOURCE_DOES_NOT_EXIST"
    assert refusal(mlflow.delete_workspace, name) == "RESOURCE_CONFLICT"
    mlflow.delete_workspace(name, mode="CASCADE")
    assert refusal(mlflow.get_workspace, name) == "RESOURCE_DOES_NOT_EXIST"


def test_a_protected_alias_moves_by_approval_alone(
    client: Any, name: str, refusal: Any, become: Any
) -> None:
    become("stranger")
    client.create_registered_model(name)
    client.create_model_version(name, "s3://bucket.test/model")
    for call, args in [
        (client.set_registered_model_alias, [name, "production", "1"]),
        (client.transition_model_version_stage, [name, "1", "Production"]),
    ]:
        assert refusal(call, *args) == "RESOURCE_CONFLICT", call
    client.set_registered_model_alias(name, "challenger", "1")
    assert client.get_registered_model(name).aliases == {"challenger": "1"}
