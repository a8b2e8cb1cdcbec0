"""Files of versions: read, and never changed."""

from uuid import UUID

from sqlalchemy import select

from maestro_ml.core.access import Permission
from maestro_ml.db.work import Work
from maestro_ml.registry.errors import ModelVersionNotFound
from maestro_ml.registry.models import ModelVersion, ModelVersionFile
from maestro_ml.storage.models import StoredBlob
from maestro_ml.tracking.errors_files import FileNotFound
from maestro_ml.tracking.paths import split
from maestro_ml.tracking.search.folders import Entry, entries
from maestro_ml.tracking.service.files import Found


async def find(work: Work, id: UUID, path: str) -> Found:
    """A file to be read.

    Raises:
        ModelVersionNotFound, FileNotFound: there is none.
    """
    version = await _seen(work, id)
    work.require(Permission.MODEL_READ, version.project_id)
    folder, name = split(path)
    part = ModelVersionFile
    query = select(part.name, StoredBlob).join(StoredBlob, StoredBlob.id == part.blob_id)
    query = query.where(part.version_id == id, part.folder == folder, part.name == name)
    row = (await work.session.execute(query)).one_or_none()
    if row is None:
        raise FileNotFound
    called, blob = row
    return Found(called, blob.id, blob.size, blob.sha256, version.created_at)


async def listing(work: Work, id: UUID, path: str) -> list[Entry]:
    """What lies in a folder, by name; nothing, if there is no such folder.

    Raises:
        ModelVersionNotFound: there is no such version.
    """
    version = await _seen(work, id)
    work.require(Permission.MODEL_READ, version.project_id)
    part = ModelVersionFile
    query = select(part.folder, part.name, StoredBlob.size)
    query = query.join(StoredBlob, StoredBlob.id == part.blob_id).where(part.version_id == id)
    return await entries(work, query, part.folder, path)


async def _seen(work: Work, id: UUID) -> ModelVersion:
    version = await work.session.get(ModelVersion, id)
    if version is None or not work.allows(Permission.MODEL_READ, version.project_id):
        raise ModelVersionNotFound
    return version
