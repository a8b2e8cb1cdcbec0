"""The words that a project is described with; the client knows them, too."""

from enum import StrEnum


class Visibility(StrEnum):
    INTERNAL = "internal"
    PRIVATE = "private"


class ProjectStatus(StrEnum):
    PLANNED = "planned"
    ACTIVE = "active"
    COMPLETED = "completed"
    ABANDONED = "abandoned"


class ProblemClass(StrEnum):
    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    FORECASTING = "forecasting"
    NLP = "nlp"
    VISION = "vision"
    RECOMMENDATION = "recommendation"
    OTHER = "other"
