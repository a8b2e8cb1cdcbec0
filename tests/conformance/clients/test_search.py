"""Searching runs by what was logged to them."""

import importlib
from typing import Any

mlflow: Any = importlib.import_module("mlflow")


def names(runs: Any) -> str:
    return "".join(run.info.run_name for run in runs)


def test_runs_are_found_by_what_was_logged(client: Any, experiment: Any, refusal: Any) -> None:
    for n, name in enumerate("abc"):
        with mlflow.start_run(run_name=name) as run:
            mlflow.log_metric("acc", n / 2)
            mlflow.log_metric("val/loss", -n)
            mlflow.log_param("kind of model", f"tree {name}")
            mlflow.set_tag("team.name", "x" if n else "y")
    mlflow.MlflowClient().set_tag(run.info.run_id, "only", "c")
    ids = [experiment.experiment_id]
    for text, found in {
        "": "cba",
        "metrics.acc >= 0.5": "cb",
        "metric.`val/loss` <= -1 AND metrics.acc != 1": "b",
        "metrics.acc < 0.5 and tags.`team.name` = 'y'": "a",
        "params.`kind of model` LIKE 'tree%'": "cba",
        'params."kind of model" ILIKE "TREE B"': "b",
        "parameters.`kind of model` != 'tree a'": "cb",
        "tags.mlflow.runName = 'c'": "c",
        "tags.`only` LIKE '%'": "c",
        "attributes.run_name IN ('a', 'c')": "ca",
        "status = 'FINISHED' AND start_time > 0": "cba",
        "attributes.status != 'FINISHED'": "",
        f"run_id = '{run.info.run_id}'": "c",
        f"attributes.run_id NOT IN ('{run.info.run_id}')": "ba",
        "`Run name` = 'a'": "a",
    }.items():
        assert names(client.search_runs(ids, text)) == found, text
    ordered = client.search_runs(ids, order_by=["metrics.acc ASC"], max_results=2)
    assert names(ordered) == "ab"
    rest = client.search_runs(
        ids, order_by=["metrics.acc ASC"], max_results=2, page_token=ordered.token
    )
    assert names(rest) == "c"
    assert not rest.token
    for order, found in {"tags.only": "cba", "attributes.run_name DESC": "cba"}.items():
        assert names(client.search_runs(ids, order_by=[order])) == found, order
    fluent = mlflow.search_runs(filter_string="metrics.acc > 0.5", output_format="list")
    assert names(fluent) == "c"
    for wrong in ("metrics.acc > 'x'", "params.a = 1", "a", "metrics.a = 1 OR metrics.a = 2"):
        assert refusal(client.search_runs, ids, wrong) == "INVALID_PARAMETER_VALUE", wrong
