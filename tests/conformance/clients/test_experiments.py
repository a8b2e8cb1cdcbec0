"""Experiments, as code that uses MLflow makes, finds, changes and deletes them."""

import importlib
from typing import Any

import pytest

mlflow: Any = importlib.import_module("mlflow")
entities: Any = importlib.import_module("mlflow.entities")


def test_set_experiment_makes_it_once(client: Any, name: str) -> None:
    made = mlflow.set_experiment(name)
    assert mlflow.set_experiment(name).experiment_id == made.experiment_id
    assert client.get_experiment(made.experiment_id).name == name
    assert client.get_experiment_by_name(name).lifecycle_stage == "active"
    assert client.get_experiment_by_name(f"no {name}") is None
    assert made.artifact_location.startswith("mlflow-artifacts:/")


def test_names_are_kept_as_sent(client: Any, name: str) -> None:
    odd = f" {name} é/漢 "
    assert client.get_experiment(client.create_experiment(odd)).name == odd


def test_experiments_are_searched(client: Any, name: str) -> None:
    tags = {"a": "red", "b": "Red", "c": "blue"}
    for letter, colour in tags.items():
        client.create_experiment(f"{name} {letter}", tags={"of": name, "colour": colour})

    def found(text: str = "", **options: Any) -> str:
        where = f"tags.of = '{name}'{' AND ' if text else ''}{text}"
        return "".join(
            e.name[-1] for e in client.search_experiments(filter_string=where, **options)
        )

    assert found() == "cba"
    assert found(order_by=["name ASC"]) == "abc"
    assert found(order_by=["creation_time ASC", "name"]) == "abc"
    assert found("tags.colour = 'red'") == "a"
    assert found("tags.`colour` != 'red'") == "cb"
    assert found("tags.colour ILIKE 'RED'") == "ba"
    assert found("tag.colour LIKE '%e%' and name LIKE '%c'") == "c"
    assert found(f"name = '{name} b'") == "b"
    assert found("attribute.name ILIKE '%B'") == "b"
    assert found("creation_time > 0 AND last_update_time >= 0") == "cba"
    assert found("last_update_time < 1") == ""
    client.delete_experiment(client.get_experiment_by_name(f"{name} b").experiment_id)
    assert found() == "ca"
    assert found(view_type=entities.ViewType.DELETED_ONLY) == "b"
    assert found(view_type=entities.ViewType.ALL) == "cba"
    where = {"filter_string": f"tags.of = '{name}'", "order_by": ["name"], "max_results": 1}
    first = client.search_experiments(**where)
    rest = client.search_experiments(**where, page_token=first.token)
    assert [e.name[-1] for e in [*first, *rest]] == ["a", "c"]
    assert not rest.token


@pytest.mark.since("3.1")
def test_an_experiment_loses_a_tag(client: Any, experiment: Any, refusal: Any) -> None:
    id = experiment.experiment_id
    client.set_experiment_tag(id, "gone", "x")
    client.delete_experiment_tag(id, "gone")
    assert "gone" not in client.get_experiment(id).tags
    assert refusal(client.delete_experiment_tag, id, "gone") == "RESOURCE_DOES_NOT_EXIST"


def test_an_experiment_is_changed_deleted_and_restored(
    client: Any, name: str, refusal: Any
) -> None:
    id = client.create_experiment(name, tags={"team": "a"})
    run = client.create_run(id).info.run_id
    client.rename_experiment(id, f"{name} 2")
    client.set_experiment_tag(id, "note", "n" * 9000)
    read = client.get_experiment(id)
    assert (read.name, read.tags) == (f"{name} 2", {"team": "a", "note": "n" * 9000})
    assert read.last_update_time >= read.creation_time > 0
    client.delete_experiment(id)
    assert client.get_experiment(id).lifecycle_stage == "deleted"
    assert client.get_run(run).info.lifecycle_stage == "deleted"
    for code, call, args in [
        ("INVALID_PARAMETER_VALUE", client.create_run, [id]),
        ("INVALID_PARAMETER_VALUE", client.rename_experiment, [id, "x"]),
        ("INVALID_PARAMETER_VALUE", client.set_experiment_tag, [id, "a", "b"]),
        ("RESOURCE_DOES_NOT_EXIST", client.delete_experiment, [id]),
        ("RESOURCE_ALREADY_EXISTS", client.create_experiment, [f"{name} 2"]),
    ]:
        assert refusal(call, *args) == code, call
    with pytest.raises(mlflow.MlflowException):
        mlflow.set_experiment(f"{name} 2")
    client.restore_experiment(id)
    assert client.get_run(run).info.lifecycle_stage == "active"
    assert refusal(client.restore_experiment, id) == "RESOURCE_DOES_NOT_EXIST"
    client.create_run(id)


def test_failures_carry_mlflow_codes(client: Any, experiment: Any, refusal: Any) -> None:
    id = experiment.experiment_id
    for code, call, args in [
        ("RESOURCE_ALREADY_EXISTS", client.create_experiment, [experiment.name]),
        ("INVALID_PARAMETER_VALUE", client.create_experiment, ["n" * 501]),
        ("INVALID_PARAMETER_VALUE", client.create_experiment, [f"{id} s3", "s3://bucket"]),
        ("RESOURCE_DOES_NOT_EXIST", client.get_experiment, ["0" * 32]),
        ("INVALID_PARAMETER_VALUE", client.set_experiment_tag, [id, "../x", "v"]),
        ("INVALID_PARAMETER_VALUE", client.set_experiment_tag, [id, "x", "v" * 20_001]),
    ]:
        assert refusal(call, *args) == code, (call, args)
    for wrong in ("name = x", "metrics.a = 1", "name = 'a' OR name = 'b'", "nothing = 'x'"):
        code = refusal(client.search_experiments, filter_string=wrong)
        assert code == "INVALID_PARAMETER_VALUE", wrong
