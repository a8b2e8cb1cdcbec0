"""What is said about a tenant, and what is seen of it."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field

from maestro_ml.core.schemas import Command, Name, Slug

# Words of addresses, and what would be taken for the platform itself.
RESERVED = frozenset(
    {
        *("admin", "ajax-api", "api", "auth", "current", "docs", "health", "maestro", "maestro-ml"),
        *("metrics", "new", "platform", "static", "static-files", "system", "www"),
    }
)


def sound_slug(slug: str) -> str:
    """Raises:
    ValueError: the slug would be taken for something else.
    """
    if slug in RESERVED:
        raise ValueError(f"{slug!r} is reserved: choose another slug")
    try:
        UUID(slug)
    except ValueError:
        return slug
    raise ValueError("must not read like an id")


TenantSlug = Annotated[Slug, AfterValidator(sound_slug)]


class TenantCreate(Command):
    name: Name
    slug: TenantSlug = Field(description="Its name in addresses and at sign-in; it never changes.")
