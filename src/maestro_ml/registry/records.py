"""What the registry answers with: rows together with what hangs on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maestro_ml.registry.models import ModelVersion, RegisteredModel


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
