"""Who made a version: whoever registered it, and whoever made what it was made of.

It is told in the trail when the version is made. Runs, files and the versions that were copied go,
and with them who they were by.
"""

from uuid import UUID

from sqlalchemy import select

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Permission
from maestro_ml.db.work import Work
from maestro_ml.registry.models import ModelVersion, ModelVersionFile
from maestro_ml.tracking.models import File, LoggedModel, Run

CREATED = "model_version.created"


async def of(work: Work, version: ModelVersion) -> frozenset[UUID]:
    """As it was told when the version was made."""
    work.require(Permission.MODEL_READ, version.project_id)
    query = select(AuditEvent.facts).where(
        AuditEvent.target_id == str(version.id), AuditEvent.action == CREATED
    )
    told = [UUID(id) for facts in await work.session.scalars(query) for id in facts["authors"]]
    return frozenset({*told, *await _at_hand(work, version)})


async def making(work: Work, version: ModelVersion, copied: UUID | None) -> frozenset[UUID]:
    """Of one that is being made, its files taken: maybe from a version that it copies."""
    work.require(Permission.MODEL_READ, version.project_id)
    found = await _at_hand(work, version)
    uploaded = (
        select(File.created_by)
        .join(ModelVersionFile, ModelVersionFile.blob_id == File.blob_id)
        .where(ModelVersionFile.version_id == version.id, File.project_id == version.project_id)
    )
    found |= {id for id in await work.session.scalars(uploaded.distinct()) if id is not None}
    if copied is not None:
        found |= await of(work, await work.session.get_one(ModelVersion, copied))
    return frozenset(found)


async def _at_hand(work: Work, version: ModelVersion) -> set[UUID]:
    found = {version.created_by}
    for row, id in ((Run, version.run_id), (LoggedModel, version.logged_model_id)):
        if id is not None:
            found.add(await work.session.scalar(select(row.created_by).where(row.id == id)))
    return {one for one in found if one is not None}
