"""The one door to stored files, whether they live in a local folder or in a bucket.

    key = BlobKey.new(tenant_id)
    stored = await blobs.put(key, chunks, limit=2**30)
    async for chunk in blobs.read(key, start=100): ...

A blob is there as a whole or not at all, and never changes. A large one goes up in parts that are
held in memory a few at a time; S3 takes 10,000 of them, so say the `limit` of what may be larger
than 150 GiB.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from maestro_ml.core.errors import Unavailable
from maestro_ml.core.settings import Settings
from maestro_ml.storage.bucket import Bucket
from maestro_ml.storage.errors import (
    BlobExists,
    BlobNotFound,
    BlobTooLarge,
    StorageSettingsInvalid,
    away,
)
from maestro_ml.storage.folder import Folder
from maestro_ml.storage.keys import BlobKey

if TYPE_CHECKING:
    from obstore import AsyncWritableFile, GetOptions

_PART, _LARGEST_PART = 16 * 2**20, 128 * 2**20
_PARTS = 10_000
_PARTS_AT_ONCE = 3
_CHUNK = 2**20
_CHECK_TIMEOUT = 5


@dataclass(frozen=True, slots=True)
class Stored:
    size: int
    sha256: str


class _Place(Protocol):
    def store(self) -> LocalStore | S3Store: ...
    async def prepare(self, key: BlobKey) -> None: ...
    async def settle(self, key: BlobKey) -> None: ...
    async def clear(self, tenant_id: UUID) -> None: ...
    async def check(self) -> None: ...


class Blobs:
    """Every method raises Unavailable when the store does not answer or is full."""

    def __init__(self, place: _Place) -> None:
        self._place = place

    @classmethod
    def open(cls, settings: Settings) -> "Blobs":
        """Nothing is touched or asked before the first call.

        Raises:
            StorageSettingsInvalid: the settings name no place where files could live.
        """
        storage = settings.storage
        if storage.url is not None:
            return cls(Bucket.open(storage, storage.url))
        if storage.endpoint is not None:
            raise StorageSettingsInvalid(
                "MAESTRO_STORAGE__ENDPOINT is set, but MAESTRO_STORAGE__URL names no bucket."
            )
        return cls(Folder(settings.data / "files"))

    async def put(
        self, key: BlobKey, chunks: AsyncIterable[bytes], *, limit: int | None = None
    ) -> Stored:
        """Store a new blob. If the chunks fail, their error comes through and nothing is left.

        Raises:
            BlobTooLarge: there are more bytes than `limit`.
            BlobExists: the key was used before.
        """
        with suppress(BlobNotFound):
            await self.size(key)
            raise BlobExists
        digest, size = sha256(), 0
        async with self._writing(key, limit or 0) as file:
            async for chunk in chunks:
                size += len(chunk)
                if limit is not None and size > limit:
                    raise BlobTooLarge(limit)
                digest.update(chunk)
                with _answering():
                    await file.write(chunk)
        return Stored(size, digest.hexdigest())

    async def read(
        self, key: BlobKey, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes from `start` up to but without `end`, as a slice gives them. A missing blob is
        told with the first chunk: ask for the size before an answer begins.

        Raises:
            BlobNotFound: there is no such blob.
        """
        if end is not None and end <= start:
            await self.size(key)
            return
        options: GetOptions = {}
        if end is not None:
            options["range"] = (start, end)
        elif start:
            options["range"] = {"offset": start}
        try:
            with _finding():
                found = await self._place.store().get_async(str(key), options=options)
        except Unavailable:
            # obstore has no name of its own for a range that lies behind the end.
            if options and start >= await self.size(key):
                return
            raise
        stream = aiter(found.stream(_CHUNK))
        while True:
            with _answering():
                chunk = await anext(stream, None)
            if chunk is None:
                return
            yield chunk

    async def size(self, key: BlobKey) -> int:
        """How many bytes the blob has.

        Raises:
            BlobNotFound: there is no such blob.
        """
        with _finding():
            return (await self._place.store().head_async(str(key)))["size"]

    async def delete(self, key: BlobKey) -> None:
        """Afterwards it is gone, whether or not it was there."""
        with suppress(BlobNotFound), _finding():
            await self._place.store().delete_async(str(key))

    async def delete_tenant(self, tenant_id: UUID) -> None:
        """Delete everything of a tenant. If it fails half way, it can be called again."""
        with _answering():
            await self._place.clear(tenant_id)

    async def check(self) -> None:
        """For the readiness probe: returns soon when files can be stored, or raises."""
        with _answering():
            async with asyncio.timeout(_CHECK_TIMEOUT):
                await self._place.check()

    @asynccontextmanager
    async def _writing(self, key: BlobKey, limit: int) -> AsyncIterator["AsyncWritableFile"]:
        with _answering():
            await self._place.prepare(key)
            file = obstore.open_writer_async(
                self._place.store(),
                str(key),
                buffer_size=min(max(_PART, -(-limit // _PARTS)), _LARGEST_PART),
                max_concurrency=_PARTS_AT_ONCE,
            )
        try:
            yield file
        except BaseException as failure:
            # The only way that obstore has to give an upload up.
            with suppress(BaseError, OSError):
                await file.__aexit__(type(failure), failure, failure.__traceback__)
            raise
        try:
            with _answering():
                await file.close()
                await self._place.settle(key)
        except BaseException:
            # It may have its name by now, but nobody is told of it.
            with suppress(Unavailable):
                await self.delete(key)
            raise


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        raise away() from error


@contextmanager
def _finding() -> Iterator[None]:
    with _answering():
        try:
            yield
        except FileNotFoundError as error:
            raise BlobNotFound from error
