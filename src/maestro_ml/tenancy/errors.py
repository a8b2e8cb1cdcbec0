"""What can go wrong with tenants."""

from maestro_ml.core.errors import AlreadyExists


class TenantSlugTaken(AlreadyExists):
    """Another tenant has the slug."""

    code = "tenant-slug-taken"

    def __init__(self, slug: str) -> None:
        super().__init__(f"There is already a tenant with the slug {slug!r}.", slug=slug)
