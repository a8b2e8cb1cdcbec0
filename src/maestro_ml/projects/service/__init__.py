"""Use cases of projects. What other packages need of them is named here."""

from maestro_ml.projects.service.lookup import default_project, find

__all__ = ["default_project", "find"]
