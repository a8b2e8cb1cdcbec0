"""Use cases of projects. What other packages need of them is named here."""

from maestro_ml.projects.service.lookup import (
    by_slug,
    default_project,
    find,
    get,
    hold,
    keep_place,
    stay,
)
from maestro_ml.projects.service.teams import hand_over

__all__ = ["by_slug", "default_project", "find", "get", "hand_over", "hold", "keep_place", "stay"]
