"""Blobs for tests: put, read, and looked at from outside the product."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

from maestro_ml.core.settings import Settings
from maestro_ml.core.settings_groups import Storage
from maestro_ml.storage.blobs import Blobs
from maestro_ml.storage.keys import BlobKey
from support.world import ACME

KEYS: dict[str, Any] = {"access_key_id": "id", "secret_access_key": "secret"}


class Leftovers:
    """What is stored, as seen from outside: finished files and unfinished ones."""

    def __init__(self, *, folder: Path | None = None, s3: Any = None, bucket: str = "") -> None:
        self.folder, self.s3, self.bucket = folder, s3, bucket

    def all(self) -> list[str]:
        if self.folder is not None:
            files = (path for path in self.folder.rglob("*") if path.is_file())
            return [str(path.relative_to(self.folder)) for path in files]
        objects = self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        uploads = self.s3.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return [found["Key"].removeprefix("some/where/") for found in objects + uploads]


def s3_settings(**storage: Any) -> Settings:
    return Settings(storage=Storage(**{**KEYS, **storage}))


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def content(blobs: Blobs, key: BlobKey, **slice: Any) -> bytes:
    return b"".join([chunk async for chunk in blobs.read(key, **slice)])


async def a_blob(blobs: Blobs, *chunks: bytes, tenant: UUID = ACME) -> BlobKey:
    key = BlobKey.new(tenant)
    await blobs.put(key, pieces(*chunks or (b"0123456789",)))
    return key
