"""Finding models and versions, for whoever reads or writes what hangs on them."""

from uuid import UUID

from sqlalchemy import select

from maestro_ml.core.access import Permission
from maestro_ml.db.work import Work
from maestro_ml.registry.errors import ModelVersionNotFound, RegisteredModelNotFound
from maestro_ml.registry.models import ModelVersion, RegisteredModel


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
