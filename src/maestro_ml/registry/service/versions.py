"""Versions: what a model was at one time. Their files are a snapshot, and never change."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from maestro_ml.audit.service import record
from maestro_ml.core.access import Permission
from maestro_ml.core.clock import whole_millis
from maestro_ml.core.paging import Page
from maestro_ml.db.upsert import upsert
from maestro_ml.db.work import Work
from maestro_ml.jobs.service import publish
from maestro_ml.registry import search as search_space
from maestro_ml.registry.models import ModelVersion, ModelVersionTag, Stage
from maestro_ml.registry.records import VersionRecord
from maestro_ml.registry.schemas import SetTag, VersionCreate
from maestro_ml.registry.service import authors, lookup, placing, promotion, reading, snapshots
from maestro_ml.tracking.errors import LoggedModelNotFound
from maestro_ml.tracking.records import LoggedModelRecord
from maestro_ml.tracking.search.tree import Search
from maestro_ml.tracking.service import logged_models


async def create(work: Work, project_id: UUID, name: str, command: VersionCreate) -> VersionRecord:
    """Add a version to a model, with the files that its origin has now.

    Raises:
        RegisteredModelNotFound: there is no such model.
        RunNotFound, LoggedModelNotFound, ModelVersionNotFound: what it comes from is not there.
    """
    model = await lookup.model(work, project_id, name, hold=True)
    work.require(Permission.MODEL_WRITE, project_id)
    origin = await snapshots.trace(work, project_id, command)
    model.last_number += 1
    now = whole_millis(work.now)
    version = ModelVersion(
        project_id=project_id,
        model_id=model.id,
        number=model.last_number,
        source=command.source,
        run_id=origin.run_id,
        logged_model_id=origin.logged_model_id,
        run_link=command.run_link or None,
        description=command.description or None,
        created_by=work.access.actor_id,
        created_at=now,
        updated_at=now,
    )
    model.updated_at = now
    work.session.add(version)
    await work.session.flush()
    await snapshots.take(work, version, command.origin)
    await _tag(work, version, command.tags)
    facts = {"project_id": str(project_id), "name": model.name, "version": version.number}
    made_by = await authors.making(work, version, command.origin.version_id)
    more = {
        "fingerprint": version.fingerprint,
        "n_files": version.n_files,
        "authors": sorted(str(id) for id in made_by),
    }
    _record(work, version, name, "created", **more)
    await publish(
        work,
        "model-version.created",
        **facts,
        source=version.source,
        run_id=None if version.run_id is None else version.run_id.hex,
        description=version.description,
        tags={tag.key: tag.value for tag in command.tags},
    )
    return (await reading.versions(work, [version], {model.id: model.name}))[0]


async def get(work: Work, project_id: UUID, name: str, number: int) -> VersionRecord:
    """Read one.

    Raises:
        RegisteredModelNotFound, ModelVersionNotFound: there is none.
    """
    model = await lookup.model(work, project_id, name)
    work.require(Permission.MODEL_READ, project_id)
    version = await lookup.version(work, model, number)
    return (await reading.versions(work, [version], {model.id: model.name}))[0]


async def logged_model(work: Work, version: ModelVersion) -> LoggedModelRecord | None:
    """What was logged of the model that a version comes from, while it is there."""
    work.require(Permission.MODEL_READ, version.project_id)
    if version.logged_model_id is None:
        return None
    try:
        return await logged_models.get(work, version.logged_model_id)
    except LoggedModelNotFound:
        return None


async def search(work: Work, project_id: UUID, wanted: Search) -> Page[VersionRecord]:
    """A page of the versions of a project's models, those first that changed last.

    Raises:
        FilterInvalid, Invalid: the search or its cursor cannot be followed.
    """
    work.require(Permission.MODEL_READ, project_id)
    found = await search_space.versions(work.session, project_id, wanted)
    names = {version.model_id: name for version, name in found.items}
    records = await reading.versions(work, [version for version, _ in found.items], names)
    return Page(records, found.next_cursor)


async def latest(
    work: Work, project_id: UUID, name: str, stages: Collection[Stage]
) -> list[VersionRecord]:
    """The newest version of each of the stages; of all stages, if none is named."""
    model = await lookup.model(work, project_id, name)
    work.require(Permission.MODEL_READ, project_id)
    found = await reading.newest(work, [model.id], stages or tuple(Stage))
    return await reading.versions(work, found, {model.id: model.name})


async def describe(
    work: Work, project_id: UUID, name: str, number: int, description: str | None
) -> VersionRecord:
    """Give it another description, or with None none."""
    model = await lookup.model(work, project_id, name, hold=True)
    work.require(Permission.MODEL_WRITE, project_id)
    version = await lookup.version(work, model, number)
    version.description, version.updated_at = description or None, whole_millis(work.now)
    _record(work, version, name, "changed", fields=["description"])
    return (await reading.versions(work, [version], {model.id: model.name}))[0]


async def delete(work: Work, project_id: UUID, name: str, number: int) -> None:
    """Destroy it, the aliases that mean it, and the files that only it has. Its number is not given
    to another.

    Raises:
        RegisteredModelNotFound, ModelVersionNotFound: there is none.
        ApprovalNeeded: it has a protected alias.
    """
    model = await lookup.model(work, project_id, name, hold=True)
    work.require(Permission.MODEL_WRITE, project_id)
    version = await lookup.version(work, model, number)
    for alias in sorted(await placing.aliases_of(work, version)):
        await promotion.check_loss(work, model, alias, f"Deleting version {number} of {name!r}")
    facts = {"project_id": str(project_id), "name": model.name, "version": number}
    _record(work, version, name, "deleted")
    await work.session.delete(version)
    model.updated_at = whole_millis(work.now)
    await work.session.flush()
    await publish(work, "model-version.deleted", **facts)


async def set_tag(work: Work, project_id: UUID, name: str, number: int, tag: SetTag) -> None:
    """Add a tag, or give it another value."""
    model = await lookup.model(work, project_id, name, hold=True)
    work.require(Permission.MODEL_WRITE, project_id)
    version = await lookup.version(work, model, number)
    await _tag(work, version, [tag])
    _record(work, version, name, "tagged", key=tag.key)
    await publish(
        work,
        "model-version-tag.set",
        **_named(project_id, name, number),
        key=tag.key,
        value=tag.value,
    )


async def delete_tag(work: Work, project_id: UUID, name: str, number: int, key: str) -> None:
    """Take a tag away; one that is not there is no fault."""
    model = await lookup.model(work, project_id, name, hold=True)
    work.require(Permission.MODEL_WRITE, project_id)
    version = await lookup.version(work, model, number)
    held = select(ModelVersionTag).where(
        ModelVersionTag.version_id == version.id, ModelVersionTag.key == key
    )
    tag = await work.session.scalar(held)
    if tag is None:
        return
    await work.session.delete(tag)
    _record(work, version, name, "untagged", key=key)
    await publish(work, "model-version-tag.deleted", **_named(project_id, name, number), key=key)


async def _tag(work: Work, version: ModelVersion, tags: Sequence[SetTag]) -> None:
    last = {tag.key: tag.value for tag in tags}
    rows = [
        {"version_id": version.id, "key": key, "value": last[key], "created_at": work.now}
        for key in sorted(last)
    ]
    await upsert(work, ModelVersionTag, rows, key=("version_id", "key"), change=("value",))


def _record(work: Work, version: ModelVersion, name: str, what: str, **more: Any) -> None:
    facts = _named(version.project_id, name, version.number)
    record(work, f"model_version.{what}", "model_version", version.id, **facts, **more)


def _named(project_id: UUID, name: str, number: int) -> dict[str, Any]:
    return {"project_id": str(project_id), "name": name, "version": number}
