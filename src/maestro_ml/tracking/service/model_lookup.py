"""Finding logged models, for whoever reads or writes what hangs on them."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select

from maestro_ml.core.access import Permission
from maestro_ml.db.work import Work
from maestro_ml.tracking.errors import LoggedModelNotFound
from maestro_ml.tracking.models import LoggedModel
from maestro_ml.tracking.search.keyset import batched


async def find(work: Work, id: UUID) -> LoggedModel:
    """A model, deleted or not. What the caller may not see is reported as missing."""
    model = await work.session.get(LoggedModel, id)
    if model is None or not work.allows(Permission.RUN_READ, model.project_id):
        raise LoggedModelNotFound
    return model


async def lock(work: Work, id: UUID, *, deleted_too: bool = False) -> LoggedModel:
    """A model, held until the unit of work ends: its writers take turns.

    Raises:
        LoggedModelNotFound: there is none to write to.
    """
    model = await work.session.get(LoggedModel, id, with_for_update={"key_share": True})
    if model is None or not work.allows(Permission.RUN_READ, model.project_id):
        raise LoggedModelNotFound
    work.require(Permission.RUN_WRITE, model.project_id)
    if model.deleted_at is not None and not deleted_too:
        raise LoggedModelNotFound
    return model


async def check(work: Work, project_id: UUID, ids: Collection[UUID]) -> None:
    """Raises:
    LoggedModelNotFound: one of them is not a model of the project, or is deleted.
    """
    work.require(Permission.RUN_READ, project_id)
    wanted = set(ids)
    for some in batched(wanted.copy()):
        query = select(LoggedModel.id).where(
            LoggedModel.id.in_(some),
            LoggedModel.project_id == project_id,
            LoggedModel.deleted_at.is_(None),
        )
        wanted -= set(await work.session.scalars(query))
    if wanted:
        raise LoggedModelNotFound
