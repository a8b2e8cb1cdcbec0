"""What an alias means, moved and taken away: every door comes through here, with the model held.

The stages Staging and Production of old clients are the aliases `staging` and `production`.
"""

from sqlalchemy import select

from maestro_ml.audit.service import record
from maestro_ml.core.access import Permission
from maestro_ml.core.clock import whole_millis
from maestro_ml.db.work import Work
from maestro_ml.jobs.service import publish
from maestro_ml.registry.models import ModelAlias, ModelVersion, RegisteredModel, Stage

_STAGES = (Stage.PRODUCTION, Stage.STAGING)


async def meant(work: Work, model: RegisteredModel, alias: str) -> ModelVersion | None:
    """The version that an alias means now."""
    work.require(Permission.MODEL_READ, model.project_id)
    query = (
        select(ModelVersion)
        .join(ModelAlias, ModelAlias.version_id == ModelVersion.id)
        .where(ModelAlias.model_id == model.id, ModelAlias.alias == alias)
    )
    return (await work.session.scalars(query)).one_or_none()


async def move(work: Work, model: RegisteredModel, alias: str, to: ModelVersion) -> None:
    """From here on the alias means that version."""
    work.require(Permission.MODEL_WRITE, model.project_id)
    before = await meant(work, model, alias)
    if before is not None and before.id == to.id:
        return
    row = await _row(work, model, alias)
    if row is None:
        row = ModelAlias(model_id=model.id, alias=alias, version_id=to.id, created_at=work.now)
        work.session.add(row)
    else:
        row.version_id, row.created_at = to.id, work.now
    await work.session.flush()
    if before is not None:
        await _restage(work, before)
    await _restage(work, to)
    number = None if before is None else before.number
    record(
        work,
        "model_alias.set",
        "registered_model",
        model.id,
        **_facts(model, alias),
        version=to.number,
        before=number,
    )
    await publish(
        work,
        "model-version-alias.created",
        project_id=str(model.project_id),
        name=model.name,
        alias=alias,
        version=to.number,
    )


async def take_away(work: Work, model: RegisteredModel, alias: str) -> bool:
    """The alias means nothing any more. Gives whether it meant something."""
    work.require(Permission.MODEL_WRITE, model.project_id)
    before, row = await meant(work, model, alias), await _row(work, model, alias)
    if before is None or row is None:
        return False
    await work.session.delete(row)
    await work.session.flush()
    await _restage(work, before)
    record(
        work,
        "model_alias.deleted",
        "registered_model",
        model.id,
        **_facts(model, alias),
        before=before.number,
    )
    await publish(
        work,
        "model-version-alias.deleted",
        project_id=str(model.project_id),
        name=model.name,
        alias=alias,
    )
    return True


async def aliases_of(work: Work, version: ModelVersion) -> set[str]:
    """The aliases that mean a version."""
    work.require(Permission.MODEL_READ, version.project_id)
    query = select(ModelAlias.alias).where(ModelAlias.version_id == version.id)
    return set(await work.session.scalars(query))


async def _row(work: Work, model: RegisteredModel, alias: str) -> ModelAlias | None:
    query = select(ModelAlias).where(ModelAlias.model_id == model.id, ModelAlias.alias == alias)
    return (await work.session.scalars(query)).one_or_none()


async def _restage(work: Work, version: ModelVersion) -> None:
    """What its aliases say; what was archived stays so until it is asked for again."""
    held = await aliases_of(work, version)
    stage = next((stage for stage in _STAGES if stage.alias in held), None)
    if stage is None:
        stage = Stage.NONE if version.stage in _STAGES else version.stage
    if stage is not version.stage:
        version.stage, version.updated_at = stage, whole_millis(work.now)
        await work.session.flush()


def _facts(model: RegisteredModel, alias: str) -> dict[str, str]:
    return {"name": model.name, "project_id": str(model.project_id), "alias": alias}
