"""The names of blobs. We make them all: a user's text is never part of one."""

from dataclasses import dataclass
from typing import Self
from uuid import UUID

from maestro_ml.core.ids import new_id

ROOT = "t"


@dataclass(frozen=True, slots=True)
class BlobKey:
    """One blob of a tenant. Kept in the rows as its `id`, since they carry the tenant already."""

    tenant_id: UUID
    id: UUID

    @classmethod
    def new(cls, tenant_id: UUID) -> Self:
        return cls(tenant_id, new_id())

    def __str__(self) -> str:
        return f"{prefix_of(self.tenant_id)}/{self.id.hex}"


def prefix_of(tenant_id: UUID) -> str:
    """Where everything of a tenant is."""
    return f"{ROOT}/{tenant_id.hex}"
