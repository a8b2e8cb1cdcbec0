"""Calls that are made all the time take a shortcut, and nobody can tell but by the clock."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import update

from maestro_ml.core.access import Access, Role, Scope
from maestro_ml.core.clock import utc_now
from maestro_ml.core.ids import new_id
from maestro_ml.db.faults import QueryTooSlow
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.mlflow.hot import SHORTCUTS
from maestro_ml.projects.models import Project, ProjectMember, Visibility
from maestro_ml.tracking.errors import RunNotFound
from maestro_ml.tracking.service import lookup, runs
from support.wire import CALLERS, Wire, mlflow_app
from support.world import ACME, LAB, USERS, caller

POINT = {"key": "m", "value": 1.5, "timestamp": 5, "step": 1}


@asynccontextmanager
async def a_wire(sessions: Sessions, folder: Path, *, shortcuts: bool) -> AsyncIterator[Wire]:
    app = mlflow_app(sessions, folder, SHORTCUTS if shortcuts else {})
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://maestro") as http:
        yield Wire(http)


@pytest.fixture
def known_as(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Callers beyond the usual ones."""

    def know(**callers: Access) -> None:
        for name, access in callers.items():
            monkeypatch.setitem(CALLERS, name, access)

    return know


def calls(experiment: str, run: str) -> list[tuple[str, str, dict[str, Any]]]:
    of = {"run_id": run}
    return [
        ("POST", "runs/log-metric", of | POINT),
        ("POST", "runs/log-batch", of | {"metrics": [POINT], "params": [{"key": "p"}]}),
        ("POST", "runs/log-parameter", of | {"key": "p", "value": ""}),
        ("POST", "runs/set-tag", of | {"key": "t", "value": "1"}),
        ("POST", "runs/create", {"experiment_id": experiment}),
        ("GET", "runs/get", of),
    ]


async def test_every_refusal_is_the_ordinary_routes(
    sessions: Sessions, tmp_path: Path, known_as: Any
) -> None:
    """Another tenant, a viewer, a key for another project or for reading, a private project, a
    deleted run, another workspace: the same bytes with shortcuts and without."""
    other = new_id()
    known_as(
        elsewhere=replace(caller(), only_projects=frozenset({other})),
        gone=replace(caller(), default_project_id=other),
        reading=replace(caller(), scopes=frozenset({Scope.READ})),
        nowhere=replace(caller(), tenant_id=None, role=None),
        team=replace(caller(Role.VIEWER), project_roles={LAB: Role.MEMBER}),
    )
    async with (
        a_wire(sessions, tmp_path, shortcuts=True) as hot,
        a_wire(sessions, tmp_path, shortcuts=False) as plain,
    ):
        experiment = await plain.experiment()
        run, deleted = await plain.run(experiment), await plain.run(experiment)
        await plain.ok("POST", "runs/delete", {"run_id": deleted})
        await plain.ok("POST", "runs/log-parameter", {"run_id": run, "key": "p", "value": "1"})
        searches: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", "runs/search", {"experiment_ids": [experiment], "filter": text})
            for text in ("tags.t = '1'", "tags.t =")
        ]
        asked = [
            (as_, workspace, call)
            for as_ in ("stranger", "viewer", "elsewhere", "gone", "reading", "nowhere", "nobody")
            for workspace in (None, "lab", "no-such", "../x")
            for call in (*calls(experiment, run), *searches)
        ]
        for id in (deleted, new_id().hex, "x", ""):
            asked += [("member", None, call) for call in calls(id, id)]
        asked += [("member", None, ("POST", "runs/log-parameter", {"run_id": run, "key": "p"}))]
        refused = 0
        for as_, workspace, (method, path, message) in asked:
            answers = [
                await wire(method, path, message, as_=as_, workspace=workspace)
                for wire in (hot, plain)
            ]
            what = (as_, workspace, path, answers[0].text)
            assert answers[0].status_code == answers[1].status_code, what
            if answers[0].status_code != 200:
                refused += 1
                assert answers[0].content == answers[1].content, what
        assert refused > 150
        assert (await hot.data(run))["params"] == [{"key": "p", "value": "1"}]
        for method, path, message in calls(experiment, run)[3:]:
            await hot.ok(method, path, message, as_="team")


async def test_a_private_project_is_for_its_team(
    sessions: Sessions, tmp_path: Path, known_as: Any
) -> None:
    known_as(team=replace(caller(Role.VIEWER), project_roles={LAB: Role.MEMBER}))
    async with a_wire(sessions, tmp_path, shortcuts=True) as wire:
        experiment = await wire.experiment()
        run = await wire.run(experiment)
        async with sessions.begin(SYSTEM) as session:
            hidden = update(Project).where(Project.id == LAB).values(visibility=Visibility.PRIVATE)
            await session.execute(hidden)
        for method, path, message in calls(experiment, run):
            await wire.missing(method, path, message, as_="admin")
            await wire.ok(method, path, message, as_="team")


async def test_the_default_project_is_found_as_for_everybody_else(
    sessions: Sessions, tmp_path: Path, known_as: Any
) -> None:
    """A key's own choice, else the oldest of one's own, else the oldest in sight."""
    user = USERS[ACME, Role.MEMBER]
    known_as(
        chosen=caller(),
        mine=replace(caller(Role.MEMBER), default_project_id=None),
    )
    async with a_wire(sessions, tmp_path, shortcuts=True) as wire:
        run = await wire.run()
        await wire.ok("GET", "runs/get", {"run_id": run}, as_="chosen")
        await wire.ok("POST", "runs/log-metric", {"run_id": run} | POINT, as_="mine")
        async with sessions.begin(ACME) as session:
            now = utc_now()
            project = Project(name="own", slug="own", created_at=now, updated_at=now)
            session.add(project)
            await session.flush()
            member = ProjectMember(
                project_id=project.id, user_id=user, role=Role.MEMBER, created_at=now
            )
            session.add(member)
        known_as(
            mine=replace(
                caller(Role.MEMBER),
                default_project_id=None,
                project_roles={project.id: Role.MEMBER},
            )
        )
        await wire.missing("GET", "runs/get", {"run_id": run}, as_="mine")
        await wire.ok("GET", "runs/get", {"run_id": run}, as_="mine", workspace="lab")
        made = await wire.ok("POST", "runs/create", {"experiment_id": "0"}, as_="mine")
        id = made["run"]["info"]["run_id"]
        await wire.ok("GET", "runs/get", {"run_id": id}, as_="mine", workspace="own")


async def test_a_run_is_answered_alike_by_both(sessions: Sessions, tmp_path: Path) -> None:
    async with (
        a_wire(sessions, tmp_path, shortcuts=True) as hot,
        a_wire(sessions, tmp_path, shortcuts=False) as plain,
    ):
        experiment = await plain.experiment()
        tags = [{"key": "mlflow.runName", "value": "é ☃"}, {"key": "a/b", "value": ""}]
        run = await hot.run(experiment, tags=tags, user_id="ada", start_time=1700000000123)
        odd = [POINT | {"key": f"k{v}", "value": v} for v in ("NaN", "Infinity", 1, -0.0, 1e-320)]
        for wire in (hot, plain):
            params = [{"key": "p é", "value": "x" * 6000}, {"key": "q"}]
            await wire.ok(
                "POST", "runs/log-batch", {"run_id": run, "metrics": odd, "params": params}
            )
        one, other = [await wire("GET", "runs/get", {"run_id": run}) for wire in (hot, plain)]
        assert json.loads(one.content) == json.loads(other.content)
        assert one.headers["content-type"] == other.headers["content-type"]
        assert len(json.loads(one.content)["run"]["data"]["metrics"]) == 5


async def test_writers_at_once_are_each_kept_or_told(sessions: Sessions, tmp_path: Path) -> None:
    """Those who are refused take nothing of the others with them."""
    async with a_wire(sessions, tmp_path, shortcuts=True) as wire:
        run = await wire.run()
        await wire.ok("POST", "runs/log-parameter", {"run_id": run, "key": "p", "value": "1"})

        async def write(n: int) -> int:
            batch: dict[str, Any] = {"metrics": [POINT | {"step": n}, POINT | {"key": f"own {n}"}]}
            if n % 3 == 0:
                batch["params"] = [{"key": f"new {n}"}, {"key": "p", "value": "2"}]
            answer = await wire("POST", "runs/log-batch", {"run_id": run} | batch)
            return answer.status_code

        statuses = await asyncio.gather(*(write(n) for n in range(1, 61)))
        assert [s for s in statuses if s != 200] == [400] * 20
        data = await wire.data(run)
        assert len(data["metrics"]) == 41
        assert [param["key"] for param in data["params"]] == ["p"]
        asked = {"run_id": run, "metric_key": "m"}
        history = (await wire.ok("GET", "metrics/get-history", asked))["metrics"]
        assert sorted(p["step"] for p in history) == [n for n in range(1, 61) if n % 3]


async def test_a_tenants_hot_work_reaches_no_other_tenant(sessions: Sessions, wire: Wire) -> None:
    """The statements carry the tenant themselves, whatever a verb passes."""
    run = UUID(await wire.run())
    stranger = CALLERS["stranger"]
    for act in (sessions.hot.read, sessions.hot.write):
        with pytest.raises(RunNotFound):
            await act(stranger, utc_now(), lambda work: lookup.seen(work, run))


async def test_what_takes_too_long_to_find_is_not_looked_for_twice(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = await wire.experiment()
    looked = 0

    async def search(*_: object) -> None:
        nonlocal looked
        looked += 1
        raise QueryTooSlow

    monkeypatch.setattr(runs, "search", search)
    told = await wire.invalid("runs/search", {"experiment_ids": [experiment]})
    assert "Narrow it" in told
    assert looked == 1
