"""Row 70: no spelling of a path leads anywhere else, and none is stored that might do so on
somebody's own computer."""

from pathlib import Path

import pytest

from support.files import FILES, run_files, stored
from support.wire import Wire

UNSOUND = (
    *("../../etc/passwd", "..", ".", "./x", "./../x", "a/../../b", "a/..", "a/./b", "a//b"),
    *("/etc/passwd", "//host/share", "file:///etc/passwd", "~/.ssh/id_rsa", "C:\\x", "C:/x", "c:"),
    *(
        "..\\..\\x",
        "a\\b",
        "a\x00b",
        "a\x1fb",
        "a\u202eb",
        "a#b",
        "x" * 5000,
        "x" * 256,
        "a/" * 600,
    ),
    *("\uff0e\uff0e/x", "\u2024\u2024/x", "a\uff0f..\uff0fb", "a\uff3cb"),
    *("%2e%2e/x", "..%2fx", "%252e%252e%252fx", "a%00b", "%5c..%5cx", "%c0%ae%c0%ae/x", "a%23b"),
    *("%2fetc%2fpasswd", "C%3a/x", "a:b.txt", "\uff43:b.txt", "a/\ufffd", "%ef%bf%bd"),
)


async def test_a_file_is_not_called_like_a_folder(wire: Wire) -> None:
    files = await run_files(wire)
    path = f"{FILES}/artifacts/{files.root}/folder/"
    await wire.invalid(path, b"x", "PUT")


@pytest.mark.rows(70)
async def test_an_unsound_path_is_refused_in_every_call(wire: Wire, tmp_path: Path) -> None:
    files = await run_files(wire)
    await files.put("a", b"x")
    headers = {"Authorization": "Bearer admin"}
    for path in UNSOUND:
        # Every byte encoded, so that no client tidies it up: a server hands it on decoded.
        spelled = "".join(f"%{byte:02X}" for byte in path.encode())
        for method in ("PUT", "DELETE", "GET"):
            url = f"{FILES}/artifacts/{files.root}/{spelled}"
            answer = await wire.http.request(method, url, headers=headers)
            told = (answer.status_code, answer.json().get("error_code"))
            assert told == (400, "INVALID_PARAMETER_VALUE"), (method, path, answer.text)
        message = {"run_id": files.run, "path": path}
        assert "path" in (await wire.invalid("artifacts/list", message, "GET")).lower()
        for call in ("presigned-download-url", "presigned-upload-url"):
            assert "path" in (await wire.invalid(f"artifacts/{call}", message)).lower()
        listed = {"path": f"{files.root}/{path}"}
        await wire.refused(400, "INVALID_PARAMETER_VALUE", "GET", f"{FILES}/artifacts", listed)
    assert await files.names() == ["a"]
    assert len(stored(tmp_path)) == 1


async def test_a_name_that_is_no_utf_8_is_told_apart_from_others_by_being_refused(
    wire: Wire,
) -> None:
    """A server hands such bytes on as one and the same character."""
    files = await run_files(wire)
    headers = {"Authorization": "Bearer admin"}
    for name in ("%ff", "%fe", "a%ff%feb", "dir/%c3"):
        url = f"{FILES}/artifacts/{files.root}/{name}"
        answer = await wire.http.put(url, content=b"x", headers=headers)
        assert answer.status_code == 400, answer.text
        assert "UTF-8: rename the file" in answer.json()["message"]
    assert await files.names() == []


async def test_what_windows_takes_for_a_drive_is_to_be_renamed(wire: Wire) -> None:
    files = await run_files(wire)
    for path in ("a:b.txt", "dir/C:x", "dir/z:/x"):
        answer = await files("PUT", path, content=b"x")
        assert answer.status_code == 400
        assert "drive: rename the file" in answer.json()["message"]
    await files.put("dir/ab:c", b"x")
    assert await files.names("dir") == ["ab:c"]


async def test_odd_names_are_names(wire: Wire) -> None:
    files = await run_files(wire)
    names = [
        "...",
        ".hidden",
        "ab:c",
        "file.txt:stream",
        "1:2",
        "\u00e9:x",
        "~x",
        "..a",
        "a..",
        "100%",
        "\u00fc",
        "a b",
        "x" * 255,
        "\u6f22",
    ]
    for name in names:
        await files.put(name, name.encode())
        assert await files.get(name) == name.encode()
    assert await files.names() == sorted(names)
