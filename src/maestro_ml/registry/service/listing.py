"""Lists of the native API: in all projects that a caller sees, or in one."""

from uuid import UUID

from sqlalchemy import select

from maestro_ml.core.access import Permission
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.paging import Sort, page_of
from maestro_ml.db.work import Work
from maestro_ml.registry.models import (
    ModelVersion,
    ModelVersionFile,
    RegisteredModel,
    RegisteredModelTag,
)
from maestro_ml.registry.records import ModelRecord, VersionFile, VersionRecord
from maestro_ml.registry.search import PROMPT
from maestro_ml.registry.service import lookup, reading
from maestro_ml.storage.models import StoredBlob
from maestro_ml.tracking.search.keyset import Term, a_text, after, decode, encode

BY_NAME = Sort("name", RegisteredModel.name)
NEWEST_FIRST = Sort("number", ModelVersion.number, descending=True)
_PATH = (Term(ModelVersionFile.folder, a_text), Term(ModelVersionFile.name, a_text))


async def models(
    work: Work, request: PageRequest, *, project_id: UUID | None, q: str | None, prompts: bool
) -> Page[ModelRecord]:
    """A page of the models in sight, by name; `q` is a part of the name.

    Raises:
        Invalid: the cursor is not one of this list.
    """
    work.require(Permission.MODEL_READ, project_id)
    tagged = select(RegisteredModelTag.key).where(
        RegisteredModelTag.model_id == RegisteredModel.id,
        RegisteredModelTag.key == PROMPT,
        RegisteredModelTag.value == "true",
    )
    query = select(RegisteredModel).where(tagged.exists() if prompts else ~tagged.exists())
    if project_id is not None:
        query = query.where(RegisteredModel.project_id == project_id)
    if q:
        query = query.where(RegisteredModel.name.icontains(q, autoescape=True))
    found = await page_of(work.session, query, RegisteredModel, request, sort=BY_NAME)
    return Page(await reading.models(work, found.items), found.next_cursor)


async def versions(
    work: Work, project_id: UUID, name: str, request: PageRequest
) -> Page[VersionRecord]:
    """A page of a model's versions, the newest first.

    Raises:
        RegisteredModelNotFound: there is no such model.
        Invalid: the cursor is not one of this list.
    """
    model = await lookup.model(work, project_id, name)
    work.require(Permission.MODEL_READ, project_id)
    query = select(ModelVersion).where(ModelVersion.model_id == model.id)
    found = await page_of(work.session, query, ModelVersion, request, sort=NEWEST_FIRST)
    records = await reading.versions(work, found.items, {model.id: model.name})
    return Page(records, found.next_cursor)


async def files(
    work: Work, project_id: UUID, name: str, number: int, request: PageRequest
) -> Page[VersionFile]:
    """A page of a version's files with their hashes, by folder and name.

    Raises:
        RegisteredModelNotFound, ModelVersionNotFound: there is no such version.
        Invalid: the cursor is not one of this list.
    """
    model = await lookup.model(work, project_id, name)
    work.require(Permission.MODEL_READ, project_id)
    version = await lookup.version(work, model, number)
    part = ModelVersionFile
    query = select(part.folder, part.name, StoredBlob.size, StoredBlob.sha256)
    query = query.join(StoredBlob, StoredBlob.id == part.blob_id)
    query = query.where(part.version_id == version.id).order_by(part.folder, part.name)
    if request.cursor:
        query = query.where(after(_PATH, decode([term.read for term in _PATH], request.cursor)))
    rows = (await work.session.execute(query.limit(request.limit + 1))).all()
    more = len(rows) > request.limit
    rows = rows[: request.limit]
    found = [
        VersionFile(f"{folder}/{called}" if folder else called, size, digest)
        for folder, called, size, digest in rows
    ]
    return Page(found, encode(rows[-1][:2]) if more else None)
