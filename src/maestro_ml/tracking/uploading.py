"""How a file's bytes come in: reserve, receive, settle.

Each step is a short unit of work, and the bytes travel between them. Whatever ends an upload early
leaves nothing; what a server leaves behind that dies is swept away when its lease has run out.
"""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

from maestro_ml.core.errors import MaestroError, QuotaExceeded, Unavailable
from maestro_ml.db.work import Work
from maestro_ml.storage.blobs import Blobs, Stored
from maestro_ml.storage.errors import BlobTooLarge
from maestro_ml.storage.keys import BlobKey
from maestro_ml.tenancy.service import storage
from maestro_ml.tracking.ports import Steps
from maestro_ml.tracking.service import files, uploads
from maestro_ml.tracking.service.files import Root
from maestro_ml.tracking.service.uploads import Part

FIRST, MOST_MORE = 2**20, 64 * 2**20  # bytes reserved at a time where nobody says how many come
SIGN_OF_LIFE = storage.LEASE.total_seconds() / 4
DELETED_AT_ONCE = 1_000  # blobs; the rest is swept


@dataclass(frozen=True, slots=True)
class Incoming:
    """Bytes on their way. `length` is how many there will be, if somebody has said so."""

    chunks: AsyncIterable[bytes]
    length: int | None
    limit: int


async def store(steps: Steps, blobs: Blobs, root: Root, path: str, incoming: Incoming) -> None:
    """Keep a file, in place of the one that has the path.

    Raises:
        RunNotFound, RunDeleted, PathInvalid, PathTaken: there is no place for it.
        QuotaExceeded, BlobTooLarge: it is more than there may be.
        UploadLost: it was given up.
    """

    async def check(work: Work) -> object:
        return await files.check_writable(work, root, path)

    async with (
        _received(steps, blobs, incoming, check) as (id, stored),
        steps.writing() as work,
    ):
        loose = await files.put(work, root, path, id, stored)
    await discard(steps, blobs, loose)


async def store_part(
    steps: Steps, blobs: Blobs, upload_id: UUID, number: int, incoming: Incoming
) -> str:
    """Keep a part of an upload, in place of the one of that number. Gives its ETag.

    Raises:
        QuotaExceeded, BlobTooLarge, UploadLost: as `store`.
        UploadNotFound: the upload has ended, or the caller may not write there any more.
    """

    async def check(work: Work) -> object:
        return await uploads.receiving(work, upload_id)

    async with (
        _received(steps, blobs, incoming, check) as (id, stored),
        steps.writing() as work,
    ):
        loose = await uploads.attach(work, upload_id, number, id, stored)
    await discard(steps, blobs, loose)
    return stored.sha256


async def put_together(
    steps: Steps,
    blobs: Blobs,
    root: Root,
    path: str,
    *,
    upload_id: UUID,
    parts: Sequence[Part],
    limit: int,
) -> None:
    """Make the parts of an upload a file. They have been counted, so it counts no more.

    Raises:
        UploadNotFound, PartsUnsound: there is nothing to put together.
        RunNotFound, RunDeleted, PathTaken, BlobTooLarge, UploadLost: as `store`.
    """
    async with steps.reading() as work:
        found = await uploads.parts(work, root, path, upload_id, parts)
    size = sum(part for _, part in found)
    if size > limit:
        raise BlobTooLarge(limit)

    async def chunks() -> AsyncIterator[bytes]:
        for id, _ in found:
            async for chunk in blobs.read(BlobKey(steps.tenant_id, id)):
                yield chunk

    async def check(work: Work) -> object:
        return await files.check_writable(work, root, path)

    whole = Incoming(chunks(), size, limit)
    async with (
        _received(steps, blobs, whole, check, counted=True) as (id, stored),
        steps.writing() as work,
    ):
        ended = await uploads.end(work, root, path, upload_id)
        loose = await files.put(work, root, path, id, stored, parts=ended)
    await discard(steps, blobs, loose)


async def abort(steps: Steps, blobs: Blobs, root: Root, path: str, upload_id: UUID) -> None:
    """Give an upload up, with the parts that have come.

    Raises:
        UploadNotFound: there is none of that id for that path.
    """
    async with steps.writing() as work:
        loose = await storage.expire(work, await uploads.end(work, root, path, upload_id))
    await discard(steps, blobs, loose)


async def remove(steps: Steps, blobs: Blobs, root: Root, path: str) -> None:
    """Delete a file, or a folder with all that is in it.

    Raises:
        RunNotFound, RunDeleted: there is nothing to delete from.
    """
    async with steps.writing() as work:
        loose = await files.remove(work, root, path)
    await discard(steps, blobs, loose)


async def discard(steps: Steps, blobs: Blobs, ids: Sequence[UUID]) -> None:
    """Delete loose blobs and count them no longer. What cannot be deleted now is swept later."""
    with suppress(Unavailable):
        these = ids[:DELETED_AT_ONCE]
        for id in these:
            await blobs.delete(BlobKey(steps.tenant_id, id))
        if these:
            async with steps.tidying() as work:
                await storage.give_back(work, these)


@asynccontextmanager
async def _received(
    steps: Steps,
    blobs: Blobs,
    incoming: Incoming,
    check: Callable[[Work], Awaitable[object]],
    *,
    counted: bool = False,
) -> AsyncIterator[tuple[UUID, Stored]]:
    """A blob that came whole, for the block to settle. If that fails, nothing is left of it."""
    if incoming.length is not None and incoming.length > incoming.limit:
        raise BlobTooLarge(incoming.limit)
    first = 0 if counted else FIRST if incoming.length is None else incoming.length
    async with steps.counting() as work:
        await check(work)
        reserved = _Reserved(steps, await storage.reserve(work, first), first, counted=counted)
    key = BlobKey(steps.tenant_id, reserved.id)
    try:
        stored = await blobs.put(key, reserved.covering(incoming.chunks), limit=incoming.limit)
        await reserved.fit(stored.size)
        yield reserved.id, stored
    except BaseException:
        await asyncio.shield(_give_up(steps, blobs, reserved.id))
        raise


async def _give_up(steps: Steps, blobs: Blobs, id: UUID) -> None:
    with suppress(MaestroError):
        async with steps.tidying() as work:
            loose = await storage.expire(work, [id])  # not if it was settled after all
        await discard(steps, blobs, loose)


class _Reserved:
    """What an upload counts against its tenant's limit, and its signs of life."""

    def __init__(self, steps: Steps, id: UUID, size: int, *, counted: bool) -> None:
        self.id = id
        self._steps, self._size, self._counted = steps, size, counted
        self._told = time.monotonic()

    async def covering(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """The chunks, each counted before it is passed on."""
        come = 0
        async for chunk in chunks:
            come += len(chunk)
            if come > self._size and not self._counted:
                await self._grow(come - self._size)
            elif time.monotonic() - self._told > SIGN_OF_LIFE:
                await self._extend(0)
            yield chunk

    async def fit(self, size: int) -> None:
        """Give back what was not needed."""
        if not self._counted and size != self._size:
            await self._extend(size - self._size)

    async def _grow(self, least: int) -> None:
        try:
            await self._extend(max(least, min(self._size, MOST_MORE)))
        except QuotaExceeded:
            await self._extend(least)

    async def _extend(self, more: int) -> None:
        async with self._steps.counting() as work:
            await storage.extend(work, self.id, more)
        self._size += more
        self._told = time.monotonic()
