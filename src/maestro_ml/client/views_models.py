"""What a server answers about registered models."""

from datetime import datetime
from uuid import UUID

from maestro_ml.client.views import Answer


class RegisteredModel(Answer):
    """A model, and which version each of its aliases means."""

    id: UUID
    project_id: UUID
    name: str
    description: str = ""
    tags: dict[str, str] = {}
    aliases: dict[str, int] = {}
    latest_version: int | None = None
    created_by: UUID | None = None
    created_at: datetime
    updated_at: datetime


class ModelVersion(Answer):
    """A version. Without a fingerprint its files are in a store elsewhere."""

    id: UUID
    project_id: UUID
    name: str
    version: int
    description: str = ""
    source: str
    run_id: UUID | None = None
    logged_model_id: UUID | None = None
    stage: str
    aliases: list[str] = []
    tags: dict[str, str] = {}
    n_files: int
    fingerprint: str | None = None
    created_by: UUID | None = None
    created_at: datetime
    updated_at: datetime


class VersionFile(Answer):
    path: str
    size: int
    sha256: str


class VersionComparison(Answer):
    """Each value by the version's number; of files those that differ, with their hashes."""

    versions: list[ModelVersion]
    params: dict[str, dict[int, str]]
    metrics: dict[str, dict[int, float]]
    files: dict[str, dict[int, str]]


class LineageDataset(Answer):
    name: str
    digest: str
    context: str | None = None


class LineageRun(Answer):
    id: UUID
    name: str
    status: str
    deleted: bool
    params: dict[str, str] = {}
    metrics: dict[str, float] = {}
    datasets: list[LineageDataset] = []


class LineageModel(Answer):
    id: UUID
    name: str
    deleted: bool


class Lineage(Answer):
    """From the data to the version."""

    run: LineageRun | None = None
    logged_model: LineageModel | None = None
    version: ModelVersion
