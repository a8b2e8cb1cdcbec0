"""The real, unmodified MLflow client against a live server.

Runs with the client of the environment (mlflow-skinny 3.17.2, the newest that installs). The oldest
aimed at is 2.9: 2.9.2 and 2.15.1 pass all of this that they have calls for, which is all but
`delete_experiment_tag` and the workspace.
"""

import math
import time
from collections.abc import Iterator
from typing import Any

import pytest

mlflow = pytest.importorskip("mlflow")
entities = pytest.importorskip("mlflow.entities")

# The client warns of its own affairs; a warning of ours still fails the test.
pytestmark = pytest.mark.filterwarnings("ignore:::mlflow")


@pytest.fixture
def client(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "member")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri(server)
    yield mlflow.MlflowClient()
    while mlflow.active_run():
        mlflow.end_run()


@pytest.fixture
def experiment(client: Any) -> Any:
    return mlflow.set_experiment("churn")


def refusal(call: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(mlflow.MlflowException) as refused:
        call(*args, **options)
    return str(refused.value.error_code)


def names(runs: Any) -> list[str]:
    return [run.info.run_name for run in runs]


def test_set_experiment_makes_it_once(client: Any) -> None:
    made = mlflow.set_experiment("churn")
    assert mlflow.set_experiment("churn").experiment_id == made.experiment_id
    assert client.get_experiment(made.experiment_id).name == "churn"
    assert client.get_experiment_by_name("churn").lifecycle_stage == "active"
    assert client.get_experiment_by_name("nothing") is None


def test_names_are_kept_as_sent(client: Any) -> None:
    assert client.get_experiment(client.create_experiment(" churn ")).name == " churn "


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
    assert mlflow.get_parent_run(child.info.run_id).info.run_id == parent.info.run_id


def test_without_an_experiment_a_run_goes_to_the_default_one(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = client.create_run("0")
    assert client.get_experiment(run.info.experiment_id).name == "Default"
    assert client.get_experiment("0").experiment_id == run.info.experiment_id
    assert [r.info.run_id for r in client.search_runs(["0"])] == [run.info.run_id]


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


def test_runs_are_found_by_what_was_logged(client: Any, experiment: Any) -> None:
    for n, name in enumerate("abc"):
        with mlflow.start_run(run_name=name):
            mlflow.log_metric("acc", n / 2)
            mlflow.log_param("kind of model", f"tree {name}")
            mlflow.set_tag("team.name", "x" if n else "y")
    ids = [experiment.experiment_id]
    for text, found in {
        "metrics.acc >= 0.5": "cb",
        "metrics.acc < 0.5 and tags.`team.name` = 'y'": "a",
        "params.`kind of model` LIKE 'tree%'": "cba",
        'params."kind of model" ILIKE "TREE B"': "b",
        "tags.mlflow.runName = 'c'": "c",
        "attributes.run_name IN ('a', 'c')": "ca",
        "status = 'FINISHED' AND start_time > 0": "cba",
        "attributes.status != 'FINISHED'": "",
    }.items():
        assert "".join(names(client.search_runs(ids, text))) == found, text
    ordered = client.search_runs(ids, order_by=["metrics.acc ASC"], max_results=2)
    assert names(ordered) == ["a", "b"]
    rest = client.search_runs(
        ids, order_by=["metrics.acc ASC"], max_results=2, page_token=ordered.token
    )
    assert (names(rest), rest.token) == (["c"], None)
    fluent = mlflow.search_runs(filter_string="metrics.acc > 0.5", output_format="list")
    assert names(fluent) == ["c"]
    assert refusal(client.search_runs, ids, "metrics.acc > 'x'") == "INVALID_PARAMETER_VALUE"


def test_runs_are_deleted_and_restored(client: Any, experiment: Any) -> None:
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


def test_experiments_are_searched_edited_deleted_and_restored(client: Any) -> None:
    ids = [client.create_experiment(name, tags={"team": name}) for name in ("a", "b", "c")]
    assert [e.name for e in client.search_experiments(order_by=["name DESC"])] == ["c", "b", "a"]
    found = client.search_experiments(filter_string="tags.team = 'b' AND name LIKE 'b%'")
    assert [e.tags for e in found] == [{"team": "b"}]
    first = client.search_experiments(max_results=2, order_by=["name"])
    rest = client.search_experiments(max_results=2, order_by=["name"], page_token=first.token)
    assert [e.name for e in [*first, *rest]] == ["a", "b", "c"]
    client.rename_experiment(ids[0], "renamed")
    client.set_experiment_tag(ids[0], "note", "n" * 9000)
    client.delete_experiment_tag(ids[0], "team")
    read = client.get_experiment(ids[0])
    assert (read.name, read.tags) == ("renamed", {"note": "n" * 9000})
    client.delete_experiment(ids[0])
    assert client.get_experiment(ids[0]).lifecycle_stage == "deleted"
    assert refusal(mlflow.set_experiment, "renamed") == "INVALID_PARAMETER_VALUE"
    assert refusal(client.create_run, ids[0]) == "INVALID_PARAMETER_VALUE"
    client.restore_experiment(ids[0])
    client.create_run(ids[0])


def test_a_run_is_renamed_and_loses_a_tag(client: Any, experiment: Any) -> None:
    run = client.create_run(experiment.experiment_id, run_name="a", tags={"t": "1"}).info.run_id
    client.update_run(run, status="KILLED", name="b")
    client.delete_tag(run, "t")
    read = client.get_run(run)
    assert (read.info.run_name, read.info.status) == ("b", "KILLED")
    assert "t" not in read.data.tags
    client.set_terminated(run, "FINISHED", end_time=1700000000123)
    assert client.get_run(run).info.end_time == 1700000000123


def test_failures_carry_mlflow_codes(client: Any, experiment: Any) -> None:
    run = client.create_run(experiment.experiment_id).info.run_id
    client.log_param(run, "p", "1")
    client.log_param(run, "p", "1")
    for code, call, args in [
        ("RESOURCE_ALREADY_EXISTS", client.create_experiment, ["churn"]),
        ("RESOURCE_DOES_NOT_EXIST", client.get_experiment, ["0" * 32]),
        ("RESOURCE_DOES_NOT_EXIST", client.get_run, ["0" * 32]),
        ("RESOURCE_DOES_NOT_EXIST", client.delete_tag, [run, "none"]),
        ("INVALID_PARAMETER_VALUE", client.log_param, [run, "p", "2"]),
        ("INVALID_PARAMETER_VALUE", client.log_param, [run, "long", "v" * 6001]),
        ("INVALID_PARAMETER_VALUE", client.log_metric, [run, "../x", 1]),
        ("INVALID_PARAMETER_VALUE", client.log_metric, [run, "m", 1, 10**15]),
        ("ENDPOINT_NOT_FOUND", client.create_registered_model, ["model"]),
    ]:
        assert refusal(call, *args) == code, (call, args)


def test_viewers_read_only(client: Any, experiment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = client.create_run(experiment.experiment_id).info.run_id
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "viewer")
    assert client.get_run(run).info.run_id == run
    assert refusal(client.log_metric, run, "m", 1) == "PERMISSION_DENIED"
    assert refusal(client.create_experiment, "theirs") == "PERMISSION_DENIED"


def test_another_tenant_sees_nothing(
    client: Any, experiment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = client.create_run(experiment.experiment_id).info.run_id
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "stranger")
    assert client.get_experiment_by_name("churn") is None
    assert list(client.search_experiments()) == []
    assert list(client.search_runs([experiment.experiment_id])) == []
    for call in (client.get_run, client.delete_run):
        assert refusal(call, run) == "RESOURCE_DOES_NOT_EXIST"
    assert refusal(client.log_metric, run, "m", 1) == "RESOURCE_DOES_NOT_EXIST"
    assert refusal(client.get_experiment, experiment.experiment_id) == "RESOURCE_DOES_NOT_EXIST"


def test_without_a_token_nobody_gets_in(
    client: Any, experiment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN")
    assert refusal(client.search_experiments) == "UNAUTHENTICATED"


def test_a_workspace_is_a_project(
    client: Any, experiment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_WORKSPACE", "lab")
    assert client.get_experiment_by_name("churn").experiment_id == experiment.experiment_id
    assert client.get_experiment(experiment.experiment_id).workspace == "lab"
    for workspace in ("shop", "nowhere"):  # another tenant's, and nobody's
        monkeypatch.setenv("MLFLOW_WORKSPACE", workspace)
        assert refusal(client.create_experiment, "x") == "RESOURCE_DOES_NOT_EXIST"
        assert refusal(client.search_experiments) == "RESOURCE_DOES_NOT_EXIST"
