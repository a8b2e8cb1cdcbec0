"""Files by those who may not: strangers, viewers, keys, who is elsewhere."""

from dataclasses import replace

import pytest

from maestro_ml.core.clock import utc_now
from maestro_ml.core.ids import new_id
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.projects.models import Project, Visibility
from support import caller
from support import wire as wires
from support.files import FILES, RunFiles, counted, run_files
from support.wire import Wire
from support.world import LAB

CALLS = (
    *(("PUT", "artifacts"), ("GET", "artifacts"), ("DELETE", "artifacts"), ("GET", "presigned")),
    *(("POST", f"mpu/{verb}") for verb in ("create", "complete", "abort")),
)
BODY = {"path": "a", "num_parts": 1, "upload_id": "0" * 32, "parts": [{"part_number": 1}]}


async def test_viewers_read_and_write_nothing(wire: Wire, sessions: Sessions) -> None:
    files = await run_files(wire)
    await files.put("a", b"x")
    assert await files.get("a", as_="viewer") == b"x"
    for method, call in (("PUT", "artifacts"), ("DELETE", "artifacts"), ("POST", "mpu/create")):
        answer = await files(method, "a", call=call, as_="viewer", json=BODY)
        assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")
    named = {"run_id": files.run, "path": "a"}
    await wire.refused(
        403,
        "PERMISSION_DENIED",
        "POST",
        "artifacts/presigned-upload-url",
        named,
        as_="viewer",
    )
    assert await counted(sessions) == 1


async def test_nobody_is_told_nothing(wire: Wire) -> None:
    files = await run_files(wire)
    for method, call in CALLS:
        answer = await files(method, "a", call=call, as_="nobody", content=b"{")
        assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED")


async def test_another_tenant_finds_what_nobody_has(wire: Wire, sessions: Sessions) -> None:
    files = await run_files(wire)
    await files.put("a", b"x")
    nobodys = RunFiles(wire, new_id().hex, new_id().hex)
    for method, call in CALLS:
        answers = [
            await one(method, "a", call=call, as_="stranger", json=BODY) for one in (files, nobodys)
        ]
        assert [one.status_code for one in answers] == [404, 404]
        assert answers[0].content == answers[1].content
    for path in (files.root, f"{files.root}/a"):
        await wire.missing("GET", f"{FILES}/artifacts", {"path": path}, as_="stranger")
    await wire.missing("GET", "artifacts/list", {"run_id": files.run}, as_="stranger")
    assert await files.get("a") == b"x"
    assert await counted(sessions) == 1


@pytest.mark.parametrize("visibility", Visibility)
async def test_what_is_outside_the_workspace_is_not_there(
    wire: Wire, sessions: Sessions, monkeypatch: pytest.MonkeyPatch, visibility: Visibility
) -> None:
    """Nor for a key whose projects are others."""
    second = new_id()
    async with open_work(sessions, caller()) as work:
        now = utc_now()
        project = Project(id=second, name="second", slug="second", created_at=now, updated_at=now)
        work.session.add(project)
        await work.session.flush()
        project.visibility = visibility
    files = await run_files(wire)
    await files.put("a", b"x")
    key = replace(caller(), only_projects=frozenset({second}), default_project_id=second)
    monkeypatch.setitem(wires.CALLERS, "key", key)
    listed = replace(caller(), only_projects=frozenset({LAB}))
    monkeypatch.setitem(wires.CALLERS, "listed", listed)
    for method, call in CALLS:
        for as_, workspace in (("admin", "second"), ("key", ""), ("key", "lab")):
            headers = {"X-MLFLOW-WORKSPACE": workspace}
            answer = await files(method, "a", call=call, as_=as_, headers=headers, json=BODY)
            assert answer.status_code == 404, (method, call, as_, workspace, answer.text)
    assert await files.get("a", as_="listed") == b"x"
    await files.put("b", b"y", as_="listed")
    assert await counted(sessions) == 2
