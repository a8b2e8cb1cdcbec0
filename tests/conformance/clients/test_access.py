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
