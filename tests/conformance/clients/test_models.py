"""Datasets, and models as MLflow 3 logs them, as far as that needs no files."""

import importlib
import math
from typing import Any

import pytest

mlflow: Any = importlib.import_module("mlflow")
entities: Any = importlib.import_module("mlflow.entities")

pytestmark = pytest.mark.usefixtures("experiment")
with_models = pytest.mark.since("3.3.0")


def a_dataset(name: str) -> Any:
    meta = importlib.import_module("mlflow.data.meta_dataset")
    sources = importlib.import_module("mlflow.data.http_dataset_source")
    source = sources.HTTPDatasetSource(f"https://data.test/{name}.csv")
    return meta.MetaDataset(source, name=name)


@pytest.mark.since("2.10.0")
def test_datasets_are_logged_with_their_context(client: Any) -> None:
    train = a_dataset("train")
    with mlflow.start_run() as run:
        mlflow.log_input(train, context="training", tags={"owner": "ada"})
        mlflow.log_input(train, context="again")
        mlflow.log_input(a_dataset("test"), context="eval")
    inputs = {i.dataset.name: i for i in mlflow.get_run(run.info.run_id).inputs.dataset_inputs}
    read = inputs["train"]
    assert (read.dataset.digest, read.dataset.source_type) == (train.digest, "http")
    assert {t.key: t.value for t in read.tags} == {
        "mlflow.data.context": "training",
        "owner": "ada",
    }
    assert {t.value for t in inputs["test"].tags} == {"eval"}
    (found,) = client.search_runs([run.info.experiment_id])
    assert len(found.inputs.dataset_inputs) == 2
    assert mlflow.data.get_source(read).load


@with_models
def test_datasets_are_logged_together(client: Any) -> None:
    with mlflow.start_run() as run:
        two = [a_dataset("train"), a_dataset("test")]
        mlflow.log_inputs(two, contexts=["fit", "eval"], tags_list=[{"owner": "ada"}, None])
    read = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert {i.dataset.name: {t.key: t.value for t in i.tags} for i in read} == {
        "train": {"mlflow.data.context": "fit", "owner": "ada"},
        "test": {"mlflow.data.context": "eval"},
    }


@with_models
def test_a_logged_model_lives_through_the_client(client: Any, refusal: Any) -> None:
    with mlflow.start_run() as run:
        many = {f"p{n:03}": str(n) for n in range(250)}
        model = mlflow.initialize_logged_model("forest", params=many, tags={"team": "a"})
        assert mlflow.last_logged_model().model_id == model.model_id
        about = {"model_id": model.model_id, "dataset": a_dataset("test")}
        mlflow.log_metric("acc", 0.9, step=3, **about)
        mlflow.log_metrics({"f1": 0.8, "auc": math.nan}, step=3, **about)
        output = entities.LoggedModelOutput(model.model_id, step=3)
        mlflow.log_outputs([output])
        taken = entities.LoggedModelInput(model.model_id)
        client.log_inputs(run.info.run_id, models=[taken])
    assert model.status == entities.LoggedModelStatus.PENDING
    ready = mlflow.finalize_logged_model(model.model_id, "READY")
    assert ready.status == entities.LoggedModelStatus.READY
    mlflow.set_logged_model_tags(model.model_id, {"team": "b", "stage": 1})
    mlflow.delete_logged_model_tag(model.model_id, "stage")
    mlflow.log_model_params({"late": "x"}, model_id=model.model_id)
    read = mlflow.get_logged_model(model.model_id)
    assert (read.name, read.source_run_id) == ("forest", run.info.run_id)
    assert (read.tags["team"], "stage" in read.tags) == ("b", False)
    assert read.params == {**many, "late": "x"}
    metrics = {m.key: m for m in read.metrics}
    assert (metrics["acc"].value, metrics["acc"].step) == (0.9, 3)
    assert metrics["acc"].dataset_name == "test"
    assert metrics["acc"].run_id == run.info.run_id
    assert math.isnan(metrics["auc"].value)
    logged = mlflow.get_run(run.info.run_id)
    assert logged.outputs.to_dictionary() == {
        "model_outputs": [{"model_id": model.model_id, "step": 3}]
    }
    assert [i.model_id for i in logged.inputs.model_inputs] == [model.model_id]
    assert logged.data.metrics["acc"] == 0.9
    client.delete_logged_model(model.model_id)
    assert refusal(mlflow.get_logged_model, model.model_id) == "RESOURCE_DOES_NOT_EXIST"


@with_models
def test_logged_models_are_searched(client: Any, experiment: Any, refusal: Any) -> None:
    made = {}
    for n, name in enumerate("abc"):
        with mlflow.start_run():
            made[name] = mlflow.initialize_logged_model(
                name, params={"n": str(n)}, model_type="tree", tags={"of": name}
            )
            for dataset, value in (("train", n / 2), ("test", 1 - n / 2)):
                about = {"model_id": made[name].model_id, "dataset": a_dataset(dataset)}
                mlflow.log_metric("acc", value, **about)

    def names(text: str | None = None, **more: Any) -> str:
        found = mlflow.search_logged_models(filter_string=text, output_format="list", **more)
        return "".join(model.name for model in found)

    by_name = [{"field_name": "name"}]
    assert sorted(names()) == ["a", "b", "c"]
    for text, found in {
        "params.n = '1'": "b",
        "tags.of IN ('a', 'c')": "ac",
        "model_type = 'tree' AND metrics.acc >= 1": "ac",
        f"model_id = '{made['b'].model_id}'": "b",
        f"source_run_id = '{made['c'].source_run_id}'": "c",
        "status = 'READY'": "",
    }.items():
        assert names(text, order_by=by_name) == found, text
    train = [{"dataset_name": "train"}]
    assert names("metrics.acc >= 1", datasets=train) == "c"
    down = {"field_name": "metrics.acc", "dataset_name": "test", "ascending": False}
    assert names(order_by=[down]) == "abc"
    assert names(order_by=by_name, max_results=2) == "ab"
    ids = [experiment.experiment_id]
    first = client.search_logged_models(ids, max_results=2, order_by=by_name)
    rest = client.search_logged_models(ids, max_results=2, order_by=by_name, page_token=first.token)
    assert [m.name for m in [*first, *rest]] == ["a", "b", "c"]
    assert rest.token is None
    assert refusal(client.search_logged_models, ids, "metrics.acc > 'x'") == (
        "INVALID_PARAMETER_VALUE"
    )


@with_models
def test_an_active_model_is_told_of_every_metric() -> None:
    agent = mlflow.initialize_logged_model("agent")
    mlflow.set_active_model(model_id=agent.model_id)
    with mlflow.start_run():
        mlflow.log_metric("latency", 5)
    model = mlflow.get_logged_model(agent.model_id)
    assert [(m.key, m.value) for m in model.metrics] == [("latency", 5)]


@with_models
def test_wrong_logged_models_are_refused_with_mlflows_codes(
    client: Any, experiment: Any, refusal: Any
) -> None:
    run = client.create_run(experiment.experiment_id).info
    nobodys = "m-" + "0" * 32
    for code, call, args in [
        ("INVALID_PARAMETER_VALUE", client.create_logged_model, [run.experiment_id, "a/b"]),
        ("RESOURCE_DOES_NOT_EXIST", client.create_logged_model, ["0" * 32, "a"]),
        ("RESOURCE_DOES_NOT_EXIST", client.get_logged_model, [nobodys]),
        ("RESOURCE_DOES_NOT_EXIST", client.finalize_logged_model, [nobodys, "READY"]),
        ("RESOURCE_DOES_NOT_EXIST", client.delete_logged_model, [nobodys]),
        ("RESOURCE_DOES_NOT_EXIST", client.delete_logged_model_tag, [nobodys, "x"]),
    ]:
        assert refusal(call, *args) == code, (call, args)
    outputs = [entities.LoggedModelOutput(nobodys, step=0)]
    assert refusal(client.log_outputs, run.run_id, outputs) == "RESOURCE_DOES_NOT_EXIST"
