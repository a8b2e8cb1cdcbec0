"""What tracking needs of whoever calls it."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from maestro_ml.db.work import Work


class Steps(Protocol):
    """Opens units of work for what takes several, because a file's bytes travel outside of any."""

    @property
    def tenant_id(self) -> UUID: ...

    def reading(self) -> AbstractAsyncContextManager[Work]:
        """Sees, and changes nothing."""
        ...

    def counting(self) -> AbstractAsyncContextManager[Work]:
        """For the tenant's counters, which are taken before any project."""
        ...

    def writing(self) -> AbstractAsyncContextManager[Work]:
        """Into a project that is not deleted meanwhile."""
        ...

    def tidying(self) -> AbstractAsyncContextManager[Work]:
        """As the platform, for what the caller leaves behind."""
        ...
