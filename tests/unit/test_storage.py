"""Stored files: one contract, kept by a local folder and by an S3-compatible store."""

import asyncio
import hashlib
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import boto3
import pytest
from moto.server import ThreadedMotoServer

from maestro_ml.core.errors import Invalid, Unavailable
from maestro_ml.core.ids import new_id
from maestro_ml.core.settings import Settings, Storage
from maestro_ml.storage.blobs import Blobs
from maestro_ml.storage.errors import BlobExists, BlobNotFound, BlobTooLarge
from maestro_ml.storage.keys import BlobKey

LAB, OTHER = new_id(), new_id()
MEBIBYTE = 2**20
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


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> SimpleNamespace:
    if request.param == "folder":
        blobs = Blobs.open(Settings(data=tmp_path / "data"))
        return SimpleNamespace(blobs=blobs, left=Leftovers(folder=tmp_path / "data" / "files"))
    endpoint, bucket = request.getfixturevalue("endpoint"), f"bucket-{new_id()}"
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="id",
        aws_secret_access_key="secret",
    )
    s3.create_bucket(Bucket=bucket)
    blobs = Blobs.open(s3_settings(url=f"s3://{bucket}/some/where", endpoint=endpoint))
    return SimpleNamespace(blobs=blobs, left=Leftovers(s3=s3, bucket=bucket))


@pytest.fixture
def blobs(place: SimpleNamespace) -> Blobs:
    found: Blobs = place.blobs
    return found


@pytest.fixture
def left(place: SimpleNamespace) -> Leftovers:
    found: Leftovers = place.left
    return found


def s3_settings(**storage: Any) -> Settings:
    return Settings(storage=Storage(**{**KEYS, **storage}))


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def many(count: int) -> AsyncIterator[bytes]:
    for number in range(count):
        yield bytes([number]) * MEBIBYTE


async def content(blobs: Blobs, key: BlobKey, **slice: Any) -> bytes:
    return b"".join([chunk async for chunk in blobs.read(key, **slice)])


async def a_blob(blobs: Blobs, *chunks: bytes, tenant: UUID = LAB) -> BlobKey:
    key = BlobKey.new(tenant)
    await blobs.put(key, pieces(*chunks or (b"0123456789",)))
    return key


async def test_a_blob_comes_back_as_it_was_sent(blobs: Blobs) -> None:
    key = BlobKey.new(LAB)
    stored = await blobs.put(key, pieces(b"ab", b"", b"cde"))
    assert (stored.size, stored.sha256) == (5, hashlib.sha256(b"abcde").hexdigest())
    assert await blobs.size(key) == 5
    assert await content(blobs, key) == b"abcde"


async def test_a_blob_of_several_parts_comes_back_as_it_was_sent(blobs: Blobs) -> None:
    key = BlobKey.new(LAB)
    stored = await blobs.put(key, many(20))
    sent = b"".join([chunk async for chunk in many(20)])
    assert (stored.size, stored.sha256) == (20 * MEBIBYTE, hashlib.sha256(sent).hexdigest())
    assert await content(blobs, key) == sent
    assert await content(blobs, key, start=16 * MEBIBYTE - 1, end=16 * MEBIBYTE + 1) == b"\x0f\x10"


async def test_a_large_blob_is_read_in_pieces(blobs: Blobs) -> None:
    key = BlobKey.new(LAB)
    await blobs.put(key, many(20))
    sizes = [len(chunk) async for chunk in blobs.read(key)]
    assert max(sizes) <= 8 * MEBIBYTE


async def test_an_empty_blob_is_a_blob(blobs: Blobs) -> None:
    key = BlobKey.new(LAB)
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
    key = BlobKey.new(LAB)
    await blobs.put(key, pieces())
    assert await content(blobs, key, start=0, end=5) == b""


async def test_what_was_never_stored_is_not_found(blobs: Blobs) -> None:
    await a_blob(blobs)
    missing = BlobKey.new(LAB)
    with pytest.raises(BlobNotFound):
        await blobs.size(missing)
    for slice in ({}, {"start": 3}, {"start": 0, "end": 5}, {"start": 5, "end": 5}):
        with pytest.raises(BlobNotFound):
            await content(blobs, missing, **slice)


async def test_a_store_that_was_never_used_is_empty(blobs: Blobs) -> None:
    with pytest.raises(BlobNotFound):
        await blobs.size(BlobKey.new(LAB))
    await blobs.delete(BlobKey.new(LAB))
    await blobs.delete_tenant(LAB)


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
        await blobs.put(BlobKey.new(LAB), many(count), limit=limit - 1)
    assert refused.value.facts == {"limit": limit - 1}
    assert left.all() == []
    assert (await blobs.put(BlobKey.new(LAB), many(count), limit=limit)).size == limit


async def test_what_is_too_large_is_not_read_to_its_end(blobs: Blobs) -> None:
    source = many(20)
    with pytest.raises(BlobTooLarge):
        await blobs.put(BlobKey.new(LAB), source, limit=2 * MEBIBYTE)
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

    key = BlobKey.new(LAB)
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

    putting = asyncio.create_task(blobs.put(BlobKey.new(LAB), stalling()))
    await sent.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert left.all() == []


async def test_nobody_reads_a_blob_before_it_is_whole(blobs: Blobs) -> None:
    key = BlobKey.new(LAB)

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
    await blobs.delete_tenant(LAB)
    await blobs.delete_tenant(LAB)
    assert left.all() == [str(theirs)]
    assert await content(blobs, theirs) == b"0123456789"
    await a_blob(blobs)


async def test_a_store_that_works_is_ready(blobs: Blobs, left: Leftovers) -> None:
    await blobs.check()
    assert left.all() == []


def test_a_key_is_made_of_identifiers_only() -> None:
    key = BlobKey.new(LAB)
    assert str(key) == f"t/{LAB.hex}/{key.id.hex}"
    assert BlobKey.new(LAB) != key
    with pytest.raises(AttributeError):
        str(BlobKey(LAB, "../../etc/passwd"))  # type: ignore[arg-type]


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


async def test_a_store_that_cannot_be_reached_is_unavailable_soon() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: a closed port that stays closed
        port = taken.getsockname()[1]
        blobs = Blobs.open(s3_settings(url="s3://bucket", endpoint=f"http://127.0.0.1:{port}"))
        key = BlobKey.new(LAB)
        for attempt in (
            blobs.check(),
            blobs.size(key),
            blobs.put(key, pieces(b"x")),
            content(blobs, key),
            content(blobs, key, start=1),
            blobs.delete(key),
            blobs.delete_tenant(LAB),
        ):
            began = time.monotonic()
            with pytest.raises(Unavailable):
                await attempt
            assert time.monotonic() - began < 5


async def test_a_bucket_that_is_missing_is_unavailable(endpoint: str) -> None:
    blobs = Blobs.open(s3_settings(url="s3://nowhere", endpoint=endpoint))
    with pytest.raises(Unavailable):
        await blobs.check()
    with pytest.raises(Unavailable):
        await a_blob(blobs)


async def test_http_is_spoken_only_where_the_endpoint_says_so(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    https = endpoint.replace("http:", "https:")
    blobs = Blobs.open(s3_settings(url="s3://bucket", endpoint=https))
    with pytest.raises(Unavailable) as refused:
        await blobs.check()
    assert "https://" in str(refused.value.__cause__)


def test_the_keys_are_shown_nowhere(endpoint: str) -> None:
    blobs = Blobs.open(s3_settings(url="s3://bucket", endpoint=endpoint, secret_access_key="hush"))
    store: Any = blobs._place.store()
    assert "hush" not in f"{store!r} {store.config} {store.client_options}"


@pytest.mark.parametrize(
    "url",
    [
        *["", "bucket", "s3://", "s3:///prefix", "s3://bucket/../other", "s3://bucket//prefix"],
        *["https://bucket", "s3://id:hush@bucket", "s3://bucket:80", "s3://bucket?x=y"],
        *["s3://b", "s3://bucket\n", "file:///tmp"],
    ],
)
def test_a_url_that_names_no_bucket_is_refused_by_the_settings_name(url: str) -> None:
    with pytest.raises(Invalid, match="MAESTRO_STORAGE__URL") as refused:
        Blobs.open(s3_settings(url=url))
    assert "hush" not in refused.value.detail


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/", "s3://my.bucket-1/a_b/c.d/"])
def test_a_url_that_names_a_bucket_is_taken(url: str) -> None:
    Blobs.open(s3_settings(url=url))


@pytest.mark.parametrize("endpoint", ["", "minio:9000", "ftp://minio", "http://", "http://a:b@c"])
def test_an_endpoint_that_is_no_web_address_is_refused(endpoint: str) -> None:
    with pytest.raises(Invalid, match="MAESTRO_STORAGE__ENDPOINT"):
        Blobs.open(s3_settings(url="s3://bucket", endpoint=endpoint))


def test_settings_that_say_half_are_refused() -> None:
    with pytest.raises(Invalid, match="MAESTRO_STORAGE__URL"):
        Blobs.open(s3_settings(endpoint="https://minio"))
    with pytest.raises(Invalid, match="MAESTRO_STORAGE__SECRET_ACCESS_KEY"):
        Blobs.open(s3_settings(url="s3://bucket", secret_access_key=None))
