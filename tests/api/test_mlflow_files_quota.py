"""What files may count, and what is left of uploads that end early."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from maestro_ml.core.settings import Settings
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.projects.service import projects
from maestro_ml.storage.keys import BlobKey
from maestro_ml.tenancy.service import storage
from maestro_ml.tracking.handlers import listen
from maestro_ml.tracking.service import files as verbs
from support import caller
from support.files import RunFiles, allow, counted, run_files, stored, swept
from support.wire import Wire
from support.world import ACME, LAB

MEBIBYTE = 2**20
NOW = timedelta(0)


async def some(count: int, size: int = MEBIBYTE) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * size


async def over(files: RunFiles, path: str, content: bytes | AsyncIterator[bytes]) -> str:
    answer = await files("PUT", path, content=content)
    assert (answer.status_code, answer.json()["error_code"]) == (409, "RESOURCE_CONFLICT")
    return str(answer.json()["message"])


async def test_no_tenant_has_more_bytes_than_it_may(
    wire: Wire, sessions: Sessions, tmp_path: Path
) -> None:
    files = await run_files(wire)
    await allow(sessions, 3 * MEBIBYTE)
    await files.put("a", b"x" * (2 * MEBIBYTE))
    told = await over(files, "b", b"x" * (MEBIBYTE + 1))
    assert "2097152" in told
    assert "3145728" in told
    await over(files, "b", some(3))  # which does not say how long it is
    assert await files.names() == ["a"]
    assert (await counted(sessions), len(stored(tmp_path))) == (2 * MEBIBYTE, 1)
    await files.put("b", some(1))
    assert await counted(sessions) == 3 * MEBIBYTE
    await files.put("empty", b"")
    await over(files, "c", b"x")
    await files("DELETE", "a")
    await files.put("c", some(2, MEBIBYTE - 1))
    assert await counted(sessions) == 3 * MEBIBYTE - 2


async def test_nor_by_many_uploads_at_once(wire: Wire, sessions: Sessions, tmp_path: Path) -> None:
    files = await run_files(wire)
    await allow(sessions, 10 * 1000)
    answers = await asyncio.gather(
        *(files("PUT", f"f{n}", content=b"x" * 1000) for n in range(20)),
        *(files("PUT", "one", content=b"x" * 1000) for _ in range(5)),
    )
    codes = [answer.status_code for answer in answers]
    assert set(codes) == {200, 409}
    names = await files.names()
    assert len(names) <= 10
    assert await counted(sessions) == 1000 * len(names)
    assert len(stored(tmp_path)) == len(names)


async def test_a_single_file_has_a_limit_of_its_own(
    wire: Wire, sessions: Sessions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAESTRO_STORAGE__MAX_FILE_BYTES", "1000")
    limited = Settings(data=tmp_path).storage
    runtime = wire.http._transport.app  # type: ignore[attr-defined]
    while not hasattr(runtime, "state"):
        runtime = runtime.app
    object.__setattr__(runtime.state.runtime.settings, "storage", limited)
    files = await run_files(wire)
    for content in (b"x" * 1001, some(2, 501)):
        answer = await files("PUT", "a", content=content)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        assert "1000" in answer.json()["message"]
    await files.put("a", b"x" * 1000)
    assert (await counted(sessions), len(stored(tmp_path))) == (1000, 1)


@pytest.mark.parametrize("known", [True, False], ids=["of known length", "of unknown length"])
async def test_a_client_that_goes_away_leaves_nothing(
    wire: Wire, sessions: Sessions, tmp_path: Path, known: bool
) -> None:
    files = await run_files(wire)
    await files.put("a", b"before")
    headers = {"content-length": str(8 * MEBIBYTE)} if known else {}
    assert await files.begin("a", *[b"x" * MEBIBYTE] * 4, headers=headers) == 400
    assert await files.get("a") == b"before"
    assert (await counted(sessions), len(stored(tmp_path))) == (6, 1)


async def test_a_run_that_is_deleted_meanwhile_takes_no_file(
    wire: Wire, sessions: Sessions, tmp_path: Path
) -> None:
    files = await run_files(wire)

    async def late() -> AsyncIterator[bytes]:
        yield b"x"
        await wire.ok("POST", "runs/delete", {"run_id": files.run})

    answer = await files("PUT", "a", content=late())
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert (await counted(sessions), stored(tmp_path)) == (0, [])


async def test_what_a_dead_server_left_is_swept(
    wire: Wire, sessions: Sessions, tmp_path: Path
) -> None:
    files = await run_files(wire)
    await files.put("kept", b"kept")
    async with open_work(sessions, caller()) as work:
        id = await storage.reserve(work, 1000)
    begun = tmp_path / "files" / f"{BlobKey(ACME, id)}.part"
    begun.write_bytes(b"half")
    await swept(sessions, tmp_path, after=NOW)
    assert await counted(sessions) == 1004  # it may be on its way
    await swept(sessions, tmp_path)
    assert not begun.exists()
    assert (await counted(sessions), await files.get("kept")) == (4, b"kept")


async def test_an_upload_that_was_given_up_is_not_settled(
    wire: Wire, sessions: Sessions, tmp_path: Path
) -> None:
    files = await run_files(wire)

    async def slow() -> AsyncIterator[bytes]:
        yield b"x" * MEBIBYTE
        await swept(sessions, tmp_path)

    answer = await files("PUT", "a", content=slow(), headers={"Content-Length": str(MEBIBYTE)})
    assert answer.status_code in {409, 503}
    assert (await counted(sessions), stored(tmp_path), await files.names()) == (0, [], [])


async def test_files_go_with_their_project(wire: Wire, sessions: Sessions, tmp_path: Path) -> None:
    files = await run_files(wire)
    for name in ("a", "b"):
        await files.put(name, b"x")
    sessions.listeners = (listen,)
    async with open_work(sessions, caller()) as work:
        await projects.delete(work, LAB, confirm="lab")
    await swept(sessions, tmp_path)
    assert (await counted(sessions), stored(tmp_path)) == (0, [])


async def test_a_blob_that_something_refers_to_is_not_let_go(
    wire: Wire, sessions: Sessions, tmp_path: Path
) -> None:
    files = await run_files(wire)
    await files.put("a", b"x")
    async with open_work(sessions, caller()) as work:
        found = await verbs.find(work, verbs.Root(run_id=UUID(files.run)), "a")
        assert await storage.let_go(work, [found.blob_id]) == []
    await swept(sessions, tmp_path)
    assert await files.get("a") == b"x"
