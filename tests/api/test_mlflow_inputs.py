"""MLflow's calls about what runs take in and give out, spoken by hand."""

import json
from typing import Any

import pytest

from maestro_ml.core.ids import new_id
from maestro_ml.tracking.service import links, model_history
from support.wire import Wire


def a_dataset(name: str = "iris", digest: str = "d1", **more: Any) -> dict[str, Any]:
    return {"name": name, "digest": digest, "source_type": "local", "source": "{}", **more}


def used(context: str | None = None, **dataset: Any) -> dict[str, Any]:
    tags = [{"key": "mlflow.data.context", "value": context}] if context else []
    return {"tags": tags, "dataset": a_dataset(**dataset)}


async def test_datasets_are_kept_once_and_read_with_their_run(wire: Wire) -> None:
    experiment = await wire.experiment()
    run, other = await wire.run(experiment), await wire.run(experiment)
    train = used("train", schema='{"a": 1}', profile='{"rows": 3}')
    first = {"run_id": run, "datasets": [train, used("other"), used("test", name="wine")]}
    for _ in range(2):
        assert await wire.ok("POST", "runs/log-inputs", first) == {}
    again = {"run_id": other, "datasets": [used("eval", source="another")]}
    await wire.ok("POST", "runs/log-inputs", again)
    read = (await wire.ok("GET", "runs/get", {"run_id": run}))["run"]
    inputs = {i["dataset"]["name"]: i for i in read["inputs"]["dataset_inputs"]}
    assert inputs == {"iris": train, "wine": used("test", name="wine")}
    assert read["outputs"] == {}
    found = await wire.ok("POST", "runs/search", {"experiment_ids": [experiment]})
    assert [r["inputs"] for r in found["runs"] if r["info"]["run_id"] == run] == [read["inputs"]]
    (shared,) = (await wire.ok("GET", "runs/get", {"run_id": other}))["run"]["inputs"][
        "dataset_inputs"
    ]
    assert shared["dataset"] == train["dataset"]
    assert shared["tags"] == [{"key": "mlflow.data.context", "value": "eval"}]


async def test_the_longest_profile_is_taken_and_only_where_profiles_belong(wire: Wire) -> None:
    run = await wire.run()
    longest = used(schema="s" * 1_048_575, profile="p" * 16_777_215)
    await wire.ok("POST", "runs/log-inputs", {"run_id": run, "datasets": [longest]})
    for path, size in {"runs/log-inputs": 20 * 2**20, "runs/outputs": 2**20}.items():
        refused = await wire("POST", path, b" " * (size + 1))
        assert (refused.status_code, refused.json()["error_code"]) == (413, "BAD_REQUEST")


async def test_very_long_profiles_are_left_out_of_an_answer(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = await wire.experiment()
    for _ in range(2):
        run = await wire.run(experiment)
        datasets = [used(profile="p" * 60, schema="s" * 40)]
        await wire.ok("POST", "runs/log-inputs", {"run_id": run, "datasets": datasets})
    monkeypatch.setattr(links, "MAX_DESCRIBED", 100)
    found = await wire.ok("POST", "runs/search", {"experiment_ids": [experiment]})
    for one in found["runs"]:
        (left,) = one["inputs"]["dataset_inputs"]
        assert left["dataset"] == a_dataset()
    (whole,) = (await wire.ok("GET", "runs/get", {"run_id": run}))["run"]["inputs"][
        "dataset_inputs"
    ]
    assert whole["dataset"] == datasets[0]["dataset"]


async def test_models_are_inputs_and_outputs_of_runs(wire: Wire) -> None:
    experiment = await wire.experiment()
    run = await wire.run(experiment)
    a, b = await wire.model(experiment), await wire.model(experiment)
    taken = {"run_id": run, "models": [{"model_id": a}, {"model_id": a}]}
    for _ in range(2):
        await wire.ok("POST", "runs/log-inputs", taken)
    for step in (1, "7"):
        made = {"run_id": run, "models": [{"model_id": b, "step": step}, {"model_id": a}]}
        await wire.ok("POST", "runs/outputs", made)
    read = (await wire.ok("GET", "runs/get", {"run_id": run}))["run"]
    assert read["inputs"] == {"dataset_inputs": [], "model_inputs": [{"model_id": a}]}
    outputs = read["outputs"]["model_outputs"]
    assert outputs == [{"model_id": a, "step": 0}, {"model_id": b, "step": 7}]
    nobodys = {"run_id": run, "datasets": [used()], "models": [{"model_id": "m-" + new_id().hex}]}
    await wire.missing("POST", "runs/log-inputs", nobodys)
    await wire.missing("POST", "runs/outputs", nobodys)
    again = (await wire.ok("GET", "runs/get", {"run_id": run}))["run"]
    assert again["inputs"] == read["inputs"]
    await wire.ok("POST", "runs/delete", {"run_id": run})
    for path in ("runs/log-inputs", "runs/outputs"):
        assert "active" in await wire.invalid(path, made)


async def test_datasets_of_experiments_are_listed_by_context(wire: Wire) -> None:
    experiment, other = await wire.experiment("a"), await wire.experiment("b")
    for n in range(2):
        run = await wire.run(experiment)
        datasets = [used("train"), used(None, name="wine", digest=f"d{n}")]
        await wire.ok("POST", "runs/log-inputs", {"run_id": run, "datasets": datasets})
    asked = {"experiment_ids": [experiment, other, "x"]}
    found = await wire.ok("POST", "experiments/search-datasets", asked)
    iris = {"experiment_id": experiment, "name": "iris", "digest": "d1", "context": "train"}
    wine = {"experiment_id": experiment, "name": "wine"}
    assert found["dataset_summaries"] == [
        iris,
        {**wine, "digest": "d0"},
        {**wine, "digest": "d1"},
    ]
    path = "/ajax-api/2.0/mlflow/experiments/search-datasets"
    nothing = await wire.ok("POST", path, {"experiment_ids": ["0"]})
    assert nothing == {"dataset_summaries": []}
    for wrong in ([], ["x"] * 21, "x", None):
        await wire.invalid("experiments/search-datasets", {"experiment_ids": wrong})


WRONG_DATASETS: list[tuple[str, object]] = [
    ("name", None),
    ("name", "n" * 501),
    ("name", "a\x00"),
    ("digest", None),
    ("digest", "d" * 37),
    ("source_type", None),
    ("source", None),
    ("source", "s" * 65_536),
    ("source", {"a": 1}),
    ("profile", 5),
]


async def test_a_wrong_dataset_is_refused_by_name_and_nothing_is_kept(wire: Wire) -> None:
    run = await wire.run()
    for field, value in WRONG_DATASETS:
        datasets = [used(name="good"), {"dataset": {**a_dataset(), field: value}}]
        said = await wire.invalid("runs/log-inputs", {"run_id": run, "datasets": datasets})
        assert field in said
    for tag in ({"key": "k" * 256, "value": ""}, {"key": "k", "value": "v" * 501}, {"key": "k"}):
        datasets = [{"dataset": a_dataset(), "tags": [tag]}]
        assert "tags" in await wire.invalid(
            "runs/log-inputs", {"run_id": run, "datasets": datasets}
        )
    broken: list[dict[str, Any]] = [{"datasets": [{}]}, {"datasets": 1}, {"models": ["m"]}]
    for message in broken:
        await wire.invalid("runs/log-inputs", {"run_id": run, **message})
    await wire.invalid("runs/outputs", {"run_id": run})
    read = await wire.ok("GET", "runs/get", {"run_id": run})
    assert read["run"]["inputs"] == {}


DESCRIBED = {"artifact_path": "model", "flavors": {}, "utc_time_created": "now", "run_id": "r"}


async def test_old_clients_tell_of_models_in_a_tag(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await wire.run()
    for path in ("a", "é\x00"):
        described = json.dumps({**DESCRIBED, "artifact_path": path})
        await wire.ok("POST", "runs/log-model", {"run_id": run, "model_json": described})
    tags = {tag["key"]: tag["value"] for tag in (await wire.data(run))["tags"]}
    history = json.loads(tags["mlflow.log-model.history"])
    assert [model["artifact_path"] for model in history] == ["a", "é\x00"]
    lacking = json.dumps({"run_id": run})
    for wrong in ("{", "[]", "1", "[" * 100_000, "9" * 5000, lacking, None, 5):
        said = await wire.invalid("runs/log-model", {"run_id": run, "model_json": wrong})
        assert "model_json" in said
    monkeypatch.setattr(model_history, "MAX_HISTORY", 300)
    long = json.dumps({**DESCRIBED, "flavors": "x" * 300})
    assert "300" in await wire.invalid("runs/log-model", {"run_id": run, "model_json": long})
    broken = {"run_id": run, "key": "mlflow.log-model.history", "value": "not JSON"}
    await wire.ok("POST", "runs/set-tag", broken)
    whole = json.dumps(DESCRIBED)
    await wire.ok("POST", "runs/log-model", {"run_id": run, "model_json": whole})
    tags = {tag["key"]: tag["value"] for tag in (await wire.data(run))["tags"]}
    assert json.loads(tags["mlflow.log-model.history"]) == [DESCRIBED]
