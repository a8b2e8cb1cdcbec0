"""What tracking does when something happens elsewhere."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from maestro_ml.db.work import Work
from maestro_ml.tracking.service import experiments


async def listen(work: Work, event: str, facts: Mapping[str, Any]) -> None:
    """A new project begins with its default experiment."""
    if event == "project.created":
        await experiments.default(work, UUID(str(facts["project_id"])))
