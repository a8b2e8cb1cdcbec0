"""MLflow's calls, spoken by hand: what a client of any language sees."""

from typing import Any
from uuid import UUID

from sqlalchemy import update

from maestro_ml.core.clock import EPOCH
from maestro_ml.core.ids import new_id
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.tracking.models import Experiment
from support import caller
from support.wire import Wire


async def test_a_run_goes_through_its_life(wire: Wire) -> None:
    experiment = await wire.experiment()
    made = await wire.ok(
        "POST",
        "runs/create",
        {"experiment_id": experiment, "user_id": "ada", "start_time": 1700000000123, "tags": []},
    )
    info = made["run"]["info"]
    assert info["start_time"] == 1700000000123
    assert (info["status"], info["lifecycle_stage"]) == ("RUNNING", "active")
    assert info["user_id"] == "ada"
    run = info["run_id"]
    assert info["artifact_uri"] == f"mlflow-artifacts:/{experiment}/{run}/artifacts"
    changed = await wire.ok(
        "POST", "runs/update", {"run_id": run, "status": "FINISHED", "end_time": "1700000001234"}
    )
    assert changed["run_info"]["status"] == "FINISHED"
    assert changed["run_info"]["end_time"] == 1700000001234
    await wire.ok("POST", "runs/delete", {"run_id": run})
    assert "active" in await wire.invalid("runs/set-tag", {"run_id": run, "key": "a"})
    await wire.ok("POST", "runs/restore", {"run_id": run})
    await wire.ok("POST", "runs/set-tag", {"run_uuid": run, "key": "a", "value": "b"})
    await wire.ok("POST", "runs/delete-tag", {"run_id": run, "key": "a"})
    await wire.missing("POST", "runs/delete-tag", {"run_id": run, "key": "a"})


async def test_an_experiment_goes_through_its_life(wire: Wire) -> None:
    id = await wire.experiment()
    for path, message in {
        "experiments/update": {"experiment_id": id, "new_name": "renamed"},
        "experiments/set-experiment-tag": {"experiment_id": id, "key": "team", "value": "a"},
    }.items():
        assert await wire.ok("POST", path, message) == {}
    found = await wire.ok("GET", "experiments/get-by-name", {"experiment_name": "renamed"})
    assert found["experiment"]["tags"] == [{"key": "team", "value": "a"}]
    assert found["experiment"]["artifact_location"] == f"mlflow-artifacts:/{id}"
    assert found["experiment"]["workspace"] == "lab"
    tag = {"experiment_id": id, "key": "team"}
    await wire.ok("POST", "experiments/delete-experiment-tag", tag)
    await wire.missing("POST", "experiments/delete-experiment-tag", tag)
    await wire.ok("POST", "experiments/delete", {"experiment_id": id})
    got = await wire.ok("GET", "experiments/get", {"experiment_id": id})
    assert got["experiment"]["lifecycle_stage"] == "deleted"
    await wire.invalid("runs/create", {"experiment_id": id})
    await wire.invalid("experiments/update", {"experiment_id": id, "new_name": "x"})
    await wire.invalid("experiments/set-experiment-tag", tag)
    await wire.missing("POST", "experiments/delete", {"experiment_id": id})
    await wire.refused(
        400, "RESOURCE_ALREADY_EXISTS", "POST", "experiments/create", {"name": "renamed"}
    )
    await wire.ok("POST", "experiments/restore", {"experiment_id": id})
    await wire.missing("POST", "experiments/restore", {"experiment_id": id})


async def test_an_experiment_says_when_it_was_changed_last(wire: Wire, sessions: Sessions) -> None:
    """By its name and its life. Tags and runs are not it, as on MLflow's own server."""
    id = await wire.experiment()

    async def times() -> tuple[int, int]:
        found = (await wire.ok("GET", "experiments/get", {"experiment_id": id}))["experiment"]
        return found["creation_time"], found["last_update_time"]

    made, changed = await times()
    assert made == changed
    for path, more, counts in [
        ("set-experiment-tag", {"key": "a", "value": "b"}, False),
        ("delete-experiment-tag", {"key": "a"}, False),
        ("update", {"new_name": "churn"}, False),
        ("update", {"new_name": "churn 2"}, True),
        ("delete", {}, True),
        ("restore", {}, True),
    ]:
        async with open_work(sessions, caller()) as work:  # as if it had been long ago
            long_ago = update(Experiment).where(Experiment.id == UUID(id)).values(updated_at=EPOCH)
            await work.session.execute(long_ago)
        await wire.ok("POST", f"experiments/{path}", {"experiment_id": id, **more})
        assert ((await times())[1] >= made) is counts, path


async def test_experiments_are_searched_by_query_and_by_body(wire: Wire) -> None:
    ids = {name: await wire.experiment(name) for name in ("a", "b", "c")}
    for name, id in ids.items():
        tag = {"experiment_id": id, "key": "team", "value": f"team {name}"}
        await wire.ok("POST", "experiments/set-experiment-tag", tag)
    await wire.ok("POST", "experiments/delete", {"experiment_id": await wire.experiment("d")})
    asked = {"max_results": "2", "order_by": ["name DESC"], "view_type": 1}
    for method in ("GET", "POST"):
        first = await wire.ok(method, "experiments/search", asked)
        assert [e["name"] for e in first["experiments"]] == ["c", "b"]
        rest = await wire.ok(
            method, "experiments/search", {**asked, "page_token": first["next_page_token"]}
        )
        assert [e["name"] for e in rest["experiments"]] == ["a"]
        assert "next_page_token" not in rest
        deleted = await wire.ok(method, "experiments/search", {"view_type": "DELETED_ONLY"})
        assert [e["name"] for e in deleted["experiments"]] == ["d"]
        for text, names in {
            "name IN ('a', 'd')": "a",
            "name != 'a' AND tags.team ILIKE 'TEAM _'": "cb",
            "attribute.name LIKE 'A%'": "",
            "`name` ILIKE 'A%'": "a",
            "tags.`team` IS NULL": "",
            "tag.team IS NOT NULL and creation_time > 0": "cba",
            "last_update_time < 5": "",
            f"experiment_id = '{ids['b']}'": "b",
        }.items():
            some = await wire.ok(method, "experiments/search", {"filter": text})
            assert "".join(e["name"] for e in some["experiments"]) == names, text


async def test_runs_are_searched_in_pages(wire: Wire) -> None:
    experiment = await wire.experiment()
    made = [await wire.run(experiment, start_time=n) for n in range(5)]
    await wire.ok("POST", "runs/delete", {"run_id": made[0]})
    seen: list[str] = []
    message: dict[str, Any] = {"experiment_ids": [experiment, "x", new_id().hex], "max_results": 2}
    while True:
        page = await wire.ok("POST", "runs/search", message)
        seen += [run["info"]["run_id"] for run in page["runs"]]
        if "next_page_token" not in page:
            break
        message["page_token"] = page["next_page_token"]
    assert seen == made[:0:-1]
    every = {"experiment_ids": [experiment], "run_view_type": "ALL"}
    assert len((await wire.ok("POST", "runs/search", every))["runs"]) == 5
    assert await wire.ok("POST", "runs/search", {"experiment_ids": []}) == {"runs": []}


async def test_history_comes_in_pages(wire: Wire) -> None:
    run = await wire.run()
    points = [{"key": "m", "value": n, "timestamp": n, "step": n} for n in range(5)]
    await wire.ok("POST", "runs/log-batch", {"run_id": run, "metrics": points})
    asked = {"run_id": run, "run_uuid": run, "metric_key": "m", "max_results": 3}
    first = await wire.ok("GET", "metrics/get-history", asked)
    rest = await wire.ok(
        "GET", "metrics/get-history", {**asked, "page_token": first["next_page_token"]}
    )
    assert [p["value"] for p in first["metrics"] + rest["metrics"]] == [0, 1, 2, 3, 4]
    assert "next_page_token" not in rest
    asked = {"run_id": run, "metric_key": "nothing"}
    assert await wire.ok("GET", "metrics/get-history", asked) == {"metrics": []}
    await wire.invalid("metrics/get-history", {"run_id": run}, "GET")
    await wire.invalid("metrics/get-history", {**asked, "max_results": 0}, "GET")


async def test_experiment_0_is_the_default_of_the_project(wire: Wire) -> None:
    assert await wire.ok("POST", "runs/search", {"experiment_ids": ["0"]}) == {"runs": []}
    found = await wire.ok("GET", "experiments/get", {"experiment_id": "0"}, as_="viewer")
    assert found["experiment"]["name"] == "Default"
    run = await wire.ok("POST", "runs/create", {"experiment_id": "0"})
    assert run["run"]["info"]["experiment_id"] == found["experiment"]["experiment_id"]
    assert len((await wire.ok("POST", "runs/search", {"experiment_ids": ["0"]}))["runs"]) == 1
    await wire.invalid("experiments/delete", {"experiment_id": "0"})


async def test_calls_that_are_not_there_say_so(wire: Wire) -> None:
    for method, path in [
        ("POST", "no-such/create"),
        ("GET", "runs/create"),
        ("POST", "/ajax-api/2.0/mlflow/no-such"),
        ("POST", "/api/2.0/mlflow/experiments/traces"),
    ]:
        await wire.refused(404, "ENDPOINT_NOT_FOUND", method, path, {})


async def test_calls_that_are_left_out_on_purpose_say_why(wire: Wire) -> None:
    for method, path in [
        ("POST", "/api/3.0/mlflow/traces"),
        ("PATCH", "/api/3.0/mlflow/traces/t1/assessments/a1"),
        ("GET", "/ajax-api/2.0/mlflow/traces"),
        ("POST", "/api/3.0/mlflow/datasets/create"),
        ("GET", "/ajax-api/3.0/mlflow/gateway/endpoints/list"),
    ]:
        said = await wire.refused(400, "FEATURE_DISABLED", method, path, {})
        assert "on purpose: " in said
        await wire.refused(401, "UNAUTHENTICATED", method, path, {}, as_="nobody")


async def test_the_same_calls_stand_under_both_names(wire: Wire) -> None:
    id = await wire.experiment()
    path = "/ajax-api/2.0/mlflow/experiments/get"
    assert (await wire.ok("GET", path, {"experiment_id": id}))["experiment"]["name"] == "churn"


async def test_what_is_no_json_is_told_where(wire: Wire) -> None:
    for path in ("runs/search", "experiments/create"):
        said = await wire.invalid(path, '{"a": }')
        assert said == "The message cannot be read: JSON decode error at character 6"
