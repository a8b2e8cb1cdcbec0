"""Multipart uploads: a file that comes in parts, each by whoever has the upload's secret.

The secret names the session or API key that began the upload, and may no more than that one still
may: `known` says whose it is, and everything else happens in their name.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from secrets import token_hex
from uuid import UUID

from sqlalchemy import select, update

from maestro_ml.core.access import SYSTEM_ACTOR, Permission
from maestro_ml.db.work import SystemWork, Work
from maestro_ml.storage.blobs import Stored
from maestro_ml.storage.models import LooseBlob
from maestro_ml.tenancy.models import Tenant, TenantStatus
from maestro_ml.tenancy.service import storage
from maestro_ml.tracking.errors_files import PartsUnsound, UploadNotFound
from maestro_ml.tracking.models import Upload
from maestro_ml.tracking.paths import split
from maestro_ml.tracking.service import files
from maestro_ml.tracking.service.files import Root

OPEN_FOR = timedelta(hours=24)
KEPT_ON = timedelta(hours=24)  # parts, for an upload that is being put together as it ends
MAX_PARTS = 10_000
_ID_LENGTH = 32  # as a secret ends with it


@dataclass(frozen=True, slots=True)
class Begun:
    id: UUID
    secret: str


@dataclass(frozen=True, slots=True)
class Known:
    """Where an upload is, and the session or API key that it was begun with."""

    tenant_id: UUID
    credential_id: UUID


@dataclass(frozen=True, slots=True)
class Part:
    """As the client says that it was received."""

    number: int
    etag: str


async def begin(work: Work, root: Root, path: str) -> Begun:
    """Open an upload for a day.

    Raises:
        RunNotFound, RunDeleted, PathInvalid, PathTaken: there is no place for the file.
    """
    project_id = await files.check_writable(work, root, path)
    work.require(Permission.RUN_WRITE, project_id)
    folder, name = split(path)
    secret = f"{token_hex(32)}{(work.access.credential_id or SYSTEM_ACTOR).hex}"
    upload = Upload(
        run_id=root.run_id,
        model_id=root.model_id,
        project_id=project_id,
        folder=folder,
        name=name,
        created_by=work.access.actor_id,
        secret_hash=_hash(secret),
        expires_at=work.now + OPEN_FOR,
        created_at=work.now,
    )
    work.session.add(upload)
    await work.session.flush()
    return Begun(upload.id, secret)


async def known(work: SystemWork, id: UUID, secret: str) -> Known:
    """The upload that somebody has the secret of.

    Raises:
        UploadNotFound: there is none, or the secret is another one's.
    """
    query = select(Upload).join(Tenant, Tenant.id == Upload.tenant_id)
    active = Tenant.status == TenantStatus.ACTIVE
    upload = await work.session.scalar(query.where(Upload.id == id, active))
    known = upload.secret_hash if upload else b""
    if not hmac.compare_digest(known, _hash(secret)) or upload is None:
        raise UploadNotFound
    if upload.expires_at <= work.now:
        raise UploadNotFound
    return Known(upload.tenant_id, UUID(secret[-_ID_LENGTH:]))


async def receiving(work: Work, id: UUID, *, held: bool = False) -> Upload:
    """An upload that the caller may add to.

    Raises:
        UploadNotFound: it has ended, or they may not write there any more.
    """
    upload = await work.session.get(Upload, id, with_for_update=held)
    if upload is None or upload.expires_at <= work.now:
        raise UploadNotFound
    if not work.allows(Permission.RUN_WRITE, upload.project_id):
        raise UploadNotFound
    return upload


async def attach(work: Work, id: UUID, number: int, blob_id: UUID, stored: Stored) -> list[UUID]:
    """Make a blob that came whole a part of an upload. Gives the part that it replaces, if any.

    Raises:
        UploadNotFound: as `receiving`.
    """
    upload = await receiving(work, id, held=True)
    work.require(Permission.RUN_WRITE, upload.project_id)
    same = select(LooseBlob.id).where(LooseBlob.upload_id == id, LooseBlob.part == number)
    replaced = list(await work.session.scalars(same))
    here = update(LooseBlob).where(LooseBlob.id == blob_id, LooseBlob.until > work.now)
    kept = await work.session.scalar(
        here.values(
            upload_id=id, part=number, sha256=stored.sha256, until=upload.expires_at + KEPT_ON
        ).returning(LooseBlob.id)
    )
    if kept is None:
        raise UploadNotFound
    return await storage.expire(work, replaced)


async def parts(
    work: Work, root: Root, path: str, id: UUID, named: Sequence[Part]
) -> list[tuple[UUID, int]]:
    """The blobs of an upload, in order, with their sizes.

    Raises:
        RunNotFound, UploadNotFound: there is none of that id for that path.
        PartsUnsound: not those that were received are named.
    """
    upload = await _find(work, root, path, id)
    work.require(Permission.RUN_WRITE, upload.project_id)
    query = select(LooseBlob).where(LooseBlob.upload_id == id).order_by(LooseBlob.part)
    received = (await work.session.scalars(query)).all()
    if [(blob.part, blob.sha256) for blob in received] != [(p.number, p.etag) for p in named]:
        raise PartsUnsound
    return [(blob.id, blob.reserved) for blob in received]


async def end(work: Work, root: Root, path: str, id: UUID) -> list[UUID]:
    """Close an upload. Gives its parts: they are nobody's from here on.

    Raises:
        RunNotFound, UploadNotFound: there is none of that id for that path.
    """
    upload = await _find(work, root, path, id, held=True)
    work.require(Permission.RUN_WRITE, upload.project_id)
    query = select(LooseBlob.id).where(LooseBlob.upload_id == id).order_by(LooseBlob.part)
    blobs = list(await work.session.scalars(query))
    await work.session.delete(upload)
    await work.session.flush()
    return blobs


async def _find(work: Work, root: Root, path: str, id: UUID, *, held: bool = False) -> Upload:
    await files.project_of(work, root)
    upload = await work.session.get(Upload, id, with_for_update=held)
    folder, name = split(path)
    wanted = (root.run_id, root.model_id, folder, name)
    if upload is None or (upload.run_id, upload.model_id, upload.folder, upload.name) != wanted:
        raise UploadNotFound
    if upload.expires_at <= work.now:
        raise UploadNotFound
    return upload


def _hash(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
