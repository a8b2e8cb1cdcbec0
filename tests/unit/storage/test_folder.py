"""The local folder: its owner's only, on the disk before it is told, and honest when it cannot."""

import os
from pathlib import Path

import pytest

from maestro_ml.core.errors import Unavailable
from maestro_ml.core.settings import Settings
from maestro_ml.storage.blobs import Blobs
from support.blobs import Leftovers, a_blob


async def test_only_its_owner_sees_the_folder(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        blobs = Blobs.open(Settings(data=tmp_path / "data"))
        assert not (tmp_path / "data").exists()
        key = await a_blob(blobs)
    finally:
        os.umask(umask)
    file = tmp_path / "data" / "files" / str(key)
    assert file.stat().st_mode & 0o777 == 0o600
    for folder in list(file.parents)[:4]:
        assert folder.stat().st_mode & 0o777 == 0o700


async def test_a_blob_is_on_the_disk_before_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    sync = os.fsync

    def watched(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        sync(fd)

    monkeypatch.setattr(os, "fsync", watched)
    key = await a_blob(Blobs.open(Settings(data=tmp_path)))
    file = tmp_path / "files" / str(key)
    assert synced == [path.stat().st_ino for path in (file, *list(file.parents)[:4])]


async def test_a_disk_that_fails_at_the_end_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable):
        await a_blob(Blobs.open(Settings(data=tmp_path)))
    assert Leftovers(folder=tmp_path / "files").all() == []


async def test_a_folder_that_cannot_be_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("in the way")
    blobs = Blobs.open(Settings(data=tmp_path))
    with pytest.raises(Unavailable):
        await blobs.check()
    with pytest.raises(Unavailable):
        await a_blob(blobs)
