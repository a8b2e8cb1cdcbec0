"""MLflow's wire, spoken by hand: what a client of any language sees."""

import json
import math
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from maestro_ml.core.clock import utc_now
from maestro_ml.core.ids import new_id
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.projects.models import Project, Visibility
from support import caller
from support.wire import mlflow_app

BASE = "/api/2.0/mlflow"
SURROGATE = '"\\ud800"'


class Wire:
    """One call, as somebody."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    async def __call__(
        self,
        method: str,
        path: str,
        message: object = None,
        *,
        as_: str = "admin",
        workspace: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        sent = {"Authorization": f"Bearer {as_}", "Content-Type": "application/json"}
        if workspace is not None:
            sent["X-MLFLOW-WORKSPACE"] = workspace
        sent |= headers or {}
        path = path if path.startswith("/") else f"{BASE}/{path}"
        if method == "GET":
            return await self.http.get(path, params=message, headers=sent)  # type: ignore[arg-type]
        body = message if isinstance(message, str | bytes) else json.dumps(message)
        return await self.http.post(path, content=body, headers=sent)

    async def ok(self, method: str, path: str, message: object = None, **more: Any) -> Any:
        answer = await self(method, path, message, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refused(
        self, status: int, code: str, method: str, path: str, message: object = None, **more: Any
    ) -> str:
        answer = await self(method, path, message, **more)
        assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text
        assert set(answer.json()) == {"error_code", "message"}
        return str(answer.json()["message"])

    async def invalid(self, path: str, message: object, method: str = "POST") -> str:
        return await self.refused(400, "INVALID_PARAMETER_VALUE", method, path, message)

    async def missing(self, method: str, path: str, message: object, **more: Any) -> None:
        await self.refused(404, "RESOURCE_DOES_NOT_EXIST", method, path, message, **more)

    async def experiment(self, name: str = "churn") -> str:
        return str((await self.ok("POST", "experiments/create", {"name": name}))["experiment_id"])

    async def run(self, experiment: str | None = None, **more: Any) -> str:
        message = {"experiment_id": experiment or await self.experiment(), **more}
        return str((await self.ok("POST", "runs/create", message))["run"]["info"]["run_id"])

    async def data(self, run: str) -> dict[str, Any]:
        answer = await self.ok("GET", "runs/get", {"run_id": run})
        data: dict[str, Any] = answer["run"]["data"]
        return data


@pytest.fixture
async def wire(sessions: Sessions, tmp_path: Path) -> AsyncIterator[Wire]:
    transport = httpx2.ASGITransport(mlflow_app(sessions, tmp_path), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://maestro") as http:
        yield Wire(http)


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
    await wire.refused(
        400, "RESOURCE_ALREADY_EXISTS", "POST", "experiments/create", {"name": "renamed"}
    )
    await wire.ok("POST", "experiments/restore", {"experiment_id": id})


async def test_experiments_are_searched_by_query_and_by_body(wire: Wire) -> None:
    for name in ("a", "b", "c"):
        await wire.experiment(name)
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
        some = await wire.ok(method, "experiments/search", {"filter": "name IN ('a', 'd')"})
        assert [e["name"] for e in some["experiments"]] == ["a"]


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
        ("runs/search", {"max_results": 50000}, {"max_results": 50001}),
        ("runs/search", {"max_results": 1}, {"max_results": 0}),
    ]
    for path, most, too_much in limits:
        owner = {"run_id": run, "experiment_id": experiment}
        await wire.ok("POST", path, {**owner, **most})
        await wire.invalid(path, {**owner, **most, **too_much})
    assert len((await wire.data(run))["params"]) == 101


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
    point = {"key": "m", "value": 1, "timestamp": 5, "model_id": "x", "new": {}}
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


async def test_an_id_that_is_nobodys_is_not_found(wire: Wire) -> None:
    for id in ("1", "x", "0" * 32, "0" * 31, "../..", "%00", "é" * 32, "G" * 32):
        await wire.missing("GET", "runs/get", {"run_id": id})
        await wire.missing("GET", "experiments/get", {"experiment_id": id})
        await wire.missing("POST", "runs/create", {"experiment_id": id})
        await wire.missing("POST", "runs/log-batch", {"run_id": id})


async def test_a_message_without_a_run_says_so(wire: Wire) -> None:
    for path in ("runs/log-batch", "runs/delete", "runs/update"):
        assert "run_id" in await wire.invalid(path, {})
    assert "run_id" in await wire.invalid("runs/get", {}, "GET")


async def test_experiment_0_is_the_default_of_the_project(wire: Wire) -> None:
    assert await wire.ok("POST", "runs/search", {"experiment_ids": ["0"]}) == {"runs": []}
    found = await wire.ok("GET", "experiments/get", {"experiment_id": "0"}, as_="viewer")
    assert found["experiment"]["name"] == "Default"
    run = await wire.ok("POST", "runs/create", {"experiment_id": "0"})
    assert run["run"]["info"]["experiment_id"] == found["experiment"]["experiment_id"]
    assert len((await wire.ok("POST", "runs/search", {"experiment_ids": ["0"]}))["runs"]) == 1
    await wire.invalid("experiments/delete", {"experiment_id": "0"})


async def test_viewers_read_and_are_told_why_they_do_not_write(wire: Wire) -> None:
    experiment = await wire.experiment()
    run = await wire.run(experiment)
    await wire.ok("GET", "runs/get", {"run_id": run}, as_="viewer")
    owner = {"run_id": run, "experiment_id": experiment}
    writes: dict[str, dict[str, Any]] = {
        "experiments/create": {"name": "x"},
        "experiments/delete": {},
        "experiments/update": {"new_name": "x"},
        "experiments/set-experiment-tag": {"key": "a"},
        "runs/create": {},
        "runs/update": {"status": "FAILED"},
        "runs/delete": {},
        "runs/restore": {},
        "runs/log-metric": {"key": "a", "value": 1, "timestamp": 1},
        "runs/log-parameter": {"key": "a"},
        "runs/set-tag": {"key": "a"},
        "runs/delete-tag": {"key": "a"},
        "runs/log-batch": {},
    }
    for path, message in writes.items():
        await wire.refused(
            403, "PERMISSION_DENIED", "POST", path, {**owner, **message}, as_="viewer"
        )


async def test_nobody_is_told_nothing(wire: Wire) -> None:
    for path in ("experiments/create", "runs/log-batch", "no/such/call"):
        answer = await wire("POST", path, b"{", as_="nobody")
        assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED")


async def test_another_tenant_finds_what_nobody_has(wire: Wire) -> None:
    experiment = await wire.experiment()
    run = await wire.run(experiment)
    for method, path, message in [
        ("GET", "experiments/get", {"experiment_id": experiment}),
        ("POST", "experiments/delete", {"experiment_id": experiment}),
        ("POST", "runs/create", {"experiment_id": experiment}),
        ("GET", "runs/get", {"run_id": run}),
        ("POST", "runs/delete", {"run_id": run}),
        ("POST", "runs/log-batch", {"run_id": run}),
        ("GET", "metrics/get-history", {"run_id": run, "metric_key": "m"}),
    ]:
        none = {k: v if k == "metric_key" else new_id().hex for k, v in message.items()}
        theirs = await wire(method, path, message, as_="stranger")
        nobodys = await wire(method, path, none, as_="stranger")
        assert (theirs.status_code, theirs.content) == (404, nobodys.content)
    search = {"experiment_ids": [experiment]}
    assert await wire.ok("POST", "runs/search", search, as_="stranger") == {"runs": []}


async def a_second_project(sessions: Sessions, visibility: Visibility) -> None:
    async with open_work(sessions, caller()) as work:
        now = utc_now()
        work.session.add(
            Project(
                name="second", slug="second", visibility=visibility, created_at=now, updated_at=now
            )
        )


async def test_a_workspace_is_a_project_and_what_is_outside_is_not_there(
    wire: Wire, sessions: Sessions
) -> None:
    await a_second_project(sessions, Visibility.INTERNAL)
    experiment = await wire.experiment()
    run = await wire.run(experiment)
    for workspace in ("lab", "default", ""):
        await wire.ok("GET", "runs/get", {"run_id": run}, workspace=workspace)
    await wire.missing("GET", "runs/get", {"run_id": run}, workspace="second")
    await wire.missing("GET", "experiments/get", {"experiment_id": experiment}, workspace="second")
    message = {"experiment_ids": [experiment]}
    assert await wire.ok("POST", "runs/search", message, workspace="second") == {"runs": []}
    await wire.missing("POST", "runs/log-batch", {"run_id": run}, workspace="second")
    same = await wire.ok("POST", "experiments/create", {"name": "churn"}, workspace="second")
    await wire.missing("POST", "runs/create", same)


async def test_a_workspace_that_is_not_there_is_not_found(wire: Wire) -> None:
    for workspace in ("shop", "nowhere", "LAB", "' OR 1=1", "../lab", "x" * 500):
        await wire.missing("POST", "experiments/create", {"name": "x"}, workspace=workspace)
        await wire.missing("POST", "experiments/search", {}, workspace=workspace)


async def test_a_private_project_is_not_there_for_those_outside_its_team(
    wire: Wire, sessions: Sessions
) -> None:
    await a_second_project(sessions, Visibility.PRIVATE)
    await wire.missing("POST", "experiments/search", {}, workspace="second", as_="member")


async def test_calls_that_are_not_there_say_so(wire: Wire) -> None:
    for method, path in [
        ("POST", "registered-models/create"),
        ("GET", "runs/create"),
        ("POST", "/api/3.0/mlflow/traces"),
        ("POST", "/ajax-api/2.0/mlflow/no-such"),
    ]:
        await wire.refused(404, "ENDPOINT_NOT_FOUND", method, path, {})


async def test_the_same_calls_stand_under_both_names(wire: Wire) -> None:
    id = await wire.experiment()
    path = "/ajax-api/2.0/mlflow/experiments/get"
    assert (await wire.ok("GET", path, {"experiment_id": id}))["experiment"]["name"] == "churn"
    for prefix in ("/api", "/ajax-api"):
        info = await wire.ok("GET", f"{prefix}/3.0/mlflow/server-info")
        assert info["workspaces_enabled"] is True
        assert not any(value for name, value in info.items() if name != "workspaces_enabled")
