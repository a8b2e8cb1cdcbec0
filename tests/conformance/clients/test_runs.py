"""Runs, as code that uses MLflow makes them, logs to them and reads them again."""

import importlib
import math
import time
from typing import Any

import pytest

mlflow: Any = importlib.import_module("mlflow")
entities: Any = importlib.import_module("mlflow.entities")


def test_a_run_is_logged_and_read_again(experiment: Any) -> None:
    with mlflow.start_run(run_name="first", tags={"who": "ada"}, description="a try") as run:
        mlflow.log_param("lr", 0.1)
        mlflow.log_params({"depth": 3, "name": "é ∂ 漢"})
        mlflow.log_metric("loss", 0.5, step=1)
        mlflow.log_metrics({"acc": 0.9, "f1/macro": 0.8}, step=2)
        mlflow.set_tag("stage", "draft")
        mlflow.set_tags({"a.b": "c", "long": "v" * 5000})
    read = mlflow.get_run(run.info.run_id)
    assert read.info.status == "FINISHED"
    assert read.info.run_name == "first"
    assert read.info.experiment_id == experiment.experiment_id
    assert read.info.artifact_uri.startswith("mlflow-artifacts:/")
    assert read.info.end_time >= read.info.start_time
    assert read.data.params == {"lr": "0.1", "depth": "3", "name": "é ∂ 漢"}
    assert read.data.metrics == {"loss": 0.5, "acc": 0.9, "f1/macro": 0.8}
    assert read.data.tags["who"] == "ada"
    assert read.data.tags["mlflow.runName"] == "first"
    assert read.data.tags["mlflow.note.content"] == "a try"
    assert read.data.tags["mlflow.user"]
    assert read.data.tags["mlflow.source.type"]


def test_a_run_that_breaks_has_failed(experiment: Any) -> None:
    with pytest.raises(ZeroDivisionError), mlflow.start_run() as run:
        raise ZeroDivisionError
    assert mlflow.get_run(run.info.run_id).info.status == "FAILED"


def test_runs_nest_and_are_resumed(experiment: Any) -> None:
    with mlflow.start_run() as parent:
        with mlflow.start_run(nested=True) as child:
            mlflow.log_metric("m", 1)
        mlflow.log_metric("m", 2)
    with mlflow.start_run(run_id=parent.info.run_id):
        assert mlflow.get_run(parent.info.run_id).info.status == "RUNNING"
        mlflow.log_metric("m", 3, step=1)
    assert mlflow.get_run(parent.info.run_id).data.metrics == {"m": 3}
    assert mlflow.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == parent.info.run_id


@pytest.mark.since("2.4")
def test_a_nested_run_knows_its_parent(experiment: Any) -> None:
    with mlflow.start_run() as parent, mlflow.start_run(nested=True) as child:
        pass
    assert mlflow.get_parent_run(child.info.run_id).info.run_id == parent.info.run_id


def test_without_an_experiment_a_run_goes_to_the_default_one(client: Any, name: str) -> None:
    run = client.create_run("0", tags={"of": name})
    assert client.get_experiment(run.info.experiment_id).name == "Default"
    assert client.get_experiment("0").experiment_id == run.info.experiment_id
    found = client.search_runs(["0"], f"tags.of = '{name}'")
    assert [r.info.run_id for r in found] == [run.info.run_id]


def test_a_batch_is_logged_and_repeated(client: Any, experiment: Any) -> None:
    run = client.create_run(experiment.experiment_id).info.run_id
    now = int(time.time() * 1000)
    metrics = [entities.Metric("m", float(n), now + n, n) for n in range(900)]
    params = [entities.Param(f"p{n}", str(n)) for n in range(50)]
    tags = [entities.RunTag(f"t{n}", str(n)) for n in range(50)]
    for _ in range(2):
        client.log_batch(run, metrics, params, tags)
    read = client.get_run(run)
    assert read.data.metrics == {"m": 899}
    assert len(read.data.params) == 50
    history = client.get_metric_history(run, "m")
    assert [(m.value, m.timestamp, m.step) for m in history] == [
        (n, now + n, n) for n in range(900)
    ]


def test_numbers_that_are_none_survive(client: Any, experiment: Any) -> None:
    run = client.create_run(experiment.experiment_id).info.run_id
    for step, value in enumerate([math.nan, math.inf, -math.inf]):
        client.log_metric(run, f"m{step}", value, step=step)
    batch = [entities.Metric("b", math.nan, 5, -3), entities.Metric("b", 1.0, 5, -4)]
    client.log_batch(run, batch)
    values = client.get_run(run).data.metrics
    assert math.isnan(values["m0"])
    assert math.isnan(values["b"])
    assert (values["m1"], values["m2"]) == (math.inf, -math.inf)
    assert [m.step for m in client.get_metric_history(run, "b")] == [-4, -3]


def test_the_newest_value_is_by_step(client: Any, experiment: Any) -> None:
    run = client.create_run(experiment.experiment_id).info.run_id
    for value, at, step in [(1.0, 9, 5), (2.0, 99, 4), (3.0, 8, 5), (4.0, 9, 5)]:
        client.log_metric(run, "m", value, timestamp=at, step=step)
    assert client.get_run(run).data.metrics == {"m": 4.0}


@pytest.mark.since("2.10")
def test_what_is_logged_in_the_background_arrives(client: Any, experiment: Any) -> None:
    with mlflow.start_run() as run:
        for step in range(50):
            mlflow.log_metric("m", step, step=step, synchronous=False)
        mlflow.log_params({"a": 1, "b": 2}, synchronous=False)
        mlflow.set_tag("t", "v", synchronous=False).wait()
        mlflow.flush_async_logging()
    read = client.get_run(run.info.run_id)
    assert (read.data.metrics, read.data.params) == ({"m": 49}, {"a": "1", "b": "2"})
    assert len(client.get_metric_history(run.info.run_id, "m")) == 50


@pytest.mark.since("2.8")
def test_the_machine_is_watched_while_a_run_goes_on(client: Any, experiment: Any) -> None:
    mlflow.set_system_metrics_sampling_interval(0.05)
    mlflow.set_system_metrics_samples_before_logging(1)
    with mlflow.start_run(log_system_metrics=True) as run:
        while not client.get_run(run.info.run_id).data.metrics:  # until pytest's patience ends
            pass
    read = client.get_run(run.info.run_id).data.metrics
    assert read["system/cpu_utilization_percentage"] >= 0
    assert read["system/system_memory_usage_megabytes"] > 0


def test_runs_are_deleted_and_restored(client: Any, experiment: Any, refusal: Any) -> None:
    run = client.create_run(experiment.experiment_id).info.run_id
    client.delete_run(run)
    view = entities.ViewType
    ids = [experiment.experiment_id]
    assert client.get_run(run).info.lifecycle_stage == "deleted"
    assert len(client.search_runs(ids)) == 0
    assert len(client.search_runs(ids, run_view_type=view.DELETED_ONLY)) == 1
    assert len(client.search_runs(ids, run_view_type=view.ALL)) == 1
    assert refusal(client.log_metric, run, "m", 1) == "INVALID_PARAMETER_VALUE"
    client.restore_run(run)
    client.log_metric(run, "m", 1)


def test_a_run_is_renamed_and_loses_a_tag(client: Any, experiment: Any) -> None:
    run = client.create_run(experiment.experiment_id, run_name="a", tags={"t": "1"}).info.run_id
    client.update_run(run, status="KILLED", name="b")
    client.delete_tag(run, "t")
    read = client.get_run(run)
    assert (read.info.run_name, read.info.status) == ("b", "KILLED")
    assert "t" not in read.data.tags
    client.set_terminated(run, "FINISHED", end_time=1700000000123)
    assert client.get_run(run).info.end_time == 1700000000123


def test_failures_carry_mlflow_codes(client: Any, experiment: Any, refusal: Any) -> None:
    run = client.create_run(experiment.experiment_id).info.run_id
    client.log_param(run, "p", "1")
    client.log_param(run, "p", "1")
    for code, call, args in [
        ("RESOURCE_DOES_NOT_EXIST", client.get_run, ["0" * 32]),
        ("RESOURCE_DOES_NOT_EXIST", client.delete_tag, [run, "none"]),
        ("INVALID_PARAMETER_VALUE", client.log_param, [run, "p", "2"]),
        ("INVALID_PARAMETER_VALUE", client.log_param, [run, "long", "v" * 6001]),
        ("INVALID_PARAMETER_VALUE", client.log_metric, [run, "../x", 1]),
        ("INVALID_PARAMETER_VALUE", client.log_metric, [run, "m", 1, 10**15]),
    ]:
        assert refusal(call, *args) == code, (call, args)
