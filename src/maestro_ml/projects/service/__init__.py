"""Use cases of projects. What other packages need of them is named here."""

from maestro_ml.projects.service.lookup import by_slug, default_project, find, stay
from maestro_ml.projects.service.teams import hand_over

__all__ = ["by_slug", "default_project", "find", "hand_over", "stay"]
