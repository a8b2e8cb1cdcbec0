"""Automatic gates of the registry: what each is told, and what it says of a version."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from maestro_ml.approvals.ports import GateResult
from maestro_ml.core.schemas import Text
from maestro_ml.registry.schemas import TagKey

NOTHING = "nothing"


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FilesGate(_Parameters):
    """Its files are kept here, so that they cannot change, and are not too many or too large."""

    max_bytes: int | None = Field(default=None, ge=1, le=2**50, strict=True)
    max_files: int | None = Field(default=None, ge=1, le=10**6, strict=True)


class TagsGate(_Parameters):
    """The version, or its model, has these tags, and none of them is empty."""

    keys: Annotated[list[TagKey], Field(min_length=1, max_length=50)]


class MetricGate(_Parameters):
    """A metric of the version is good enough, and not much worse than that of the version which
    the alias means now. Without `same_data` the two may have been measured on different data."""

    metric: Annotated[Text, Field(min_length=1, max_length=250)]
    higher_is_better: bool = Field(default=True, strict=True)
    at_least: float | None = Field(default=None, allow_inf_nan=False)
    at_most: float | None = Field(default=None, allow_inf_nan=False)
    worse_by_at_most: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    same_data: bool = Field(default=True, strict=True)


GATES: Mapping[str, type[BaseModel]] = {
    "files": FilesGate,
    "metric": MetricGate,
    "tags": TagsGate,
}


@dataclass(frozen=True, slots=True)
class Measured:
    """What a gate looks at of one version. `data` are the digests of the datasets by name."""

    number: int
    fingerprint: str
    kept_here: bool
    n_files: int
    n_bytes: int
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    data: Mapping[str, str]


def judge(
    kind: str, parameters: Mapping[str, Any], version: Measured, champion: Measured | None
) -> GateResult:
    """Raises:
    KeyError: there is no such gate.
    """
    looked_at: dict[str, list[Any]]
    wanted = GATES[kind].model_validate(dict(parameters))
    if isinstance(wanted, FilesGate):
        faults, details = _files(wanted, version)
        looked_at = {"files": [version.kept_here, version.n_files, version.n_bytes]}
    elif isinstance(wanted, TagsGate):
        faults, details = _tags(wanted, version)
        looked_at = {key: [version.tags.get(key)] for key in wanted.keys}
    else:
        assert isinstance(wanted, MetricGate)
        faults, details = _metric(wanted, version, champion)
        looked_at = {
            who: [one.fingerprint, _plain(one.metrics.get(wanted.metric)), sorted(one.data.items())]
            for who, one in (("version", version), ("champion", champion))
            if one is not None
        }
    return GateResult(
        passed=not faults,
        summary=(" ".join(faults) or "It holds.")[:500],
        fingerprint=version.fingerprint,
        inputs={
            name: sha256(json.dumps(it).encode()).hexdigest() for name, it in looked_at.items()
        },
        details=details,
    )


def _files(wanted: FilesGate, version: Measured) -> tuple[list[str], dict[str, Any]]:
    faults = []
    if not version.kept_here:
        faults.append("Its files are in a store elsewhere, where they may change.")
    elif version.n_files == 0:
        faults.append("It has no files.")
    if wanted.max_files is not None and version.n_files > wanted.max_files:
        faults.append(f"It has {version.n_files} files, and may have {wanted.max_files}.")
    if wanted.max_bytes is not None and version.n_bytes > wanted.max_bytes:
        faults.append(f"It has {version.n_bytes} bytes, and may have {wanted.max_bytes}.")
    return faults, {"files": version.n_files, "bytes": version.n_bytes}


def _tags(wanted: TagsGate, version: Measured) -> tuple[list[str], dict[str, Any]]:
    missing = [key for key in wanted.keys if not version.tags.get(key, "").strip()]
    faults = [f"Tags are missing: {', '.join(missing)}."] if missing else []
    return faults, {"missing": missing}


def _metric(
    wanted: MetricGate, version: Measured, champion: Measured | None
) -> tuple[list[str], dict[str, Any]]:
    value = version.metrics.get(wanted.metric)
    known = None if champion is None else champion.metrics.get(wanted.metric)
    details: dict[str, Any] = {
        "value": _plain(value),
        "champion": None if champion is None else champion.number,
        "champion_value": _plain(known),
    }
    if value is None or not math.isfinite(value):
        said = NOTHING if value is None else str(value)
        return [f"Of the metric {wanted.metric!r} it says {said}."], details
    faults = []
    if wanted.at_least is not None and value < wanted.at_least:
        faults.append(f"{wanted.metric} is {value:g}, and must be at least {wanted.at_least:g}.")
    if wanted.at_most is not None and value > wanted.at_most:
        faults.append(f"{wanted.metric} is {value:g}, and may be at most {wanted.at_most:g}.")
    if champion is None or champion.number == version.number:
        return faults, details
    if known is None or not math.isfinite(known):
        faults.append(f"Version {champion.number}, which it replaces, does not say the metric.")
        return faults, details
    if wanted.same_data and (not version.data or version.data != champion.data):
        faults.append(f"It was not measured on the same data as version {champion.number}.")
    worse = known - value if wanted.higher_is_better else value - known
    if worse > wanted.worse_by_at_most:
        faults.append(
            f"{wanted.metric} is {value:g}, worse than the {known:g} of version "
            f"{champion.number} by more than {wanted.worse_by_at_most:g}."
        )
    return faults, details


def _plain(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)
