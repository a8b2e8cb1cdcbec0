"""Registered models: a name under which versions follow each other."""

from collections.abc import Sequence
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
from maestro_ml.registry.errors import ModelDeleteUnconfirmed, RegisteredModelNameTaken
from maestro_ml.registry.models import RegisteredModel, RegisteredModelTag
from maestro_ml.registry.records import ModelRecord
from maestro_ml.registry.schemas import ModelCreate, SetTag
from maestro_ml.registry.service import lookup, promotion, reading
from maestro_ml.tracking.search.tree import Search


async def create(work: Work, project_id: UUID, command: ModelCreate) -> ModelRecord:
    """Take a name for versions to come.

    Raises:
        RegisteredModelNameTaken: the project has it already.
    """
    work.require(Permission.MODEL_WRITE, project_id)
    now = whole_millis(work.now)
    model = RegisteredModel(
        project_id=project_id,
        name=command.name,
        description=command.description,
        created_by=work.access.actor_id,
        created_at=now,
        updated_at=now,
    )
    work.session.add(model)
    await work.flush_or(RegisteredModelNameTaken(command.name))
    await _tag(work, model, command.tags)
    facts = {"project_id": str(project_id), "name": model.name}
    _record(work, model, "created")
    await publish(
        work,
        "registered-model.created",
        **facts,
        description=model.description,
        tags={tag.key: tag.value for tag in command.tags},
    )
    return (await reading.models(work, [model]))[0]


async def get(work: Work, project_id: UUID, name: str) -> ModelRecord:
    """Read one."""
    model = await lookup.model(work, project_id, name)
    work.require(Permission.MODEL_READ, project_id)
    return (await reading.models(work, [model]))[0]


async def used(work: Work, project_id: UUID) -> bool:
    """Whether a project has registered models."""
    work.require(Permission.MODEL_READ, project_id)
    query = select(RegisteredModel.id).where(RegisteredModel.project_id == project_id).limit(1)
    return (await work.session.scalars(query)).first() is not None


async def search(work: Work, project_id: UUID, wanted: Search) -> Page[ModelRecord]:
    """A page of a project's models, by name unless another order is asked for.

    Raises:
        FilterInvalid, Invalid: the search or its cursor cannot be followed.
    """
    work.require(Permission.MODEL_READ, project_id)
    found = await search_space.models(work.session, project_id, wanted)
    return Page(await reading.models(work, found.items), found.next_cursor)


async def describe(work: Work, project_id: UUID, name: str, description: str | None) -> ModelRecord:
    """Give it another description, or with None none."""
    model = await lookup.model(work, project_id, name, hold=True)
    work.require(Permission.MODEL_WRITE, project_id)
    model.description, model.updated_at = description or None, whole_millis(work.now)
    _record(work, model, "changed", fields=["description"])
    return (await reading.models(work, [model]))[0]


async def rename(work: Work, project_id: UUID, name: str, new_name: str) -> ModelRecord:
    """Its versions and aliases follow.

    Raises:
        RegisteredModelNameTaken: the project has a model of that name already.
        ApprovalNeeded: one of its aliases is protected: under another name it means another thing.
    """
    model = await lookup.model(work, project_id, name, hold=True)
    work.require(Permission.MODEL_WRITE, project_id)
    if model.name != new_name:
        await promotion.check_whole(work, model, f"Renaming {name!r}")
        model.name, model.updated_at = new_name, whole_millis(work.now)
        await work.flush_or(RegisteredModelNameTaken(new_name))
        _record(work, model, "renamed", before=name)
    return (await reading.models(work, [model]))[0]


async def delete(work: Work, project_id: UUID, name: str, *, confirm: str | None) -> None:
    """Destroy it with its versions, and the files that only they have.

    Raises:
        ModelDeleteUnconfirmed: `confirm` is not its name.
        ApprovalNeeded: one of its aliases is protected.
    """
    model = await lookup.model(work, project_id, name, hold=True)
    work.require(Permission.MODEL_WRITE, project_id)
    if confirm != name:
        raise ModelDeleteUnconfirmed(name)
    await promotion.check_whole(work, model, f"Deleting {name!r}")
    facts = {"project_id": str(project_id), "name": model.name}
    _record(work, model, "deleted")
    await work.session.delete(model)
    await work.session.flush()
    await publish(work, "registered-model.deleted", **facts)


async def set_tag(work: Work, project_id: UUID, name: str, tag: SetTag) -> None:
    """Add a tag, or give it another value."""
    model = await lookup.model(work, project_id, name, hold=True)
    work.require(Permission.MODEL_WRITE, project_id)
    await _tag(work, model, [tag])
    _record(work, model, "tagged", key=tag.key)
    facts = {"project_id": str(project_id), "name": name}
    await publish(work, "registered-model-tag.set", **facts, key=tag.key, value=tag.value)


async def delete_tag(work: Work, project_id: UUID, name: str, key: str) -> None:
    """Take a tag away; one that is not there is no fault."""
    model = await lookup.model(work, project_id, name, hold=True)
    work.require(Permission.MODEL_WRITE, project_id)
    held = select(RegisteredModelTag).where(
        RegisteredModelTag.model_id == model.id, RegisteredModelTag.key == key
    )
    tag = await work.session.scalar(held)
    if tag is None:
        return
    await work.session.delete(tag)
    _record(work, model, "untagged", key=key)
    facts = {"project_id": str(project_id), "name": name}
    await publish(work, "registered-model-tag.deleted", **facts, key=key)


async def _tag(work: Work, model: RegisteredModel, tags: Sequence[SetTag]) -> None:
    last = {tag.key: tag.value for tag in tags}
    rows = [
        {"model_id": model.id, "key": key, "value": last[key], "created_at": work.now}
        for key in sorted(last)
    ]
    await upsert(work, RegisteredModelTag, rows, key=("model_id", "key"), change=("value",))


def _record(work: Work, model: RegisteredModel, what: str, **more: Any) -> None:
    facts = {"project_id": str(model.project_id), "name": model.name, **more}
    record(work, f"registered_model.{what}", "registered_model", model.id, **facts)
