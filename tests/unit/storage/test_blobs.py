"""Stored files: one contract, kept by a local folder and by an S3-compatible store."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest

from maestro_ml.storage.blobs import Blobs
from maestro_ml.storage.errors import BlobExists, BlobNotFound, BlobTooLarge
from maestro_ml.storage.keys import BlobKey
from support import ACME, OTHER
from support.blobs import Leftovers, a_blob, content, pieces

MEBIBYTE = 2**20


async def many(count: int) -> AsyncIterator[bytes]:
    for number in range(count):
        yield bytes([number]) * MEBIBYTE


async def test_a_blob_comes_back_as_it_was_sent(blobs: Blobs) -> None:
    key = BlobKey.new(ACME)
    stored = await blobs.put(key, pieces(b"ab", b"", b"cde"))
    assert (stored.size, stored.sha256) == (5, hashlib.sha256(b"abcde").hexdigest())
    assert await blobs.size(key) == 5
    assert await content(blobs, key) == b"abcde"


async def test_a_blob_of_several_parts_comes_back_as_it_was_sent(blobs: Blobs) -> None:
    key = BlobKey.new(ACME)
    stored = await blobs.put(key, many(20))
    sent = b"".join([chunk async for chunk in many(20)])
    assert (stored.size, stored.sha256) == (20 * MEBIBYTE, hashlib.sha256(sent).hexdigest())
    assert await content(blobs, key) == sent
    assert await content(blobs, key, start=16 * MEBIBYTE - 1, end=16 * MEBIBYTE + 1) == b"\x0f\x10"


async def test_a_large_blob_is_read_in_pieces(blobs: Blobs) -> None:
    key = BlobKey.new(ACME)
    await blobs.put(key, many(20))
    sizes = [len(chunk) async for chunk in blobs.read(key)]
    assert max(sizes) <= 8 * MEBIBYTE


async def test_an_empty_blob_is_a_blob(blobs: Blobs) -> None:
    key = BlobKey.new(ACME)
    stored = await blobs.put(key, pieces())
    assert (stored.size, stored.sha256) == (0, hashlib.sha256(b"").hexdigest())
    assert await blobs.size(key) == 0
    assert await content(blobs, key) == b""


@pytest.mark.parametrize(
    ("start", "end"),
    [
        *[(0, None), (3, None), (3, 7), (0, 1), (7, 99), (9, 10)],
        *[(10, None), (10, 12), (99, None), (5, 5), (7, 3), (0, 0)],
    ],
)
async def test_a_range_is_what_a_slice_would_be(blobs: Blobs, start: int, end: int | None) -> None:
    key = await a_blob(blobs, b"0123456789")
    assert await content(blobs, key, start=start, end=end) == b"0123456789"[start:end]


async def test_a_range_of_an_empty_blob_is_empty(blobs: Blobs) -> None:
    key = BlobKey.new(ACME)
    await blobs.put(key, pieces())
    assert await content(blobs, key, start=0, end=5) == b""


async def test_what_was_never_stored_is_not_found(blobs: Blobs) -> None:
    await a_blob(blobs)
    missing = BlobKey.new(ACME)
    with pytest.raises(BlobNotFound):
        await blobs.size(missing)
    for slice in ({}, {"start": 3}, {"start": 0, "end": 5}, {"start": 5, "end": 5}):
        with pytest.raises(BlobNotFound):
            await content(blobs, missing, **slice)


async def test_a_store_that_was_never_used_is_empty(blobs: Blobs) -> None:
    with pytest.raises(BlobNotFound):
        await blobs.size(BlobKey.new(ACME))
    await blobs.delete(BlobKey.new(ACME))
    await blobs.delete_tenant(ACME)


async def test_a_deleted_blob_is_gone(blobs: Blobs, left: Leftovers) -> None:
    key, kept = await a_blob(blobs), await a_blob(blobs)
    await blobs.delete(key)
    await blobs.delete(key)
    with pytest.raises(BlobNotFound):
        await content(blobs, key)
    assert left.all() == [str(kept)]


@pytest.mark.parametrize("count", [1, 20], ids=["one part", "several parts"])
async def test_one_byte_too_many_leaves_nothing(blobs: Blobs, left: Leftovers, count: int) -> None:
    limit = count * MEBIBYTE
    with pytest.raises(BlobTooLarge) as refused:
        await blobs.put(BlobKey.new(ACME), many(count), limit=limit - 1)
    assert refused.value.facts == {"limit": limit - 1}
    assert left.all() == []
    assert (await blobs.put(BlobKey.new(ACME), many(count), limit=limit)).size == limit


async def test_what_is_too_large_is_not_read_to_its_end(blobs: Blobs) -> None:
    source = many(20)
    with pytest.raises(BlobTooLarge):
        await blobs.put(BlobKey.new(ACME), source, limit=2 * MEBIBYTE)
    assert (await anext(source))[0] == 3


@pytest.mark.parametrize("count", [1, 20], ids=["one part", "several parts"])
@pytest.mark.parametrize("failure", [ConnectionResetError, ZeroDivisionError])
async def test_a_source_that_fails_leaves_nothing(
    blobs: Blobs, left: Leftovers, count: int, failure: type[Exception]
) -> None:
    async def failing() -> AsyncIterator[bytes]:
        async for chunk in many(count):
            yield chunk
        raise failure

    key = BlobKey.new(ACME)
    with pytest.raises(failure):
        await blobs.put(key, failing())
    assert left.all() == []
    await blobs.put(key, pieces(b"again"))
    assert await content(blobs, key) == b"again"


async def test_a_sender_who_goes_away_leaves_nothing(blobs: Blobs, left: Leftovers) -> None:
    sent = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        async for chunk in many(20):
            yield chunk
        sent.set()
        await asyncio.sleep(60)

    putting = asyncio.create_task(blobs.put(BlobKey.new(ACME), stalling()))
    await sent.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert left.all() == []


async def test_nobody_reads_a_blob_before_it_is_whole(blobs: Blobs) -> None:
    key = BlobKey.new(ACME)

    async def watched() -> AsyncIterator[bytes]:
        async for chunk in many(20):
            yield chunk
        with pytest.raises(BlobNotFound):
            await blobs.size(key)

    await blobs.put(key, watched())
    assert await blobs.size(key) == 20 * MEBIBYTE


async def test_a_stored_blob_is_never_overwritten(blobs: Blobs) -> None:
    key = await a_blob(blobs, b"first")
    with pytest.raises(BlobExists):
        await blobs.put(key, pieces(b"second"))
    assert await content(blobs, key) == b"first"


async def test_deleting_a_tenant_leaves_the_other_alone(blobs: Blobs, left: Leftovers) -> None:
    for _ in range(3):
        await a_blob(blobs)
    theirs = await a_blob(blobs, tenant=OTHER)
    await blobs.delete_tenant(ACME)
    await blobs.delete_tenant(ACME)
    assert left.all() == [str(theirs)]
    assert await content(blobs, theirs) == b"0123456789"
    await a_blob(blobs)


async def test_a_store_that_works_is_ready(blobs: Blobs, left: Leftovers) -> None:
    await blobs.check()
    assert left.all() == []


def test_a_key_is_made_of_identifiers_only() -> None:
    key = BlobKey.new(ACME)
    assert str(key) == f"t/{ACME.hex}/{key.id.hex}"
    assert BlobKey.new(ACME) != key
    with pytest.raises(AttributeError):
        str(BlobKey(ACME, "../../etc/passwd"))  # type: ignore[arg-type]
