"""Multipart uploads: parts by whoever has the secret, put together by whoever may write."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx2
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import update

from maestro_ml.core.clock import utc_now
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.storage.blobs import Blobs
from maestro_ml.tenancy.models import Tenant, TenantStatus
from maestro_ml.tracking.models import Upload
from support.blobs import s3_settings
from support.files import RunFiles, allow, counted, run_files, stored
from support.wire import Wire
from support.world import ACME

HEADER = "X-Maestro-Upload"


class Parts:
    """One upload, as its client goes about it."""

    def __init__(self, files: RunFiles, path: str, begun: dict[str, Any]) -> None:
        self.files, self.path, self.id = files, path, begun["upload_id"]
        self.credentials = begun["credentials"]

    async def send(self, number: int, content: bytes, **headers: str) -> httpx2.Response:
        """As the client does: with nothing but what it was told."""
        told = self.credentials[number - 1]
        assert told["part_number"] == number
        return await self.files.wire.http.put(
            told["url"], content=content, headers=told["headers"] | headers
        )

    async def etag(self, number: int, content: bytes) -> dict[str, Any]:
        answer = await self.send(number, content)
        assert answer.status_code == 200, answer.text
        return {"part_number": number, "etag": answer.headers["etag"], "url": "x"}

    async def __call__(self, verb: str, parts: Any = None, **more: Any) -> httpx2.Response:
        body = {"path": f"/home/ada/{self.path}", "upload_id": self.id, "parts": parts}
        return await self.files("POST", "", call=f"mpu/{verb}", json=body, **more)


async def begun(files: RunFiles, path: str = "large", count: int = 2) -> Parts:
    body = {"path": f"C:\\ada\\{path}", "num_parts": count}
    answer = await files("POST", "", call="mpu/create", json=body)
    assert answer.status_code == 200, answer.text
    return Parts(files, path, answer.json())


async def test_parts_become_one_file(wire: Wire, sessions: Sessions, tmp_path: Path) -> None:
    files = await run_files(wire)
    await allow(sessions, 22)
    await files.put("large", b"before")
    parts = await begun(files)
    second = await parts.etag(2, b"world")
    assert second["etag"].startswith('"')
    assert await counted(sessions) == 6 + 5
    assert (await parts("abort")).json() == {}
    assert (await counted(sessions), await files.get("large")) == (6, b"before")
    parts = await begun(files)
    named = [await parts.etag(1, b"hello "), await parts.etag(2, b"there")]
    named[1] = await parts.etag(2, b"world")
    assert await counted(sessions) == 6 + 11
    answer = await parts("complete", named)
    assert (answer.status_code, answer.json()) == (200, {})
    assert await files.get("large") == b"hello world"
    assert (await counted(sessions), len(stored(tmp_path))) == (11, 1)
    assert (await parts("complete", named)).status_code == 404
    assert (await parts.send(1, b"late")).status_code == 404


@pytest.mark.rows(60)
async def test_only_who_has_the_secret_sends_parts(wire: Wire, sessions: Sessions) -> None:
    files = await run_files(wire)
    parts = await begun(files)
    for secret in ("", "x", "0" * 64):
        answer = await parts.send(1, b"x", **{HEADER: secret})
        assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    other = parts.credentials[0]["url"].replace(parts.id, new_id().hex)
    known = {HEADER: parts.credentials[0]["headers"][HEADER]}
    answer = await wire.http.put(other, content=b"x", headers=known)
    assert answer.status_code == 404
    for number in ("0", "10001", "x", "-1"):
        url = parts.credentials[0]["url"].rpartition("/")[0]
        answer = await wire.http.put(f"{url}/{number}", content=b"x", headers=known)
        assert answer.status_code == 400, answer.text
    assert (await parts.send(1, b"x")).status_code == 200
    assert (await parts("complete", [{"part_number": 1}], as_="viewer")).status_code in {400, 403}
    async with sessions.begin(SYSTEM) as session:
        suspended = update(Tenant).where(Tenant.id == ACME)
        await session.execute(suspended.values(status=TenantStatus.SUSPENDED))
    assert (await parts.send(1, b"x")).status_code == 404
    assert await counted(sessions) == 1


async def test_an_upload_expires(wire: Wire, sessions: Sessions) -> None:
    files = await run_files(wire)
    parts = await begun(files)
    named = [await parts.etag(1, b"x")]
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(Upload).values(expires_at=utc_now() - timedelta(seconds=1)))
    assert (await parts.send(2, b"x")).status_code == 404
    for verb in ("complete", "abort"):
        assert (await parts(verb, named)).status_code == 404
    assert await files.names() == []


async def test_parts_that_are_not_what_was_received_make_no_file(
    wire: Wire, sessions: Sessions
) -> None:
    files = await run_files(wire)
    await allow(sessions, 10)
    parts = await begun(files, count=3)
    one, two = await parts.etag(1, b"12345"), await parts.etag(2, b"12345")
    over = await parts.send(3, b"x")
    assert (over.status_code, over.json()["error_code"]) == (409, "RESOURCE_CONFLICT")
    other = {**two, "etag": one["etag"][:-2] + 'x"'}
    for named in ([one], [two, one], [one, other], [one, two, two], [], [{"part_number": 0}], "x"):
        answer = await parts("complete", named)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    elsewhere = Parts(files, "other", {"upload_id": parts.id, "credentials": []})
    for verb in ("complete", "abort"):
        assert (await elsewhere(verb, [one, two])).status_code == 404
    assert await files.names() == []
    assert (await parts("abort")).status_code == 200
    assert await counted(sessions) == 0


async def test_an_upload_that_cannot_be_is_not_begun(wire: Wire) -> None:
    files = await run_files(wire)
    await files.put("a", b"x")
    for body in (
        *({"num_parts": 1}, {"path": "x", "num_parts": 0}, {"path": "x", "num_parts": 10_001}),
        *({"path": "..", "num_parts": 1}, {"path": "dir/", "num_parts": 1}, {"path": "\x00"}),
    ):
        answer = await files("POST", "", call="mpu/create", json=body)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    answer = await files("POST", "a", call="mpu/create", json={"path": "b", "num_parts": 1})
    assert answer.status_code == 409
    await wire.ok("POST", "runs/delete", {"run_id": files.run})
    answer = await files("POST", "", call="mpu/create", json={"path": "b", "num_parts": 1})
    assert answer.status_code == 400


@pytest.fixture
def bucket() -> Iterator[Blobs]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="id",
        aws_secret_access_key="secret",
    )
    s3.create_bucket(Bucket="models")
    yield Blobs.open(s3_settings(url="s3://models/here", endpoint=endpoint))
    server.stop()


@pytest.mark.rows(60)
async def test_a_bucket_is_read_by_a_signed_address(
    wire: Wire, sessions: Sessions, bucket: Blobs
) -> None:
    app = wire.http._transport.app  # type: ignore[attr-defined]
    while not hasattr(app, "state"):
        app = app.app
    app.state.blobs = bucket
    files = await run_files(wire)
    await files.put("a b", b"0123456789")
    parts = await begun(files)
    named = [await parts.etag(1, b"x" * 6_000_000), await parts.etag(2, b"y")]
    assert (await parts("complete", named)).status_code == 200
    part = await files("GET", "large", headers={"Range": "bytes=5999999-"})
    assert (part.status_code, part.content) == (206, b"xy")
    told = (await files("GET", "a b", call="presigned")).json()
    assert (told["file_size"], told["headers"]) == (10, {})
    message = {"run_id": files.run, "path": "a b", "expiration": 604_800}
    also = await wire.ok("POST", "artifacts/presigned-download-url", message)
    async with httpx2.AsyncClient() as http:
        for url in (told["url"], also["presigned_url"]):
            assert "X-Amz-Expires=900" in url
            answer = await http.get(url, headers={"Range": "bytes=2-4"})
            assert (answer.status_code, answer.content) == (206, b"234")
    assert "not supported" in await wire.invalid("artifacts/presigned-upload-url", message)
    await files("DELETE", "")
    assert (await counted(sessions), await bucket.count(ACME)) == (0, 0)
