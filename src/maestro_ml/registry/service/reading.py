"""Rows of the registry, brought together with what hangs on them, many at a time."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from sqlalchemy import func, select

from maestro_ml.core.access import Permission
from maestro_ml.db.work import Work
from maestro_ml.registry.models import (
    ModelAlias,
    ModelVersion,
    ModelVersionTag,
    RegisteredModel,
    RegisteredModelTag,
    Stage,
)
from maestro_ml.registry.records import ModelRecord, VersionRecord
from maestro_ml.tracking.search.keyset import batched


async def models(work: Work, rows: Sequence[RegisteredModel]) -> list[ModelRecord]:
    """In the same order."""
    for project_id in {row.project_id for row in rows}:
        work.require(Permission.MODEL_READ, project_id)
    names = {row.id: row.name for row in rows}
    tags: dict[UUID, dict[str, str]] = {id: {} for id in names}
    aliases: dict[UUID, dict[str, int]] = {id: {} for id in names}
    latest: dict[UUID, list[VersionRecord]] = {id: [] for id in names}
    for ids in batched(names):
        query = select(
            RegisteredModelTag.model_id, RegisteredModelTag.key, RegisteredModelTag.value
        )
        query = query.where(RegisteredModelTag.model_id.in_(ids)).order_by(RegisteredModelTag.key)
        for id, key, value in await work.session.execute(query):
            tags[id][key] = value
        meant = select(ModelAlias.model_id, ModelAlias.alias, ModelAlias.version_id)
        meant = meant.where(ModelAlias.model_id.in_(ids)).order_by(ModelAlias.alias)
        found = (await work.session.execute(meant)).all()
        numbers = await _numbers(work, {version_id for *_, version_id in found})
        for id, alias, version_id in found:
            if version_id in numbers:  # or it was deleted in between
                aliases[id][alias] = numbers[version_id]
        for record in await versions(work, await newest(work, ids), names):
            latest[record.version.model_id].append(record)
    return [ModelRecord(row, tags[row.id], aliases[row.id], latest[row.id]) for row in rows]


async def _numbers(work: Work, ids: Collection[UUID]) -> dict[UUID, int]:
    """Of versions; asked for by itself, since SQLite would begin a join with all of them."""
    numbers: dict[UUID, int] = {}
    for some in batched(ids):
        query = select(ModelVersion.id, ModelVersion.number).where(ModelVersion.id.in_(some))
        numbers |= dict(list(await work.session.execute(query)))
    return numbers


async def newest(
    work: Work, model_ids: Collection[UUID], stages: Collection[Stage] = tuple(Stage)
) -> list[ModelVersion]:
    """The newest version of each stage, for each of the models, in the order of their numbers."""
    work.require(Permission.MODEL_READ)
    highest = select(
        ModelVersion.model_id, ModelVersion.stage, func.max(ModelVersion.number)
    ).where(ModelVersion.model_id.in_(model_ids), ModelVersion.stage.in_(stages))
    highest = highest.group_by(ModelVersion.model_id, ModelVersion.stage)
    wanted = {(id, number) for id, _, number in await work.session.execute(highest)}
    # Both lists, each with an index to look in: a join of the two would be looked for in all rows.
    query = select(ModelVersion).where(
        ModelVersion.model_id.in_({id for id, _ in wanted}),
        ModelVersion.number.in_({number for _, number in wanted}),
    )
    found = await work.session.scalars(query.order_by(ModelVersion.number))
    return [row for row in found if (row.model_id, row.number) in wanted]


async def versions(
    work: Work, rows: Sequence[ModelVersion], names: Mapping[UUID, str]
) -> list[VersionRecord]:
    """In the same order. `names` are those of the models."""
    for project_id in {row.project_id for row in rows}:
        work.require(Permission.MODEL_READ, project_id)
    tags: dict[UUID, dict[str, str]] = {row.id: {} for row in rows}
    aliases: dict[UUID, list[str]] = {row.id: [] for row in rows}
    for ids in batched(tags):
        query = select(ModelVersionTag.version_id, ModelVersionTag.key, ModelVersionTag.value)
        query = query.where(ModelVersionTag.version_id.in_(ids)).order_by(ModelVersionTag.key)
        for id, key, value in await work.session.execute(query):
            tags[id][key] = value
        meant = select(ModelAlias.version_id, ModelAlias.alias)
        meant = meant.where(ModelAlias.version_id.in_(ids)).order_by(ModelAlias.alias)
        for id, alias in await work.session.execute(meant):
            aliases[id].append(alias)
    return [VersionRecord(row, names[row.model_id], tags[row.id], aliases[row.id]) for row in rows]
