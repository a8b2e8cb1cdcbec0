"""Finding models and versions, for whoever reads or writes what hangs on them."""

from uuid import UUID

from sqlalchemy import select

from maestro_ml.core.access import Permission
from maestro_ml.db.work import Work
from maestro_ml.projects.service import lookup as projects
from maestro_ml.registry.errors import (
    ModelNameUnclear,
    ModelVersionNotFound,
    RegisteredModelNotFound,
)
from maestro_ml.registry.models import ModelVersion, RegisteredModel

_UNCLEAR = 100  # projects that are looked at for a name


async def home(work: Work, name: str, project: str | None) -> UUID:
    """The project of a model: the one that is named by slug or id, else the caller's default one,
    else the only one in sight that has a model of the name.

    Raises:
        ProjectNotFound, RegisteredModelNotFound: there is none.
        ModelNameUnclear: several have one.
    """
    work.require(Permission.MODEL_READ)
    if project is not None:
        return (await projects.find(work, project)).id
    query = select(RegisteredModel.project_id).where(RegisteredModel.name == name)
    found = list(await work.session.scalars(query.limit(_UNCLEAR)))
    if work.access.default_project_id in found:
        return found[found.index(work.access.default_project_id)]
    if not found:
        raise RegisteredModelNotFound
    if len(found) > 1:
        raise ModelNameUnclear(name)
    return found[0]


async def model(work: Work, project_id: UUID, name: str, *, hold: bool = False) -> RegisteredModel:
    """One of a project's models. Held, its writers take turns until the unit of work ends.

    Raises:
        RegisteredModelNotFound: there is none, or the caller may not see it.
    """
    query = select(RegisteredModel).where(
        RegisteredModel.project_id == project_id, RegisteredModel.name == name
    )
    if hold:
        query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    found = (await work.session.scalars(query)).one_or_none()
    if found is None or not work.allows(Permission.MODEL_READ, project_id):
        raise RegisteredModelNotFound
    return found


async def version(work: Work, of: RegisteredModel, number: int) -> ModelVersion:
    """Raises:
    ModelVersionNotFound: the model has none of that number.
    """
    work.require(Permission.MODEL_READ, of.project_id)
    query = select(ModelVersion).where(
        ModelVersion.model_id == of.id, ModelVersion.number == number
    )
    found = (await work.session.scalars(query)).one_or_none()
    if found is None:
        raise ModelVersionNotFound
    return found
