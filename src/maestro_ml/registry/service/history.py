"""Where versions come from, and what tells them apart."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from maestro_ml.core.access import Permission
from maestro_ml.db.work import Work
from maestro_ml.registry.models import ModelVersion, ModelVersionFile
from maestro_ml.registry.records import Comparison, Lineage, VersionRecord
from maestro_ml.registry.service import lookup, reading
from maestro_ml.storage.models import StoredBlob
from maestro_ml.tracking.errors import LoggedModelNotFound, RunNotFound
from maestro_ml.tracking.records import LoggedModelRecord, RunRecord
from maestro_ml.tracking.service import logged_models, runs


async def lineage(work: Work, project_id: UUID, name: str, number: int) -> Lineage:
    """The run with its datasets, the logged model and the version.

    Raises:
        RegisteredModelNotFound, ModelVersionNotFound: there is no such version.
    """
    model = await lookup.model(work, project_id, name)
    work.require(Permission.MODEL_READ, project_id)
    version = await lookup.version(work, model, number)
    (record,) = await reading.versions(work, [version], {model.id: model.name})
    return await _lineage(work, record)


async def compare(work: Work, project_id: UUID, name: str, numbers: Sequence[int]) -> Comparison:
    """Versions of a model side by side, in the order in which they are named.

    Raises:
        RegisteredModelNotFound, ModelVersionNotFound: one is not there.
    """
    model = await lookup.model(work, project_id, name)
    work.require(Permission.MODEL_READ, project_id)
    wanted = list(dict.fromkeys(numbers))
    rows = [await lookup.version(work, model, number) for number in wanted]
    records = await reading.versions(work, rows, {model.id: model.name})
    params: dict[str, dict[int, str]] = {}
    metrics: dict[str, dict[int, float]] = {}
    files: dict[str, dict[int, str]] = {}
    for record in records:
        number = record.version.number
        found = await _lineage(work, record)
        for key, text in _params(found).items():
            params.setdefault(key, {})[number] = text
        for key, value in metrics_of(found).items():
            metrics.setdefault(key, {})[number] = value
        for path, digest in (await _hashes(work, record.version)).items():
            files.setdefault(path, {})[number] = digest
    differing = {
        path: known
        for path, known in sorted(files.items())
        if len(known) < len(wanted) or len({*known.values()}) > 1
    }
    return Comparison(records, params, metrics, differing)


async def _lineage(work: Work, record: VersionRecord) -> Lineage:
    version = record.version
    logged: LoggedModelRecord | None = None
    run: RunRecord | None = None
    if version.logged_model_id is not None:
        try:
            logged = await logged_models.get(work, version.logged_model_id, deleted_too=True)
        except LoggedModelNotFound:
            logged = None
    if version.run_id is not None:
        try:
            run = await runs.get(work, version.run_id)
        except RunNotFound:
            run = None
    return Lineage(record, logged, run)


def _params(found: Lineage) -> dict[str, str]:
    """Of the run, and over them those that were logged for the model."""
    of_run = dict(found.run.params) if found.run else {}
    return of_run | (dict(found.logged_model.params) if found.logged_model else {})


def metrics_of(found: Lineage) -> dict[str, float]:
    """Of the run, and over them those that were logged for the model."""
    of_run = {point.key: point.value for point in found.run.metrics} if found.run else {}
    points = found.logged_model.points if found.logged_model else []
    return of_run | {point.key: point.value for point in points}


async def _hashes(work: Work, version: ModelVersion) -> dict[str, str]:
    part = ModelVersionFile
    query = select(part.folder, part.name, StoredBlob.sha256)
    query = query.join(StoredBlob, StoredBlob.id == part.blob_id)
    rows = await work.session.execute(query.where(part.version_id == version.id))
    return {f"{folder}/{name}" if folder else name: digest for folder, name, digest in rows}
