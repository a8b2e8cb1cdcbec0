"""Blobs in a bucket of an S3-compatible store.

Without access keys in the settings, the machine's own are used: `AWS_*` variables, a web identity
or the instance's role. A server that is killed in the middle of an upload leaves its parts in the
bucket, unseen; a lifecycle rule for incomplete uploads takes them away.
"""

import re
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import UUID

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store
from pydantic import SecretStr

from maestro_ml.core.settings_groups import Storage
from maestro_ml.storage.errors import StorageSettingsInvalid
from maestro_ml.storage.keys import BlobKey, prefix_of

if TYPE_CHECKING:
    from obstore import BytesStream, GetOptions
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Credential

_SEGMENT = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
_URL = re.compile(
    rf"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9])(/(?P<prefix>{_SEGMENT}(/{_SEGMENT})*))?/?"
)
_PAGE = 1000
_CHUNK = 2**20
# The least that S3 takes for a part: three of them are in memory.
_PART, _LARGEST_PART = 5 * 2**20, 5 * 2**30
_PARTS = 10_000
_PARTS_AT_ONCE = 2


class Bucket:
    def __init__(self, store: S3Store) -> None:
        self._store = store

    @classmethod
    def open(cls, settings: Storage, url: str) -> "Bucket":
        place = _URL.fullmatch(url)
        if place is None:
            raise StorageSettingsInvalid(
                "MAESTRO_STORAGE__URL must look like s3://bucket or s3://bucket/prefix."
            )
        config: S3Config = {"region": settings.region, "skip_signature": False}
        if settings.endpoint is not None:
            # Both names, or AWS_ENDPOINT_URL_S3 in the environment would win.
            config["endpoint"] = config["aws_endpoint_url_s3"] = settings.endpoint
            config["virtual_hosted_style_request"] = False
        client: ClientConfig = {
            "allow_http": _is_plain(settings.endpoint),
            "allow_invalid_certificates": False,
            "connect_timeout": timedelta(seconds=3),
            # A silence ends a request, never the time that a large file takes.
            "read_timeout": timedelta(seconds=60),
            "timeout": timedelta(days=7),
        }
        retry: RetryConfig = {"max_retries": 3}
        store = S3Store(
            place["bucket"],
            prefix=place["prefix"],
            config=config,
            client_options=client,
            retry_config=retry,
            credential_provider=_keys_of(settings),
        )
        return cls(store)

    async def begin(self, key: BlobKey, limit: int) -> "_Object":
        return _Object(self._store, str(key), limit)

    async def reader(self, key: BlobKey, start: int, end: int | None) -> AsyncGenerator[bytes]:
        options: GetOptions = {}
        if end is not None:
            options["range"] = (start, end)
        elif start:
            options["range"] = {"offset": start}
        try:
            found = await self._store.get_async(str(key), options=options)
        except BaseError:
            # obstore has no name of its own for a range that lies behind the end.
            if options and start >= await self.size(key):
                return _nothing()
            raise
        return _all(found.stream(_CHUNK))

    async def size(self, key: BlobKey) -> int:
        return (await self._store.head_async(str(key)))["size"]

    async def delete(self, key: BlobKey) -> None:
        with suppress(FileNotFoundError):
            await self._store.delete_async(str(key))

    async def clear(self, tenant_id: UUID) -> None:
        async for page in self._store.list(prefix_of(tenant_id), chunk_size=_PAGE):
            await self._store.delete_async([found["path"] for found in page])

    async def count(self, tenant_id: UUID) -> int:
        found = 0
        async for page in self._store.list(prefix_of(tenant_id)):
            found += len(page)
        return found

    async def sign(self, key: BlobKey, seconds: int) -> str | None:
        return await obstore.sign_async(
            self._store, "GET", str(key), expires_in=timedelta(seconds=seconds)
        )

    async def check(self) -> None:
        # A list, because looking at one object does not tell that the bucket is missing.
        await self._store.list("check").collect_async()


class _Object:
    def __init__(self, store: S3Store, name: str, limit: int) -> None:
        self._store, self._name = store, name
        self._file = obstore.open_writer_async(
            store,
            name,
            buffer_size=min(max(_PART, -(-limit // _PARTS)), _LARGEST_PART),
            max_concurrency=_PARTS_AT_ONCE,
        )
        self._finished = False

    async def write(self, data: bytes) -> None:
        await self._file.write(data)

    async def finish(self) -> None:
        self._finished = True
        await self._file.close()

    async def abandon(self) -> None:
        with suppress(BaseError, OSError):
            if self._finished:  # it may be there by now, but nobody is told of it
                await self._store.delete_async(self._name)
            else:  # the only way that obstore has to give an upload up
                failure = ConnectionAbortedError()
                await self._file.__aexit__(type(failure), failure, None)


async def _all(stream: "BytesStream") -> AsyncGenerator[bytes]:
    async for chunk in stream:
        yield bytes(chunk)


async def _nothing() -> AsyncGenerator[bytes]:
    return
    yield


class _Keys:
    """Handed over when they are needed, so that they are no part of what the store shows."""

    def __init__(self, id: SecretStr, secret: SecretStr) -> None:
        self._id, self._secret = id, secret

    def __call__(self) -> "S3Credential":
        return {
            "access_key_id": self._id.get_secret_value(),
            "secret_access_key": self._secret.get_secret_value(),
            "token": None,
            "expires_at": None,
        }


def _keys_of(settings: Storage) -> _Keys | None:
    id, secret = settings.access_key_id, settings.secret_access_key
    if id is not None and secret is not None:
        return _Keys(id, secret)
    if id is not None or secret is not None:
        raise StorageSettingsInvalid(
            "MAESTRO_STORAGE__ACCESS_KEY_ID and MAESTRO_STORAGE__SECRET_ACCESS_KEY go together: "
            "set both or neither."
        )
    return None


def _is_plain(endpoint: str | None) -> bool:
    """Whether the operator has written `http://`, which alone turns TLS off."""
    if endpoint is None:
        return False
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise StorageSettingsInvalid(
            "MAESTRO_STORAGE__ENDPOINT must be a URL such as https://s3.example.com, without a "
            "user name or password."
        )
    return parts.scheme == "http"
