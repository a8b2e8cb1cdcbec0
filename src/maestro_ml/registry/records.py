"""What the registry answers with: rows together with what hangs on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maestro_ml.registry.models import ModelVersion, RegisteredModel
from maestro_ml.tracking.records import LoggedModelRecord, RunRecord


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """A version, the name of its model, and the aliases that mean it now."""

    version: ModelVersion
    name: str
    tags: Mapping[str, str]
    aliases: Sequence[str]


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model; its aliases with the numbers they mean; the newest version of each stage."""

    model: RegisteredModel
    tags: Mapping[str, str]
    aliases: Mapping[str, int]
    latest: Sequence[VersionRecord]


@dataclass(frozen=True, slots=True)
class VersionFile:
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a version comes from, as far as it is still there."""

    version: VersionRecord
    logged_model: LoggedModelRecord | None
    run: RunRecord | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Versions side by side, by number. Of files those that differ: path -> number -> SHA-256."""

    versions: Sequence[VersionRecord]
    params: Mapping[str, Mapping[int, str]]
    metrics: Mapping[str, Mapping[int, float]]
    files: Mapping[str, Mapping[int, str]]
