"""Blobs in a local folder, for their owner's eyes only and on the disk before we say so."""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from uuid import UUID

from obstore.store import LocalStore

from maestro_ml.storage.keys import ROOT, BlobKey, prefix_of


class Folder:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._store: LocalStore | None = None

    def store(self) -> LocalStore:
        """Opened late, because it must exist by then."""
        if self._store is None:
            if not self._root.exists():
                raise FileNotFoundError(self._root)
            self._store = LocalStore(self._root)
        return self._store

    async def prepare(self, key: BlobKey) -> None:
        """Make the folders above the blob. Left to obstore, anybody could look into them."""
        await asyncio.to_thread(self._make, self._root / ROOT, self._file(key).parent)

    async def settle(self, key: BlobKey) -> None:
        """Once this returns, a power cut does not take the blob away."""
        await asyncio.to_thread(self._settle, self._file(key))

    async def clear(self, tenant_id: UUID) -> None:
        await asyncio.to_thread(self._clear, self._root / prefix_of(tenant_id))

    async def check(self) -> None:
        await asyncio.to_thread(self._check)

    def _file(self, key: BlobKey) -> Path:
        return self._root / str(key)

    def _make(self, *folders: Path) -> None:
        self._root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self._root, *folders):
            folder.mkdir(mode=0o700, exist_ok=True)

    def _settle(self, file: Path) -> None:
        file.chmod(0o600)
        # A name lasts when its folder is synced, and that folder's name when its own is.
        for path in (file, file.parent, self._root / ROOT, self._root, self._root.parent):
            opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)

    def _clear(self, folder: Path) -> None:
        if folder.exists():
            shutil.rmtree(folder)

    def _check(self) -> None:
        self._make()
        with tempfile.TemporaryFile(dir=self._root) as probe:
            probe.write(b"maestro")
