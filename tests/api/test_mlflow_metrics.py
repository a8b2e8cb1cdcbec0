"""Histories of metrics as MLflow's clients ask for them: whole, of many runs, and sampled."""

from typing import Any

from maestro_ml.core.ids import new_id
from support.wire import Wire

BULK, INTERVAL = "metrics/get-history-bulk", "metrics/get-history-bulk-interval"


async def a_told_run(wire: Wire, experiment: str, values: list[Any]) -> str:
    run = await wire.run(experiment)
    for start in range(0, len(values), 1000):
        points = [
            {"key": "m", "value": value, "timestamp": 1000 + n, "step": n}
            for n, value in enumerate(values[start : start + 1000], start)
        ]
        await wire.ok("POST", "runs/log-batch", {"run_id": run, "metrics": points})
    return run


async def test_a_long_history_comes_whole(wire: Wire) -> None:
    run = await a_told_run(wire, await wire.experiment(), [*range(5999), "NaN", "-Infinity"])
    found = await wire.ok("GET", "metrics/get-history", {"run_id": run, "metric_key": "m"})
    assert [p["step"] for p in found["metrics"]] == list(range(6001))
    assert found["metrics"][-2:] == [
        {"run_id": run, "key": "m", "value": "NaN", "timestamp": 6999, "step": 5999},
        {"run_id": run, "key": "m", "value": "-Infinity", "timestamp": 7000, "step": 6000},
    ]
    assert "next_page_token" not in found


async def test_histories_of_many_runs_come_together(wire: Wire) -> None:
    experiment = await wire.experiment()
    runs = [await a_told_run(wire, experiment, [n, n + 0.5]) for n in range(3)]
    asked = {"run_id": runs[::-1], "metric_key": "m"}
    found = (await wire.ok("GET", BULK, asked))["metrics"]
    assert [(p["run_id"], p["value"]) for p in found] == [
        (run, value) for n, run in enumerate(runs) for value in (n, n + 0.5)
    ]
    first = (await wire.ok("GET", BULK, asked | {"max_results": 3}))["metrics"]
    assert first == found[:3]
    nothing = {"run_id": runs, "metric_key": "none"}
    assert await wire.ok("GET", BULK, nothing) == {"metrics": []}


async def test_a_sample_is_even_and_keeps_both_ends(wire: Wire) -> None:
    experiment = await wire.experiment()
    run = await a_told_run(wire, experiment, list(range(101)))
    short = await a_told_run(wire, experiment, [1, 2])
    asked = {"run_ids": [run, short], "metric_key": "m", "max_results": 11}
    found = (await wire.ok("GET", INTERVAL, asked))["metrics"]
    assert [p["step"] for p in found] == [*range(0, 101, 10), 0, 1]
    one = (await wire.ok("GET", INTERVAL, asked | {"max_results": 1}))["metrics"]
    assert [(p["run_id"], p["step"]) for p in one] == [(run, 100), (short, 1)]
    some = asked | {"start_step": 20, "end_step": 25}
    found = (await wire.ok("GET", INTERVAL, some))["metrics"]
    assert [p["step"] for p in found] == [20, 21, 22, 23, 24, 25]


async def test_what_cannot_be_answered_is_refused_by_name(wire: Wire) -> None:
    run = await wire.run()
    good = {"run_ids": run, "metric_key": "m"}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"start_step": 1}, "end_step"),
        ({"start_step": 2, "end_step": 1}, "end_step"),
        ({"start_step": "x", "end_step": 1}, "start_step"),
        ({"max_results": 0}, "max_results"),
        ({"max_results": 2501}, "max_results"),
        ({"run_ids": [run] * 101}, "run_ids"),
    ]
    for more, named in wrong:
        assert named in await wire.invalid(INTERVAL, good | more, "GET"), more
    assert "run_ids" in await wire.invalid(INTERVAL, {"metric_key": "m"}, "GET")
    assert "metric_key" in await wire.invalid(BULK, {"run_id": run}, "GET")
    assert "run_id" in await wire.invalid(BULK, {"metric_key": "m"}, "GET")


async def test_one_run_of_another_tenant_is_not_found_nor_are_the_others_shown(wire: Wire) -> None:
    run = await a_told_run(wire, await wire.experiment(), [1])
    for id in (run, new_id().hex, "x"):
        for path, name in ((BULK, "run_id"), (INTERVAL, "run_ids")):
            await wire.missing("GET", path, {name: id, "metric_key": "m"}, as_="stranger")
    for path, name in ((BULK, "run_id"), (INTERVAL, "run_ids")):
        await wire.missing("GET", path, {name: [run, new_id().hex], "metric_key": "m"})
        await wire.ok("GET", path, {name: run, "metric_key": "m"}, as_="viewer")
