"""Files of a run: sent, listed, fetched in whole or in part, replaced, deleted."""

import hashlib
import pickle
from pathlib import Path

import pytest

from maestro_ml.db.work import Sessions
from support.files import FILES, counted, run_files, stored
from support.wire import Wire


async def test_a_file_comes_back_as_it_was_sent(
    wire: Wire, sessions: Sessions, tmp_path: Path
) -> None:
    files = await run_files(wire)
    await files.put("model/MLmodel", b"flavors")
    await files.put("model/data/weights.bin", bytes(range(256)) * 10_000)
    await files.put("a b/ü+%.txt", b"text")
    await files.put("empty", b"")
    assert await files.get("model/data/weights.bin") == bytes(range(256)) * 10_000
    assert await files.get("a b/ü+%.txt") == b"text"
    assert await files.get("empty") == b""
    assert await files.names() == ["a b/", "empty", "model/"]
    assert await files.names("model") == ["MLmodel", "data/"]
    assert await files.names("model/data/") == ["weights.bin"]
    assert await files.names("model/MLmodel") == await files.names("none") == []
    assert await counted(sessions) == 7 + 2_560_000 + 4
    assert len(stored(tmp_path)) == 4


async def test_a_runs_files_are_listed_by_its_id_as_well(wire: Wire) -> None:
    files = await run_files(wire)
    await files.put("model/MLmodel", b"flavors")
    listed = await wire.ok("GET", "artifacts/list", {"run_id": files.run})
    assert listed == {
        "root_uri": f"mlflow-artifacts:/{files.root}",
        "files": [{"path": "model", "is_dir": True}],
    }
    listed = await wire.ok("GET", "artifacts/list", {"run_uuid": files.run, "path": "model"})
    assert listed["files"] == [{"path": "model/MLmodel", "is_dir": False, "file_size": 7}]


@pytest.mark.rows(72)
async def test_a_download_is_something_to_save(wire: Wire) -> None:
    files = await run_files(wire)
    await files.put("page.html", b"<script>1</script>", headers={"Content-Type": "text/html"})
    answer = await files("GET", "page.html")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''page.html"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["content-length"] == "18"
    await files.put('x/"; a=b.html', b"1")
    told = (await files("GET", 'x/"; a=b.html')).headers["content-disposition"]
    assert told == "attachment; filename*=UTF-8''%22%3B%20a%3Db.html"
    head = await files("HEAD", "page.html")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "18")
    assert (await files("HEAD", "none")).status_code == 404


@pytest.mark.rows(71)
async def test_what_is_code_elsewhere_is_bytes_here(wire: Wire, tmp_path: Path) -> None:
    """It is kept and given back; nobody opens it."""
    canary = tmp_path / "canary"

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (canary,)

    files = await run_files(wire)
    for name in ("model.pkl", "model.pt", "model.joblib", "data.npy", "data.csv", "MLmodel"):
        await files.put(f"model/{name}", pickle.dumps(Evil()))
        assert await files.get(f"model/{name}") == pickle.dumps(Evil())
    await files.names("model")
    assert not canary.exists()


async def test_a_part_of_a_file_is_sent(wire: Wire) -> None:
    files = await run_files(wire)
    await files.put("ten", b"0123456789")
    etag = f'"{hashlib.sha256(b"0123456789").hexdigest()}"'
    for asked, start, end in [
        *[("bytes=0-3", 0, 4), ("bytes=4-", 4, 10), ("bytes=-3", 7, 10), ("bytes=-30", 0, 10)],
        *[("bytes=8-99", 8, 10), ("BYTES=9-9", 9, 10)],
    ]:
        answer = await files("GET", "ten", headers={"Range": asked, "If-Range": etag})
        assert (answer.status_code, answer.content) == (206, b"0123456789"[start:end]), asked
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/10"
        assert (answer.headers["etag"], answer.headers["accept-ranges"]) == (etag, "bytes")
    for asked in ("bytes=10-", "bytes=99-100", "bytes=-0"):
        answer = await files("GET", "ten", headers={"Range": asked})
        assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */10")
        assert answer.json()["error_code"] == "BAD_REQUEST"
    for asked in ("bytes=5-2", "bytes=-", "bytes=0-1,3-4", "lines=1-2", "bytes=x-", "bytes=1-2x"):
        assert await files.get("ten", headers={"Range": asked}) == b"0123456789"
    stale = {"Range": "bytes=0-1", "If-Range": '"other"'}
    assert await files.get("ten", headers=stale) == b"0123456789"
    for tags in (f'"x", W/{etag}', "*"):
        known = await files("GET", "ten", headers={"If-None-Match": tags})
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", etag)
    assert await files.get("ten", headers={"If-None-Match": '"*"'}) == b"0123456789"


async def test_what_is_sent_anew_replaces_what_was_there(
    wire: Wire, sessions: Sessions, tmp_path: Path
) -> None:
    files = await run_files(wire)
    for content in (b"first", b"second, and longer", b"3", b"3"):
        await files.put("table.json", content)
        assert await files.get("table.json") == content
        assert await counted(sessions) == len(content)
        assert len(stored(tmp_path)) == 1
    assert await files.names() == ["table.json"]


async def test_files_and_folders_are_deleted(
    wire: Wire, sessions: Sessions, tmp_path: Path
) -> None:
    files = await run_files(wire)
    for path in ("a/1", "a/b/2", "a/b/c/3", "ab", "a0", "z"):
        await files.put(path, b"x")
    for path, left in [
        ("a/b/", ["a/", "a0", "ab", "z"]),
        ("z", ["a/", "a0", "ab"]),
        ("none", ["a/", "a0", "ab"]),
        ("a", ["a0", "ab"]),
        ("", []),
        ("", []),
    ]:
        answer = await files("DELETE", path)
        assert (answer.status_code, answer.json()) == (200, {})
        assert await files.names() == left
    assert await counted(sessions) == 0
    assert stored(tmp_path) == []


async def test_a_path_is_a_file_or_a_folder(wire: Wire, sessions: Sessions) -> None:
    files = await run_files(wire)
    await files.put("a/b", b"x")
    for path in ("a", "a/b/c", "a/b/c/d"):
        answer = await files("PUT", path, content=b"y")
        assert (answer.status_code, answer.json()["error_code"]) == (409, "RESOURCE_CONFLICT")
    assert await counted(sessions) == 1


async def test_a_deleted_run_keeps_its_files_and_takes_none(wire: Wire) -> None:
    files = await run_files(wire)
    await files.put("a", b"x")
    await wire.ok("POST", "runs/delete", {"run_id": files.run})
    assert await files.get("a") == b"x"
    for method in ("PUT", "DELETE"):
        answer = await files(method, "a")
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    await wire.ok("POST", "runs/restore", {"run_id": files.run})
    await files.put("a", b"y")


async def test_a_local_folder_signs_nothing(wire: Wire) -> None:
    files = await run_files(wire)
    await files.put("a", b"x")
    answer = await files("GET", "a", call="presigned")
    assert (answer.status_code, answer.json()["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
    assert (await files("GET", "b", call="presigned")).status_code == 404
    named = {"run_id": files.run, "path": "a"}
    for call in ("presigned-download-url", "presigned-upload-url"):
        told = await wire.invalid(f"artifacts/{call}", named)
        assert "not supported" in told
        await wire.missing("POST", f"artifacts/{call}", {**named, "run_id": "0" * 32})
    for seconds in (0, 604_801, "x"):
        message = {**named, "expiration": seconds}
        assert "expiration" in await wire.invalid("artifacts/presigned-download-url", message)
    await wire.refused(
        404,
        "RESOURCE_DOES_NOT_EXIST",
        "POST",
        "artifacts/presigned-download-url",
        {**named, "path": "none"},
    )


async def test_what_is_not_there_is_not_found(wire: Wire) -> None:
    files = await run_files(wire)
    headers = {"Authorization": "Bearer admin"}
    for path in (
        *("", "x", "0/0/artifacts/a", f"{files.experiment}", f"{files.experiment}/{files.run}"),
        *(f"{files.experiment}/{files.run}/other/a", f"{files.root}/none"),
        *(f"{'0' * 32}/{files.run}/artifacts/a", f"{files.experiment}/{'0' * 32}/artifacts/a"),
        f"{files.experiment}/models/m-{'0' * 32}/artifacts/MLmodel",
        f"{files.experiment}/models/x/artifacts/MLmodel",
    ):
        url = f"{FILES}/artifacts/{path}"
        for method in ("GET", "PUT", "DELETE") if "none" not in path else ("GET",):
            answer = await wire.http.request(method, url, headers=headers)
            code = (answer.status_code, answer.json()["error_code"])
            assert code == (404, "RESOURCE_DOES_NOT_EXIST"), (method, path, answer.text)
        if path and "none" not in path:
            await wire.missing("GET", f"{FILES}/artifacts", {"path": path})
    answer = await files("PUT", "", content=b"x")
    assert answer.status_code == 400
