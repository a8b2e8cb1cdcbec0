"""Blobs in a local folder, for their owner's eyes only and on the disk before we say so.

A file is written under a name that nobody looks for, and has its own once it is whole.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from maestro_ml.storage.keys import ROOT, BlobKey, prefix_of

_CHUNK = 2**20
_SYNCED_AT_ONCE = 16 * 2**20
_UNFINISHED = ".part"
_T = TypeVar("_T")


class Folder:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._lasting: set[Path] = set()  # folders whose own names are on the disk

    async def begin(self, key: BlobKey, limit: int) -> "_File":
        file = self._file(key)
        descriptor = await _threaded(lambda: self._create(file))
        above = (self._root / ROOT, self._root, self._root.parent)
        return _File(file, descriptor, above, self._lasting)

    async def reader(self, key: BlobKey, start: int, end: int | None) -> AsyncGenerator[bytes]:
        descriptor = os.open(self._file(key), os.O_RDONLY | os.O_CLOEXEC)
        return _reading(descriptor, start, end)

    async def size(self, key: BlobKey) -> int:
        return self._file(key).stat().st_size

    async def delete(self, key: BlobKey) -> None:
        file = self._file(key)
        await _threaded(lambda: _remove(_unfinished(file), file))

    async def clear(self, tenant_id: UUID) -> None:
        await _threaded(lambda: self._clear(self._root / prefix_of(tenant_id)))

    async def count(self, tenant_id: UUID) -> int:
        return await _threaded(lambda: self._count(self._root / prefix_of(tenant_id)))

    async def check(self) -> None:
        await _threaded(self._check)

    async def sign(self, key: BlobKey, seconds: int) -> str | None:
        return None

    def _file(self, key: BlobKey) -> Path:
        return self._root / str(key)

    def _create(self, file: Path) -> int:
        self._make(self._root / ROOT, file.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.open(_unfinished(file), flags, 0o600)

    def _make(self, *folders: Path) -> None:
        self._root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self._root, *folders):
            folder.mkdir(mode=0o700, exist_ok=True)

    def _clear(self, folder: Path) -> None:
        self._lasting.discard(folder)
        if folder.exists():
            shutil.rmtree(folder)

    def _count(self, folder: Path) -> int:
        return sum(1 for _ in folder.iterdir()) if folder.exists() else 0

    def _check(self) -> None:
        self._make()
        with tempfile.TemporaryFile(dir=self._root) as probe:
            probe.write(b"maestro")


class _File:
    def __init__(
        self, file: Path, descriptor: int, above: tuple[Path, ...], lasting: set[Path]
    ) -> None:
        self._file, self._descriptor = file, descriptor
        self._above, self._lasting = above, lasting
        self._open = True
        self._unsynced = 0
        self._syncing: asyncio.Task[None] | None = None

    async def write(self, data: bytes) -> None:
        await _threaded(lambda: self._write(data))
        self._unsynced += len(data)
        if self._unsynced >= _SYNCED_AT_ONCE:  # the disk is not left to begin at the end
            await self._synced()
            self._unsynced = 0
            self._syncing = asyncio.create_task(_threaded(lambda: os.fdatasync(self._descriptor)))

    async def finish(self) -> None:
        await self._synced()
        await _threaded(self._finish)

    async def abandon(self) -> None:
        with suppress(OSError):
            await self._synced()
        self._close()
        with suppress(OSError):
            _remove(_unfinished(self._file), self._file)

    async def _synced(self) -> None:
        if self._syncing is not None:
            syncing, self._syncing = self._syncing, None
            await syncing

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]

    def _finish(self) -> None:
        """Once this returns, a power cut does not take the blob away."""
        os.fsync(self._descriptor)
        self._close()
        _unfinished(self._file).rename(self._file)
        # A name lasts when its folder is synced, and that folder's name when its own is.
        folder = self._file.parent
        for path in (folder, *(() if folder in self._lasting else self._above)):
            opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)
        self._lasting.add(folder)

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._descriptor)


async def _reading(descriptor: int, start: int, end: int | None) -> AsyncGenerator[bytes]:
    try:
        while end is None or start < end:
            most = _CHUNK if end is None else min(_CHUNK, end - start)
            chunk = await _threaded(lambda: os.pread(descriptor, most, start))  # noqa: B023
            if not chunk:
                return
            start += len(chunk)
            yield chunk
    finally:
        os.close(descriptor)


async def _threaded(deed: Callable[[], _T]) -> _T:
    """In a thread, which is done with its file when this returns, also for somebody who leaves:
    the file's number may be another file's as soon as it is closed."""
    task = asyncio.ensure_future(asyncio.to_thread(deed))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _unfinished(file: Path) -> Path:
    return file.with_name(file.name + _UNFINISHED)


def _remove(*files: Path) -> None:
    for file in files:
        file.unlink(missing_ok=True)
