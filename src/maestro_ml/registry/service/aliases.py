"""Aliases and stages: by which name a version is asked for."""

from uuid import UUID

from maestro_ml.audit.service import record
from maestro_ml.core.access import Permission
from maestro_ml.core.clock import whole_millis
from maestro_ml.db.work import Work
from maestro_ml.registry.errors import ModelAliasNotFound, ModelVersionNotFound, StageKept
from maestro_ml.registry.models import ModelVersion, RegisteredModel, Stage
from maestro_ml.registry.records import VersionRecord
from maestro_ml.registry.service import lookup, placing, promotion, reading

LATEST = "latest"


async def find(work: Work, project_id: UUID, name: str, alias: str) -> VersionRecord:
    """The version that an alias means; `latest` is always the newest.

    Raises:
        RegisteredModelNotFound, ModelAliasNotFound, ModelVersionNotFound: there is none.
    """
    model = await lookup.model(work, project_id, name)
    work.require(Permission.MODEL_READ, project_id)
    if alias.lower() == LATEST:
        newest = await reading.newest(work, [model.id])
        if not newest:
            raise ModelVersionNotFound
        version = newest[-1]
    elif (found := await placing.meant(work, model, alias)) is not None:
        version = found
    else:
        raise ModelAliasNotFound(alias)
    return (await reading.versions(work, [version], {model.id: model.name}))[0]


async def set(work: Work, project_id: UUID, name: str, alias: str, number: int) -> None:
    """From here on the alias means that version.

    Raises:
        RegisteredModelNotFound, ModelVersionNotFound: there is nothing it could mean.
        ApprovalNeeded: the alias is protected.
    """
    model = await lookup.model(work, project_id, name, hold=True)
    work.require(Permission.MODEL_WRITE, project_id)
    version = await lookup.version(work, model, number)
    await promotion.check_move(work, model, alias, version)
    await placing.move(work, model, alias, version)


async def delete(
    work: Work, project_id: UUID, name: str, alias: str, *, missing_ok: bool = True
) -> None:
    """It means nothing any more.

    Raises:
        ModelAliasNotFound: it meant nothing before, and that is not ok.
        ApprovalNeeded: the alias is protected.
    """
    model = await lookup.model(work, project_id, name, hold=True)
    work.require(Permission.MODEL_WRITE, project_id)
    await promotion.check_loss(work, model, alias, f"Taking away the alias {alias!r} of {name!r}")
    if not await placing.take_away(work, model, alias) and not missing_ok:
        raise ModelAliasNotFound(alias)


async def transition(
    work: Work, project_id: UUID, name: str, number: int, stage: Stage, *, archive: bool
) -> VersionRecord:
    """Put a version into a stage, as old clients do. `archive` puts the one aside that is in it.

    Raises:
        RegisteredModelNotFound, ModelVersionNotFound: there is none.
        StageKept: others are to be put aside for a stage that many share.
        ApprovalNeeded: it enters or leaves a stage whose alias is protected.
    """
    if archive and stage.alias is None:
        raise StageKept(stage)
    model = await lookup.model(work, project_id, name, hold=True)
    work.require(Permission.MODEL_WRITE, project_id)
    version = await lookup.version(work, model, number)
    before = await placing.meant(work, model, stage.alias) if stage.alias else None
    left = {one.alias for one in Stage if one.alias and one is not stage}
    for alias in sorted(left & await placing.aliases_of(work, version)):
        what = f"Putting version {number} of {name!r} into the stage {stage}"
        await promotion.check_loss(work, model, alias, what)
        await placing.take_away(work, model, alias)
    if stage.alias:
        await promotion.check_move(work, model, stage.alias, version)
        await placing.move(work, model, stage.alias, version)
    elif version.stage is not stage:
        _stage(work, model, version, stage)
    version.updated_at = model.updated_at = whole_millis(work.now)
    if archive and before is not None and before.stage is Stage.NONE:
        _stage(work, model, before, Stage.ARCHIVED)
    await work.session.flush()
    return (await reading.versions(work, [version], {model.id: model.name}))[0]


def _stage(work: Work, model: RegisteredModel, version: ModelVersion, stage: Stage) -> None:
    """Into a stage that is no alias."""
    facts = {"name": model.name, "version": version.number}
    more = {"before": version.stage, "stage": stage}
    record(work, "model_version.staged", "model_version", version.id, **facts, **more)
    version.stage, version.updated_at = stage, whole_millis(work.now)
