"""MLflow's workspaces: they name projects, and are made, changed and deleted as projects are."""

import asyncio

import pytest
from sqlalchemy import select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.projects.models import Project, Visibility
from maestro_ml.projects.schemas import ProjectCreate
from maestro_ml.projects.service import projects
from maestro_ml.tenancy.models import Tenant
from support import caller
from support.wire import Wire

W = "/api/3.0/mlflow/workspaces"


async def names(wire: Wire, who: str = "admin") -> list[str]:
    found = await wire.ok("GET", W, as_=who)
    return [workspace["name"] for workspace in found["workspaces"]]


async def test_a_workspace_goes_through_its_life(wire: Wire, sessions: Sessions) -> None:
    answer = await wire("POST", W, {"name": "churn", "description": "who leaves"})
    assert answer.status_code == 201
    made = {"name": "churn", "description": "who leaves"}
    assert answer.json() == {"workspace": made}
    assert await names(wire) == ["lab", "churn"]
    assert await wire.ok("GET", f"{W}/churn", as_="viewer") == {"workspace": made}
    changed = await wire.ok("PATCH", f"{W}/churn", {"description": ""})
    assert changed == {"workspace": made | {"description": ""}}
    found = await wire.ok("POST", "experiments/search", {}, workspace="churn")
    assert [e["workspace"] for e in found["experiments"]] in ([], ["churn"])
    answer = await wire("DELETE", f"{W}/churn")
    assert (answer.status_code, answer.content) == (204, b"")
    await wire.missing("GET", f"{W}/churn", None)
    assert await names(wire) == ["lab"]
    async with open_work(sessions, caller()) as work:
        said = await work.session.scalars(select(AuditEvent.action).order_by(AuditEvent.id))
        assert [a for a in said if a.startswith("project.")] == [
            *("project.created", "project.changed", "project.deleted")
        ]


async def test_default_stands_for_the_callers_own(wire: Wire) -> None:
    assert (await wire.ok("GET", f"{W}/default"))["workspace"]["name"] == "lab"
    assert "default" in await wire.invalid(f"{W}/default", None, "DELETE")
    assert "reserved" in await wire.invalid(W, {"name": "default"})


async def test_a_workspace_with_something_in_it_is_only_deleted_when_that_is_asked_for(
    wire: Wire,
) -> None:
    await wire.ok("POST", W, {"name": "busy"})
    at = f"{W}/busy"
    run = await wire.ok("POST", "runs/create", {"experiment_id": "0"}, workspace="busy")
    id = run["run"]["info"]["run_id"]
    assert "CASCADE" in await wire.refused(409, "RESOURCE_CONFLICT", "DELETE", at)
    await wire.ok("POST", "runs/delete", {"run_id": id}, workspace="busy")
    await wire.refused(409, "RESOURCE_CONFLICT", "DELETE", at, {"mode": "RESTRICT"})
    assert "mode" in await wire.invalid(at, {"mode": "SET_DEFAULT"}, "DELETE")
    assert "mode" in await wire.invalid(at, {"mode": "x"}, "DELETE")
    await wire.ok("GET", "runs/get", {"run_id": id}, workspace="busy")
    await wire.ok("DELETE", at, {"mode": "CASCADE"})
    await wire.missing("GET", "runs/get", {"run_id": id}, workspace="busy")
    await wire.ok("POST", W, {"name": "quiet"})
    experiment = await wire.ok("POST", "experiments/create", {"name": "x"}, workspace="quiet")
    await wire.ok("POST", "experiments/delete", experiment, workspace="quiet")
    await wire.refused(409, "RESOURCE_CONFLICT", "DELETE", f"{W}/quiet")


async def test_what_a_project_may_not_be_a_workspace_may_not_be(
    wire: Wire, sessions: Sessions
) -> None:
    for wrong in ("x", "X-1", "-a", "a_b", "a" * 64, "api", "workspaces", 5, None, "", "0" * 32):
        assert "'name'" in await wire.invalid(W, {"name": wrong})
    assert "'name'" in await wire.invalid(W, {})
    assert "'description'" in await wire.invalid(W, {"name": "new", "description": 1})
    for elsewhere in (
        {"default_artifact_root": "s3://bucket"},
        {"trace_archival_config": {"location": "s3://bucket"}},
        {"trace_archival_config": {"retention": "30d"}},
    ):
        assert next(iter(elsewhere)) in await wire.invalid(W, {"name": "new", **elsewhere})
        assert next(iter(elsewhere)) in await wire.invalid(f"{W}/lab", elsewhere, "PATCH")
    assert "description" in await wire.invalid(f"{W}/lab", {}, "PATCH")
    await wire.ok("PATCH", f"{W}/lab", {"default_artifact_root": ""})
    await wire.refused(400, "RESOURCE_ALREADY_EXISTS", "POST", W, {"name": "lab"})
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(Tenant).values(max_projects=1))
    said = await wire.refused(409, "RESOURCE_CONFLICT", "POST", W, {"name": "one-more"})
    assert "may have 1" in said
    assert await names(wire) == ["lab"]


async def test_roles_count_as_for_projects(wire: Wire) -> None:
    for method, path, message, who in [
        ("POST", W, {"name": "theirs"}, "viewer"),
        ("PATCH", f"{W}/lab", {"description": "x"}, "viewer"),
        ("DELETE", f"{W}/lab", {"mode": "CASCADE"}, "viewer"),
        ("DELETE", f"{W}/lab", {"mode": "CASCADE"}, "member"),
        ("DELETE", f"{W}/lab", None, "member"),
    ]:
        await wire.refused(403, "PERMISSION_DENIED", method, path, message, as_=who)
    assert (await wire("POST", W, {"name": "ours"}, as_="member")).status_code == 201


async def test_what_is_not_in_sight_reads_like_nothing(wire: Wire, sessions: Sessions) -> None:
    async with open_work(sessions, caller()) as work:
        secret = ProjectCreate(name="secret", slug="secret", visibility=Visibility.PRIVATE)
        await projects.create(work, secret)
    for who, hidden in (("stranger", "lab"), ("member", "secret")):
        assert hidden not in await names(wire, who)
        for method, message in (
            ("GET", None),
            ("PATCH", {"description": "x"}),
            ("DELETE", {"mode": "CASCADE"}),
        ):
            theirs = await wire(method, f"{W}/{hidden}", message, as_=who)
            nobodys = await wire(method, f"{W}/nothing", message, as_=who)
            assert (theirs.status_code, theirs.content) == (404, nobodys.content)
        await wire.missing("GET", W, None, as_=who, workspace=hidden)
        await wire.missing("POST", W, {"name": "new"}, as_=who, workspace=hidden)
    for odd in ("LAB", "%2E%2E", "lab%00", "é", "' OR 1=1", "x" * 500):
        await wire.missing("GET", f"{W}/{odd}", None)
    async with open_work(sessions, caller()) as work:
        assert len((await work.session.scalars(select(Project))).all()) == 1


@pytest.mark.parametrize("prefix", ["/api", "/ajax-api"])
async def test_clients_learn_that_there_are_workspaces(wire: Wire, prefix: str) -> None:
    for name in ("server-info", "server-features"):
        info = await wire.ok("GET", f"{prefix}/3.0/mlflow/{name}", workspace="nowhere")
        assert (info["workspaces_enabled"], info["store_type"]) == (True, "SqlStore")
        assert info["multipart_uploads_enabled"] is True
        assert info["multipart_downloads_enabled"] is False


async def test_a_run_that_comes_while_a_workspace_is_deleted_is_there_or_never_was(
    wire: Wire,
) -> None:
    for round in range(4):
        name = f"race-{round}"
        await wire.ok("POST", W, {"name": name})
        await wire.ok("GET", "experiments/get", {"experiment_id": "0"}, workspace=name)
        gone, run = await asyncio.gather(
            wire("DELETE", f"{W}/{name}"),
            wire("POST", "runs/create", {"experiment_id": "0"}, workspace=name),
        )
        assert (gone.status_code, run.status_code) in {(204, 404), (409, 200)}
        if run.is_success:
            id = {"run_id": run.json()["run"]["info"]["run_id"]}
            await wire.ok("GET", "runs/get", id, workspace=name)
