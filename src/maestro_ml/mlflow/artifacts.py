"""MLflow's calls about files, which it calls artifacts.

A file's address is its root's, as clients are told it, and a path below: `{experiment}/{run}/
artifacts/{path}`, `{experiment}/models/{model}/artifacts/{path}`, or, never written to,
`versions/{version}/artifacts/{path}`.
"""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from maestro_ml.core.schemas import Text
from maestro_ml.core.settings import Settings
from maestro_ml.http import deps
from maestro_ml.http.bodies import arriving, length_of
from maestro_ml.http.downloads import Download, download
from maestro_ml.mlflow import wire_files as wire
from maestro_ml.mlflow.deps import SECRET_HEADER, Adding, Files, Reading, Stepping, Steps
from maestro_ml.mlflow.errors import DownloadUnsigned, MultipartDownloadUnsupported, UploadUnsigned
from maestro_ml.mlflow.wire import ModelId
from maestro_ml.mlflow.wire_files import Kept
from maestro_ml.registry.service import files as kept
from maestro_ml.storage.blobs import Blobs
from maestro_ml.storage.errors import BlobNotFound
from maestro_ml.storage.keys import BlobKey
from maestro_ml.tracking import uploading
from maestro_ml.tracking.errors_files import PathInvalid
from maestro_ml.tracking.paths import sound_path
from maestro_ml.tracking.service import files, logged_models, runs, uploads
from maestro_ml.tracking.service.files import Found, Root
from maestro_ml.tracking.uploading import Incoming

SIGNED_FOR = 900  # seconds: an address that needs no credential lives no longer
tracking = APIRouter()
router = APIRouter()


@router.get("/artifacts")
async def list_below(here: Reading, path: str = "") -> dict[str, Any]:
    root, below = wire.readable(path)
    if isinstance(root, Kept):
        found = await kept.listing(here.work, root.version_id, below)
    else:
        found = await files.listing(here.work, root, below)
    return {"files": [wire.file_message(one, below) for one in found]}


@router.get("/artifacts/{path:path}")
async def fetch(steps: Stepping, blobs: Files, request: Request, path: str) -> Response:
    root, below = wire.readable(path)
    return await _sent(steps, blobs, request, root, below)


@router.put("/artifacts/{path:path}")
async def upload(steps: Stepping, blobs: Files, request: Request, path: str) -> dict[str, Any]:
    if path.endswith("/"):
        raise PathInvalid("it names no file")
    root, below = wire.place_of(path)
    await uploading.store(steps, blobs, root, below, _incoming(request, steps.runtime.settings))
    return {}


@router.delete("/artifacts/{path:path}")
async def delete(steps: Stepping, blobs: Files, path: str) -> dict[str, Any]:
    root, below = wire.place_of(path)
    await uploading.remove(steps, blobs, root, below)
    return {}


@router.get("/presigned/{path:path}")
async def presign(steps: Stepping, blobs: Files, path: str) -> dict[str, Any]:
    root, below = wire.readable(path)
    file, url = await _signed(steps, blobs, root, below, SIGNED_FOR)
    if url is None:
        raise MultipartDownloadUnsupported
    return {"url": url, "headers": {}, "file_size": file.size}


@router.post("/mpu/create/{path:path}")
async def begin_upload(
    steps: Stepping, request: Request, path: str, body: wire.CreateMultipartUpload
) -> dict[str, Any]:
    root, below = wire.place_of(path, body.path)
    async with steps.writing() as work:
        begun = await uploads.begin(work, root, below)
    return wire.upload_message(
        begun, body.num_parts, _parts_url(request, steps.runtime), SECRET_HEADER
    )


@router.put("/mpu/parts/{upload_id}/{number}")
async def upload_part(
    steps: Adding, blobs: Files, request: Request, upload_id: UUID, number: wire.PartNumber
) -> Response:
    incoming = _incoming(request, steps.runtime.settings)
    etag = await uploading.store_part(steps, blobs, upload_id, number, incoming)
    return JSONResponse({}, headers={"ETag": f'"{etag}"'})


@router.post("/mpu/complete/{path:path}")
async def complete_upload(
    steps: Stepping, blobs: Files, path: str, body: wire.CompleteMultipartUpload
) -> dict[str, Any]:
    root, below = wire.place_of(path, body.path)
    await uploading.put_together(
        steps,
        blobs,
        root,
        below,
        upload_id=body.id,
        parts=body.received,
        limit=steps.runtime.settings.storage.max_file_bytes,
    )
    return {}


@router.post("/mpu/abort/{path:path}")
async def abort_upload(
    steps: Stepping, blobs: Files, path: str, body: wire.OfUpload
) -> dict[str, Any]:
    root, below = wire.place_of(path, body.path)
    await uploading.abort(steps, blobs, root, below, body.id)
    return {}


@tracking.get("/artifacts/list")
async def list_of_run(
    here: Reading, query: Annotated[wire.ListArtifacts, Query()]
) -> dict[str, Any]:
    run = (await runs.get(here.work, query.id)).run
    found = await files.listing(here.work, Root(run_id=run.id), sound_path(query.path))
    return {"root_uri": run.artifact_uri, "files": [wire.file_message(one) for one in found]}


@tracking.get("/logged-models/{model_id}/artifacts/directories")
async def list_of_model(
    here: Reading, model_id: ModelId, artifact_directory_path: Text = ""
) -> dict[str, Any]:
    model = (await logged_models.get(here.work, model_id)).model
    root, folder = Root(model_id=model.id), sound_path(artifact_directory_path)
    found = await files.listing(here.work, root, folder)
    return {"root_uri": model.artifact_uri, "files": [wire.file_message(one) for one in found]}


@tracking.post("/artifacts/presigned-download-url")
async def presign_of_run(
    steps: Stepping, blobs: Files, body: wire.PresignDownload
) -> dict[str, Any]:
    seconds = min(body.expiration, SIGNED_FOR)
    root, path = Root(run_id=body.id), sound_path(body.path)
    file, url = await _signed(steps, blobs, root, path, seconds)
    if url is None:
        raise DownloadUnsigned
    return {"presigned_url": url, "headers": {}, "file_size": file.size}


@tracking.post("/artifacts/presigned-upload-url")
async def presign_upload(here: Reading, body: wire.PresignUpload) -> None:
    await files.check_writable(here.work, body.root, sound_path(body.path))
    raise UploadUnsigned


async def _sent(
    steps: Steps, blobs: Blobs, request: Request, root: Root | Kept, path: str
) -> Response:
    try:
        return await _as_it_is(steps, blobs, request, await _found(steps, root, path))
    except BlobNotFound:  # it was replaced in between, or deleted
        return await _as_it_is(steps, blobs, request, await _found(steps, root, path))


async def _as_it_is(steps: Steps, blobs: Blobs, request: Request, file: Found) -> Response:
    key = BlobKey(steps.tenant_id, file.blob_id)
    told = Download(file.name, file.size, file.sha256, file.changed_at)
    return await download(request, told, lambda start, end: blobs.reader(key, start=start, end=end))


async def _signed(
    steps: Steps, blobs: Blobs, root: Root | Kept, path: str, seconds: int
) -> tuple[Found, str | None]:
    file = await _found(steps, root, path)
    return file, await blobs.signed(BlobKey(steps.tenant_id, file.blob_id), seconds)


async def _found(steps: Steps, root: Root | Kept, path: str) -> Found:
    async with steps.reading() as work:
        if isinstance(root, Kept):
            return await kept.find(work, root.version_id, path)
        return await files.find(work, root, path)


def _incoming(request: Request, settings: Settings) -> Incoming:
    return Incoming(arriving(request), length_of(request), settings.storage.max_file_bytes)


def _parts_url(request: Request, runtime: deps.Runtime) -> str:
    """Where people find the server; where nobody has said, where this caller, to whom alone it
    is told, has found it."""
    url = runtime.settings.server.public_url or str(request.base_url)
    return f"{url.rstrip('/')}/api/2.0/mlflow-artifacts/mpu/parts"
