"""The one door to stored files, whether they live in a local folder or in a bucket.

    key = BlobKey.new(tenant_id)
    stored = await blobs.put(key, chunks, limit=2**30)
    async for chunk in blobs.read(key, start=100): ...

A blob is there as a whole or not at all, and never changes. Of a large one some MiB are in memory
at a time; S3 takes 10,000 parts, so say the `limit` of what may be larger than 48 GiB.
"""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterator,
)
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol
from uuid import UUID

from obstore.exceptions import BaseError

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

_AT_ONCE = 2**20  # bytes that are hashed and written together
_CHECK_TIMEOUT = 5


@dataclass(frozen=True, slots=True)
class Stored:
    size: int
    sha256: str


class _Sink(Protocol):
    """`abandon` leaves nothing, even of what is finished, and never fails."""

    async def write(self, data: bytes) -> None: ...
    async def finish(self) -> None: ...
    async def abandon(self) -> None: ...


class _Place(Protocol):
    """Says of a file that is not there what Python says: FileNotFoundError."""

    async def begin(self, key: BlobKey, limit: int) -> _Sink: ...
    async def reader(self, key: BlobKey, start: int, end: int | None) -> AsyncGenerator[bytes]: ...
    async def size(self, key: BlobKey) -> int: ...
    async def delete(self, key: BlobKey) -> None: ...
    async def clear(self, tenant_id: UUID) -> None: ...
    async def count(self, tenant_id: UUID) -> int: ...
    async def check(self) -> None: ...
    async def sign(self, key: BlobKey, seconds: int) -> str | None: ...


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
        with _answering():
            sink = await self._place.begin(key, limit or 0)
        digest, size = sha256(), 0

        async def take(data: bytes) -> None:
            nonlocal size
            size += len(data)
            with _answering():
                await asyncio.gather(asyncio.to_thread(digest.update, data), sink.write(data))

        try:
            async with aclosing(_gathered(chunks, limit)) as gathered:
                await _one_ahead(gathered, take)
            with _answering():
                await sink.finish()
        except BaseException:
            await sink.abandon()
            raise
        return Stored(size, digest.hexdigest())

    async def reader(
        self, key: BlobKey, *, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes]:
        """The bytes from `start` up to but without `end`, as a slice gives them. Read to the end or
        closed, they let go of the file; deleted meanwhile, they still come.

        Raises:
            BlobNotFound: there is no such blob.
        """
        with _finding():
            if end is not None and end <= start:
                await self._place.size(key)
                return _nothing()
            chunks = await self._place.reader(key, start, end)
        return _told(chunks)

    async def read(
        self, key: BlobKey, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """As `reader`, in one step: a missing blob is told with the first chunk.

        Raises:
            BlobNotFound: there is no such blob.
        """
        async with aclosing(await self.reader(key, start=start, end=end)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def size(self, key: BlobKey) -> int:
        """How many bytes the blob has.

        Raises:
            BlobNotFound: there is no such blob.
        """
        with _finding():
            return await self._place.size(key)

    async def signed(self, key: BlobKey, seconds: int) -> str | None:
        """An address where anybody reads the blob for so long; None where the place has none."""
        with _answering():
            return await self._place.sign(key, seconds)

    async def delete(self, key: BlobKey) -> None:
        """Afterwards it is gone, whether or not it was there, and what was begun of it."""
        with _answering():
            await self._place.delete(key)

    async def delete_tenant(self, tenant_id: UUID) -> None:
        """Delete everything of a tenant. If it fails half way, it can be called again."""
        with _answering():
            await self._place.clear(tenant_id)

    async def count(self, tenant_id: UUID) -> int:
        """How many blobs a tenant has."""
        with _answering():
            return await self._place.count(tenant_id)

    async def check(self) -> None:
        """For the readiness probe: returns soon when files can be stored, or raises."""
        with _answering():
            async with asyncio.timeout(_CHECK_TIMEOUT):
                await self._place.check()


async def _one_ahead(
    chunks: AsyncIterable[bytes], take: Callable[[bytes], Coroutine[None, None, None]]
) -> None:
    """Takes one chunk after another, while the next one is on its way."""
    taking: asyncio.Task[None] | None = None
    try:
        async for data in chunks:
            if taking is not None:
                await taking
            taking = asyncio.create_task(take(data))
        if taking is not None:
            await taking
    except BaseException:
        if taking is not None:
            await asyncio.wait({taking})
        raise


async def _gathered(chunks: AsyncIterable[bytes], limit: int | None) -> AsyncGenerator[bytes]:
    """Small chunks as larger ones, up to the limit."""
    held: list[bytes] = []
    n_held = size = 0
    async for chunk in chunks:
        n_held += len(chunk)
        size += len(chunk)
        if limit is not None and size > limit:
            raise BlobTooLarge(limit)
        held.append(chunk)
        if n_held >= _AT_ONCE:
            yield b"".join(held)
            held.clear()
            n_held = 0
    if held:
        yield b"".join(held)


async def _told(chunks: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(chunks):
        while True:
            with _answering():
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            yield chunk


async def _nothing() -> AsyncGenerator[bytes]:
    return
    yield


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
