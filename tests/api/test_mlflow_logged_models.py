"""MLflow's calls about logged models, spoken by hand."""

from typing import Any

from support.tracking import MILLIS
from support.wire import Wire


async def a_measured_model(
    wire: Wire, experiment: str, name: str, *points: tuple[str, float, str, str], **more: Any
) -> str:
    """Measured once a second: metric, value, dataset's name and digest."""
    run = await wire.run(experiment)
    model = await wire.model(experiment, name=name, source_run_id=run, **more)
    metrics = [
        {
            "key": key,
            "value": value,
            "timestamp": MILLIS + 1000 * n,
            "model_id": model,
            **({"dataset_name": dataset, "dataset_digest": digest} if dataset else {}),
        }
        for n, (key, value, dataset, digest) in enumerate(points)
    ]
    await wire.ok("POST", "runs/log-batch", {"run_id": run, "metrics": metrics})
    return model


async def found_by(wire: Wire, experiment: str, text: str = "", **more: Any) -> str:
    message = {"experiment_ids": [experiment], "filter": text, **more}
    found = await wire.ok("POST", "logged-models/search", message)
    return "".join(model["info"]["name"] for model in found["models"])


async def test_a_logged_model_goes_through_its_life(wire: Wire) -> None:
    experiment = await wire.experiment()
    run = await wire.run(experiment)
    message = {
        "experiment_id": experiment,
        "name": "forest",
        "model_type": "classifier",
        "source_run_id": run,
        "params": [{"key": "depth", "value": "3"}],
        "tags": [{"key": "team", "value": "a"}],
    }
    made = (await wire.ok("POST", "logged-models", message))["model"]
    id = made["info"]["model_id"]
    assert id.startswith("m-")
    assert made["info"]["status"] == "LOGGED_MODEL_PENDING"
    assert made["info"]["artifact_uri"] == f"mlflow-artifacts:/{experiment}/models/{id}/artifacts"
    assert made["info"]["source_run_id"] == run
    assert await wire.ok("GET", f"logged-models/{id}") == {"model": made}
    ready = await wire.ok("PATCH", f"logged-models/{id}", {"model_id": id, "status": 2})
    assert ready["model"]["info"]["status"] == "LOGGED_MODEL_READY"
    tags = {"tags": [{"key": "team", "value": "b"}, {"key": "stage", "value": "x"}]}
    changed = await wire.ok("PATCH", f"logged-models/{id}/tags", tags)
    assert {t["key"]: t["value"] for t in changed["model"]["info"]["tags"]} == {
        "team": "b",
        "stage": "x",
    }
    await wire.ok("DELETE", f"logged-models/{id}/tags/stage")
    await wire.missing("DELETE", f"logged-models/{id}/tags/stage", None)
    params = {"params": [{"key": "trees", "value": "100"}, {"key": "depth", "value": "3"}]}
    assert await wire.ok("POST", f"logged-models/{id}/params", params) == {}
    other = {"params": [{"key": "new", "value": "1"}, {"key": "depth", "value": "4"}]}
    await wire.invalid(f"logged-models/{id}/params", other)
    read = (await wire.ok("GET", f"logged-models/{id}"))["model"]
    assert read["data"]["params"] == [
        {"key": "depth", "value": "3"},
        {"key": "trees", "value": "100"},
    ]
    assert read["info"]["tags"] == [{"key": "team", "value": "b"}]
    for _ in range(2):
        await wire.ok("DELETE", f"logged-models/{id}")
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"status": "LOGGED_MODEL_READY"}),
        ("PATCH", "/tags", tags),
        ("POST", "/params", params),
    ):
        await wire.missing(method, f"logged-models/{id}{path}", body)
    gone = await wire.ok("GET", f"logged-models/{id}", {"allow_deleted": "true"})
    assert gone["model"]["info"]["model_id"] == id
    assert await found_by(wire, experiment) == ""


async def test_points_about_a_model_are_the_runs_and_the_models(wire: Wire) -> None:
    experiment = await wire.experiment()
    run = await wire.run(experiment)
    model = await wire.model(experiment)
    about = {"model_id": model, "dataset_name": "iris", "dataset_digest": "d1"}
    points = [
        {"key": "acc", "value": 0.5, "timestamp": 1, "step": 1, **about},
        {"key": "acc", "value": 0.5, "timestamp": 1, "step": 1, **about, "dataset_name": "wine"},
        {"key": "loss", "value": "NaN", "timestamp": 2, "step": 1, "model_id": model},
        {"key": "own", "value": 1, "timestamp": 3},
    ]
    for _ in range(2):
        await wire.ok("POST", "runs/log-batch", {"run_id": run, "metrics": points})
    alone = {"run_id": run, "key": "last", "value": "Infinity", "timestamp": 4, "model_id": model}
    await wire.ok("POST", "runs/log-metric", alone)
    kept = (await wire.ok("GET", f"logged-models/{model}"))["model"]["data"]["metrics"]
    assert all((point["run_id"], point["model_id"]) == (run, model) for point in kept)
    seen = [(p["key"], p["value"], p["step"], p.get("dataset_name")) for p in kept]
    assert sorted(seen[:2]) == [("acc", 0.5, 1, "iris"), ("acc", 0.5, 1, "wine")]
    assert seen[2:] == [("loss", "NaN", 1, None), ("last", "Infinity", 0, None)]
    assert [m["key"] for m in (await wire.data(run))["metrics"]] == ["acc", "last", "loss", "own"]
    nobodys = [{**points[3], "key": "new"}, {**points[0], "model_id": "m-" + "0" * 32}]
    await wire.missing("POST", "runs/log-batch", {"run_id": run, "metrics": nobodys})
    assert "new" not in {m["key"] for m in (await wire.data(run))["metrics"]}
    empty = {**points[3], "key": "empty", "model_id": "", "dataset_name": ""}
    await wire.ok("POST", "runs/log-metric", {"run_id": run, **empty})


async def test_logged_models_are_found_by_what_is_known_of_them(wire: Wire) -> None:
    experiment = await wire.experiment()
    a = await a_measured_model(
        wire,
        experiment,
        "a",
        *(("acc", 0.9, "train", "1"), ("acc", 0.5, "test", "1"), ("loss", 2, "", "")),
        model_type="tree",
        params=[{"key": "depth", "value": "3"}],
    )
    b = await a_measured_model(
        wire,
        experiment,
        "b",
        *(("acc", 0.8, "train", "2"), ("acc", 0.7, "test", "1")),
        tags=[{"key": "team", "value": "x"}],
    )
    await a_measured_model(wire, experiment, "c", ("acc", float("nan"), "train", "1"))
    d = await wire.model(experiment, name="d")
    await wire.ok("PATCH", f"logged-models/{d}", {"status": "LOGGED_MODEL_UPLOAD_FAILED"})
    source = (await wire.ok("GET", f"logged-models/{b}"))["model"]["info"]["source_run_id"]
    for text, names in {
        "": "abcd",
        "name = 'a'": "a",
        "attributes.name LIKE '%'": "abcd",
        "name IN ('a', 'd')": "ad",
        f"model_id = '{a}'": "a",
        f"model_id != '{a}'": "bcd",
        f"model_id ILIKE '{a.upper()}'": "a",
        "model_type = 'tree'": "a",
        "model_type != 'tree'": "",
        "status = 'PENDING'": "abc",
        "status ILIKE 'failed'": "d",
        f"source_run_id = '{source}'": "b",
        f"experiment_id = '{experiment}'": "abcd",
        "creation_timestamp > 0 AND creation_time > 0": "abcd",
        "last_updated_timestamp < 5": "",
        "metrics.acc > 0.85": "a",
        "metrics.acc < 0.75": "ab",
        "metrics.acc != 0.5": "abc",
        "metrics.acc = 0.5 AND metrics.loss = 2": "a",
        "params.depth = '3'": "a",
        "params.depth IS NULL": "bcd",
        "tags.team LIKE 'x%'": "b",
    }.items():
        assert "".join(sorted(await found_by(wire, experiment, text))) == names, text
    train, test = {"dataset_name": "train"}, {"dataset_name": "test"}
    for datasets, text, names in [
        ([train], "metrics.acc > 0.75", "ab"),
        ([test], "metrics.acc > 0.75", ""),
        ([test, train], "metrics.acc < 0.75", "ab"),
        ([{**train, "dataset_digest": "2"}], "metrics.acc > 0.1", "b"),
        ([train], "", "abc"),
        ([test], "", "ab"),
        ([{"dataset_name": "none"}], "name = 'a'", ""),
    ]:
        found = await found_by(wire, experiment, text, datasets=datasets)
        assert "".join(sorted(found)) == names, (datasets, text)
    await wire.invalid("logged-models/search", {"experiment_ids": [experiment], "datasets": [{}]})


async def test_logged_models_come_in_order_and_in_pages(wire: Wire) -> None:
    experiment = await wire.experiment()
    points = {
        "a": [("m", 0.1, "x", "1"), ("m", 1.0, "x", "2"), ("n", 0.2, "y", "2")],
        "b": [("m", 0.2, "x", "1"), ("m", 0.1, "x", "2"), ("n", 0.1, "z", "3")],
        "c": [("m", float("nan"), "x", "1")],
        "d": [],
    }
    for name, measured in points.items():
        await a_measured_model(wire, experiment, name, *measured)
    down = {"ascending": False}
    for order, names in [
        ([{"field_name": "name"}], "abcd"),
        ([{"field_name": "name", **down}], "dcba"),
        ([{"field_name": "metrics.m"}, {"field_name": "name"}], "bacd"),
        ([{"field_name": "metrics.m", **down}, {"field_name": "name"}], "abcd"),
        ([{"field_name": "metrics.m", "dataset_name": ""}], "bacd"),
        ([{"field_name": "metrics.m", "dataset_name": "x", "dataset_digest": "1"}], "abcd"),
        ([{"field_name": "metrics.n", "dataset_name": "z"}, {"field_name": "name"}], "bacd"),
        ([{"field_name": "metrics.none"}, {"field_name": "name"}], "abcd"),
        ([{"field_name": "model_type"}, {"field_name": "name", **down}], "dcba"),
        ([{"field_name": "creation_timestamp"}, {"field_name": "name"}], "abcd"),
        ([{"field_name": "status"}, {"field_name": "source_run_id"}, {"field_name": "name"}], None),
    ]:
        whole = await found_by(wire, experiment, order_by=order)
        assert names in (None, whole), order
        seen = ""
        token: dict[str, str] = {}
        while True:
            message = {"experiment_ids": [experiment], "order_by": order, "max_results": 2, **token}
            page = await wire.ok("POST", "logged-models/search", message)
            seen += "".join(model["info"]["name"] for model in page["models"])
            if "next_page_token" not in page:
                break
            token = {"page_token": page["next_page_token"]}
        assert seen == whole, order
    assert await found_by(wire, "0") == ""
    for wrong in ("params.x", "artifact_location", "tenant_id", "", "metrics"):
        message = {"experiment_ids": [experiment], "order_by": [{"field_name": wrong}]}
        await wire.invalid("logged-models/search", message)


async def test_what_is_wrong_with_a_logged_model_is_said_by_name(wire: Wire) -> None:
    experiment = await wire.experiment()
    run = await wire.run(experiment)
    for name in ("a/b", "a.b", "a:b", "a%b", "a'b", 'a"b', "x" * 501, "a\x00b"):
        said = await wire.invalid("logged-models", {"experiment_id": experiment, "name": name})
        assert "name" in said
    for field, value in {
        "params": [{"key": "k" * 251, "value": "v"}],
        "tags": [{"key": "k", "value": "v" * 65_536}],
        "model_type": ["x"],
    }.items():
        said = await wire.invalid("logged-models", {"experiment_id": experiment, field: value})
        assert field in said
    assert (await wire.ok("POST", "logged-models", {"experiment_id": experiment, "name": ""}))[
        "model"
    ]["info"]["name"]
    await wire.missing("POST", "logged-models", {"experiment_id": "x"})
    nobodys = {"experiment_id": experiment, "source_run_id": "x"}
    await wire.missing("POST", "logged-models", nobodys)
    await wire.missing("POST", "logged-models", {**nobodys, "source_run_id": "0" * 32})
    model = await wire.model(experiment, source_run_id=run)
    for status in (0, 4, "READY?", None, True):
        await wire.invalid(f"logged-models/{model}", {"status": status}, "PATCH")
    for id in ("x", "m-", "m-x", model[2:], model.upper(), "m-" + "0" * 32, "%00", "é"):
        await wire.missing("GET", f"logged-models/{id}", None)
    for text in ("metrics.a = 'x'", "size = 1", "name > 'a'", "model_id = m-1", "tags.a = 'x"):
        message = {"experiment_ids": [experiment], "filter": text}
        assert "character" in await wire.invalid("logged-models/search", message)
    await wire.invalid("logged-models/search", {})


async def test_logged_models_outlive_their_run_and_refuse_a_deleted_experiment(wire: Wire) -> None:
    experiment = await wire.experiment()
    run = await wire.run(experiment)
    model = await wire.model(experiment, name="a", source_run_id=run)
    await wire.ok("POST", "runs/delete", {"run_id": run})
    assert await found_by(wire, experiment) == "a"
    point = {"run_id": run, "key": "m", "value": 1, "timestamp": 1, "model_id": model}
    assert "active" in await wire.invalid("runs/log-metric", point)
    await wire.ok("POST", "experiments/delete", {"experiment_id": experiment})
    said = await wire.invalid("logged-models", {"experiment_id": experiment})
    assert "must be in the 'active' state" in said
    await wire.ok("GET", f"logged-models/{model}")
