"""What old clients say of the models that a run logged: a list in one of its tags."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import select

from maestro_ml.core.access import Permission
from maestro_ml.db.work import Work
from maestro_ml.tracking.errors import ModelHistoryFull
from maestro_ml.tracking.models import RunTag
from maestro_ml.tracking.service import lookup, runs

TAG = "mlflow.log-model.history"
MAX_HISTORY = 1_000_000


async def append(work: Work, run_id: UUID, model: Mapping[str, Any]) -> None:
    """Add the description of a model.

    Raises:
        RunNotFound, RunDeleted: there is none to write to.
        ModelHistoryFull: the list is long enough.
    """
    run = await lookup.hold(work, run_id)
    work.require(Permission.RUN_WRITE, run.project_id)
    held = select(RunTag.value).where(RunTag.run_id == run_id, RunTag.key == TAG)
    history = json.dumps([*_listed(await work.session.scalar(held)), model])
    if len(history) > MAX_HISTORY:
        raise ModelHistoryFull(MAX_HISTORY)
    await runs.set_tags(work, run, {TAG: history})


def _listed(text: str | None) -> list[Any]:
    """The tag may have been set by hand: what is no list is begun anew."""
    try:
        listed = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return []
    return listed if isinstance(listed, list) else []
