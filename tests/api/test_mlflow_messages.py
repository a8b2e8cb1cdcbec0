"""MLflow's messages: which numbers, texts and filters are read, and how the rest is refused."""

import json
import math
from typing import Any

import pytest

from support.wire import Wire

SURROGATE = '"\\ud800"'


async def test_numbers_beyond_json_come_and_go(wire: Wire) -> None:
    run = await wire.run()
    for n, value in enumerate(['"NaN"', "NaN", '"Infinity"', "-Infinity", '"-Infinity"', '"1.5"']):
        body = f'{{"run_id": "{run}", "key": "m{n}", "value": {value}, "timestamp": "5"}}'
        await wire.ok("POST", "runs/log-metric", body)
    body = f'{{"run_id": "{run}", "metrics": [{{"key": "b", "value": NaN, "timestamp": 7}}]}}'
    await wire.ok("POST", "runs/log-batch", body)
    answer = await wire("GET", "runs/get", {"run_id": run})
    strict = json.loads(answer.text, parse_constant=pytest.fail)
    values = {m["key"]: m["value"] for m in strict["run"]["data"]["metrics"]}
    assert values == {
        "b": "NaN",
        "m0": "NaN",
        "m1": "NaN",
        "m2": "Infinity",
        "m3": "-Infinity",
        "m4": "-Infinity",
        "m5": 1.5,
    }
    history = await wire.ok("GET", "metrics/get-history", {"run_id": run, "metric_key": "m1"})
    assert history["metrics"] == [
        {"run_id": run, "key": "m1", "value": "NaN", "timestamp": 5, "step": 0}
    ]


async def test_64_bit_integers_come_as_numbers_or_texts_and_leave_as_numbers(wire: Wire) -> None:
    run = await wire.run()
    for n, step in enumerate([2**63 - 1, str(-(2**63)), "7", 8.0]):
        metric = {"key": f"m{n}", "value": 1, "timestamp": "1700000000123", "step": step}
        await wire.ok("POST", "runs/log-metric", {"run_id": run, **metric})
    metrics = (await wire.data(run))["metrics"]
    assert [m["step"] for m in metrics] == [2**63 - 1, -(2**63), 7, 8]
    assert {m["timestamp"] for m in metrics} == {1700000000123}


WRONG_METRICS: list[tuple[str, object]] = [
    ("key", ""),
    ("key", None),
    ("key", 5),
    ("key", "../x"),
    ("key", "k" * 251),
    ("key", "a\x00"),
    ("value", None),
    ("value", True),
    ("value", "many"),
    ("value", [1]),
    ("timestamp", None),
    ("timestamp", -1),
    ("timestamp", 253402300800000),
    ("timestamp", "1e30"),
    ("timestamp", 1.5),
    ("timestamp", "9" * 5000),
    ("timestamp", True),
    ("timestamp", math.inf),
    ("step", 2**63),
    ("step", -(2**63) - 1),
    ("step", 1.5),
    ("step", False),
    ("step", "one"),
]


async def test_a_wrong_metric_is_refused_by_name_and_nothing_is_kept(wire: Wire) -> None:
    run = await wire.run()
    good = {"key": "good", "value": 1, "timestamp": 5}
    for field, value in WRONG_METRICS:
        metric = {"key": "m", "value": 1, "timestamp": 5, "step": 0, field: value}
        assert f"'{field}'" in await wire.invalid("runs/log-metric", {"run_id": run, **metric})
        batch = {"run_id": run, "metrics": [good, metric], "params": [{"key": "p", "value": "1"}]}
        assert f"'metrics.1.{field}'" in await wire.invalid("runs/log-batch", batch)
    data = await wire.data(run)
    assert (data["metrics"], data["params"]) == ([], [])


MANY = [{"key": f"k{n}", "value": "v"} for n in range(1001)]


async def test_limits_are_mlflows(wire: Wire) -> None:
    run = await wire.run()
    experiment = await wire.experiment("limits")
    point = {"key": "m", "value": 1, "timestamp": 5}
    limits: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("runs/log-parameter", {"key": "a", "value": "v" * 6000}, {"value": "v" * 6001}),
        ("runs/set-tag", {"key": "a" * 250, "value": "v" * 8000}, {"value": "v" * 8001}),
        ("runs/log-batch", {"metrics": [point] * 1000}, {"metrics": [point] * 1001}),
        (
            "runs/log-batch",
            {"params": [{"key": f"p{n}", "value": "1"} for n in range(100)]},
            {"params": [{"key": f"q{n}", "value": "1"} for n in range(101)]},
        ),
        (
            "runs/log-batch",
            {"tags": [{"key": f"t{n}"} for n in range(100)]},
            {"tags": [{"key": f"t{n}"} for n in range(101)]},
        ),
        ("runs/log-batch", {"metrics": [point] * 1000}, {"tags": [{"key": "a"}]}),
        ("runs/log-batch", {}, {"params": [{"key": "x"}, {"key": "x"}]}),
        (
            "experiments/set-experiment-tag",
            {"key": "a", "value": "v" * 20000},
            {"value": "v" * 20001},
        ),
        ("experiments/create", {"name": "n" * 500}, {"name": "n" * 501}),
        ("experiments/create", {"name": " "}, {"name": ""}),
        ("experiments/create", {"name": "tags", "tags": MANY[:-1]}, {"name": "t", "tags": MANY}),
        ("runs/create", {"tags": MANY[:-1]}, {"tags": MANY}),
        ("runs/search", {"max_results": 50000}, {"max_results": 50001}),
        ("runs/search", {"max_results": 1}, {"max_results": 0}),
    ]
    for path, most, too_much in limits:
        owner = {"run_id": run, "experiment_id": experiment}
        await wire.ok("POST", path, {**owner, **most})
        await wire.invalid(path, {**owner, **most, **too_much})
    assert len((await wire.data(run))["params"]) == 101


async def test_a_whole_batch_of_the_longest_texts_is_taken_with_each_letter_escaped(
    wire: Wire,
) -> None:
    run, letter = await wire.run(), "\N{ROCKET}"
    message = {
        "run_id": run,
        "params": [{"key": f"p{n}", "value": letter * 6000} for n in range(100)],
        "tags": [{"key": f"t{n}", "value": letter * 8000} for n in range(100)],
    }
    await wire.ok("POST", "runs/log-batch", json.dumps(message).encode())
    kept = await wire.data(run)
    assert {one["value"] for one in kept["params"]} == {letter * 6000}


@pytest.mark.parametrize("part", ["{}", "[]", "0", '""', '"\\\\"', '"\\""'])
async def test_a_body_is_larger_than_usual_by_long_texts_alone(wire: Wire, part: str) -> None:
    body = f'{{"run_id": "x", "metrics": [{",".join([part] * 600_000)}]}}'
    refused = await wire("POST", "runs/log-batch", body)
    assert (refused.status_code, refused.json()["error_code"]) == (413, "BAD_REQUEST")
    assert "long texts" in refused.json()["message"]


async def test_a_null_is_as_good_as_nothing(wire: Wire) -> None:
    nothing: dict[str, Any] = {"tags": None, "run_name": None, "start_time": None, "user_id": None}
    run = await wire.run(**nothing)
    messages: dict[str, dict[str, Any]] = {
        "experiments/create": {"name": "nulls", "tags": None},
        "runs/log-batch": {"metrics": None, "params": [{"key": "p", "value": None}], "tags": None},
        "runs/log-metric": {"key": "m", "value": 1, "timestamp": 5, "step": None},
        "runs/set-tag": {"key": "t", "value": None},
        "runs/search": {"filter": None, "order_by": None, "page_token": None},
        "runs/log-inputs": {"datasets": None, "models": None},
    }
    for path, message in messages.items():
        await wire.ok("POST", path, {"run_id": run, **message})
    data = await wire.data(run)
    assert data["params"] == [{"key": "p", "value": ""}]
    missing = {"run_id": run, "key": "m", "value": None, "timestamp": 5}
    assert "Missing value" in await wire.invalid("runs/log-metric", missing)


async def test_who_sends_a_form_is_told_to_send_json(wire: Wire) -> None:
    sent = {"Content-Type": "application/x-www-form-urlencoded"}
    for path in ("runs/search", "runs/log-batch"):
        refused = await wire("POST", path, b'{"run_id": "x"}', headers=sent)
        assert "Content-Type: application/json" in refused.json()["message"]


async def test_a_run_keeps_its_name_when_it_is_told_an_empty_one(wire: Wire) -> None:
    named = {"key": "mlflow.runName", "value": ""}
    run = await wire.run(run_name="first", tags=[named])
    await wire.ok("POST", "runs/set-tag", {"run_id": run, **named})
    read = (await wire.ok("GET", "runs/get", {"run_id": run}))["run"]
    tags = {tag["key"]: tag["value"] for tag in read["data"]["tags"]}
    assert (read["info"]["run_name"], tags["mlflow.runName"]) == ("first", "first")


async def test_a_param_keeps_its_first_value(wire: Wire) -> None:
    run = await wire.run()
    param = {"run_id": run, "key": "lr", "value": "0.1"}
    await wire.ok("POST", "runs/log-parameter", param)
    await wire.ok("POST", "runs/log-parameter", param)
    said = await wire.invalid("runs/log-parameter", {**param, "value": "0.2"})
    assert "Changing param values is not allowed" in said


MALFORMED = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"x"',
    b"\xff\xfe",
    b'{"name": "\\u0000"}',
    f'{{"name": {SURROGATE}}}'.encode(),
    b'{"name": ["x"]}',
    b'{"name": "x", "tags": "y"}',
    b'{"name": "x", "tags": [{"value": "y"}]}',
    b'{"name": "x", "artifact_location": "s3://bucket"}',
    b'{"name": 1e999}',
]


async def test_a_malformed_message_is_refused_in_mlflows_shape(wire: Wire) -> None:
    for body in MALFORMED:
        await wire.invalid("experiments/create", body)
    assert await wire.ok("POST", "experiments/search", {}) == {"experiments": []}


async def test_fields_that_nobody_knows_are_ignored(wire: Wire) -> None:
    run = await wire.run(surprise=1)
    point = {"key": "m", "value": 1, "timestamp": 5, "old": "x", "new": {}}
    await wire.ok("POST", "runs/log-batch", {"run_id": run, "metrics": [point], "later": [1]})
    await wire.ok("GET", "runs/get", {"run_id": run, "verbose": "yes"})


async def test_a_filter_that_cannot_be_read_names_the_place(wire: Wire) -> None:
    experiment = await wire.experiment()
    for wrong in ("metrics.a = 1 OR 1", "tenant_id = 'x'"):
        message = {"experiment_ids": [experiment], "filter": wrong}
        assert "at character" in await wire.invalid("runs/search", message)
    for more in ({"order_by": ["metrics.a UP"]}, {"page_token": "x"}, {"run_view_type": "SOME"}):
        await wire.invalid("runs/search", {"experiment_ids": [experiment], **more})
    await wire.invalid("experiments/search", {"filter": "x"}, "GET")


async def test_a_message_without_an_experiment_says_so(wire: Wire) -> None:
    for path in ("experiments/update", "experiments/delete", "experiments/restore"):
        said = await wire.invalid(path, {"new_name": "x"})
        assert said == "Missing value for required parameter 'experiment_id'"
        assert "experiment_id" in await wire.invalid(path, {"experiment_id": "", "new_name": "x"})
    for path in ("experiments/get", "experiments/get-by-name"):
        for query in ({}, {"experiment_id": "", "experiment_name": ""}):
            assert "experiment_" in await wire.invalid(path, query, "GET")


async def test_a_message_without_a_run_says_so(wire: Wire) -> None:
    for path in ("runs/log-batch", "runs/delete", "runs/update"):
        assert "run_id" in await wire.invalid(path, {})
    assert "run_id" in await wire.invalid("runs/get", {}, "GET")
