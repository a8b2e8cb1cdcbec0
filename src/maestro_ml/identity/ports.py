"""What accounts need of packages that stand above them.

`maestro_ml.api.main` puts the implementations on the application: `app.state.projects` is the
module `maestro_ml.projects.service`.
"""

from typing import Protocol
from uuid import UUID

from maestro_ml.core.access import Access
from maestro_ml.db.work import SystemWork, Work


class ProjectSeen(Protocol):
    """As much of a project as an API key needs."""

    @property
    def id(self) -> UUID:
        """What the key keeps."""

    @property
    def slug(self) -> str:
        """What its owner is told."""


class Projects(Protocol):
    async def find(self, work: Work, slug_or_id: str, /) -> ProjectSeen:
        """Raises:
        NotFound: the caller sees no such project.
        """

    async def default_project(self, work: Work, /) -> ProjectSeen:
        """Where a caller works who names no project.

        Raises:
            NotFound: they see none.
        """

    async def hand_over(
        self, work: SystemWork, access: Access, leaver: UUID, heir: UUID, /
    ) -> None:
        """See to it that no private project is left without a maintainer when somebody leaves."""
