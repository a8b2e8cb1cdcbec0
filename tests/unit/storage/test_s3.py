"""The S3-compatible store: out of reach, spoken to safely, and set up by what its settings say."""

import socket
import time
from typing import Any

import pytest

from maestro_ml.core.errors import Invalid, Unavailable
from maestro_ml.storage.blobs import Blobs
from maestro_ml.storage.keys import BlobKey
from support import ACME
from support.blobs import a_blob, content, pieces, s3_settings


async def test_a_store_that_cannot_be_reached_is_unavailable_soon() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: a closed port that stays closed
        port = taken.getsockname()[1]
        blobs = Blobs.open(s3_settings(url="s3://bucket", endpoint=f"http://127.0.0.1:{port}"))
        key = BlobKey.new(ACME)
        for attempt in (
            blobs.check(),
            blobs.size(key),
            blobs.put(key, pieces(b"x")),
            content(blobs, key),
            content(blobs, key, start=1),
            blobs.delete(key),
            blobs.delete_tenant(ACME),
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
    settings = s3_settings(url="s3://bucket", endpoint=endpoint, secret_access_key="hush")
    blobs: Any = Blobs.open(settings)
    store = blobs._place._store
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
