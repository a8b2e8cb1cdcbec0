"""What the registry does when something happens elsewhere."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from maestro_ml.db.work import Work
from maestro_ml.registry.service import promotion


async def listen(work: Work, event: str, facts: Mapping[str, Any]) -> None:
    """A project does not go while one of its models has a protected alias.

    Raises:
        ApprovalNeeded, PolicyKept: one has, or has a policy of its own.
    """
    if event == "project.deleting":
        await promotion.check_project(work, UUID(str(facts["project_id"])))
