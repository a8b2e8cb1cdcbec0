"""What tracking answers with: rows together with what hangs on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from maestro_ml.tracking.models import Experiment, Run


@dataclass(frozen=True, slots=True)
class Point:
    """One measured value, as it was logged."""

    key: str
    value: float
    at: datetime
    step: int


@dataclass(frozen=True, slots=True)
class ExperimentRecord:
    experiment: Experiment
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run with its params, its tags and the newest point of each metric, all by key."""

    run: Run
    metrics: Sequence[Point]
    params: Mapping[str, str]
    tags: Mapping[str, str]
