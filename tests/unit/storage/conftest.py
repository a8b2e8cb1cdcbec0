"""Both places that keep blobs: a local folder and a bucket of an S3-compatible server."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from moto.server import ThreadedMotoServer

from maestro_ml.core.ids import new_id
from maestro_ml.core.settings import Settings
from maestro_ml.storage.blobs import Blobs
from support.blobs import Leftovers, s3_settings


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
