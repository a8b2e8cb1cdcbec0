"""The files of a version: taken once, when it is made, and read from then on."""

from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from sqlalchemy import select

from maestro_ml.core.access import Permission
from maestro_ml.db.upsert import insert_or_ignore
from maestro_ml.db.work import Work
from maestro_ml.registry.errors import ModelVersionNotFound
from maestro_ml.registry.models import ModelVersion, ModelVersionFile
from maestro_ml.registry.schemas import Origin, VersionCreate
from maestro_ml.storage.models import StoredBlob
from maestro_ml.tracking.errors import LoggedModelNotFound, RunNotFound
from maestro_ml.tracking.models import File, LoggedModel, Run
from maestro_ml.tracking.search.folders import below
from maestro_ml.tracking.search.keyset import batched
from maestro_ml.tracking.service.files import Root

_Taken = Sequence[tuple[str, str, UUID, str]]  # folder, name, blob, its SHA-256


async def trace(work: Work, project_id: UUID, command: VersionCreate) -> Origin:
    """The run and the logged model that a version comes from, as far as they are known.

    Raises:
        RunNotFound, LoggedModelNotFound, ModelVersionNotFound: one is not of this project.
    """
    work.require(Permission.RUN_READ, project_id)
    origin = command.origin
    run_id = command.run_id or origin.run_id
    model_id = command.logged_model_id or origin.logged_model_id
    for id in {origin.run_id, run_id} - {None}:
        run = await work.session.get(Run, id)
        if run is None or run.project_id != project_id:
            raise RunNotFound
    for id in {origin.logged_model_id, model_id} - {None}:
        model = await work.session.get(LoggedModel, id)
        if model is None or model.project_id != project_id:
            raise LoggedModelNotFound
        run_id = run_id or model.source_run_id
    if origin.version_id is not None:
        # Kept until this one has its files as well.
        stay = {"read": True, "key_share": True}
        before = await work.session.get(ModelVersion, origin.version_id, with_for_update=stay)
        if before is None or before.project_id != project_id:
            raise ModelVersionNotFound
        run_id, model_id = run_id or before.run_id, model_id or before.logged_model_id
    if origin.run_id is not None and model_id is None:
        model_id = await _logged_as(work, origin)
    return Origin(run_id=run_id, logged_model_id=model_id)


async def take(work: Work, version: ModelVersion, origin: Origin) -> None:
    """Keep the files that the origin has now. Without an origin nothing is vouched for."""
    work.require(Permission.MODEL_WRITE, version.project_id)
    if origin.version_id is not None:
        before = await work.session.get_one(ModelVersion, origin.version_id)
        if before.fingerprint is None:
            return
        found = await _of_version(work, origin.version_id)
    elif origin.run_id is not None or origin.logged_model_id is not None:
        root = Root(
            run_id=None if origin.logged_model_id else origin.run_id,
            model_id=origin.logged_model_id,
        )
        found = await _below(work, root, origin.path)
        if not found and version.logged_model_id is not None:
            found = await _below(work, Root(model_id=version.logged_model_id), "")
    else:
        return
    rows = [
        {
            "version_id": version.id,
            "folder": folder,
            "name": name,
            "blob_id": blob_id,
            "created_at": work.now,
        }
        for folder, name, blob_id, _ in found
    ]
    key = ("version_id", "folder", "name")
    for some in batched(rows):
        await insert_or_ignore(work, ModelVersionFile, some, key=key)
    version.n_files, version.fingerprint = len(found), fingerprint(found)
    await work.session.flush()


def fingerprint(files: _Taken) -> str:
    """SHA-256 over the sorted lines `path NUL hash`: the same for the same files, whoever has
    them."""
    lines = sorted(
        f"{folder}/{name}\0{digest}\n" if folder else f"{name}\0{digest}\n"
        for folder, name, _, digest in files
    )
    return sha256("".join(lines).encode()).hexdigest()


async def _logged_as(work: Work, origin: Origin) -> UUID | None:
    """The newest model that a run logged under a name: clients since MLflow 3 keep its files apart
    from the run's, and call them by the run's address all the same."""
    run = await work.session.get_one(Run, origin.run_id)
    query = select(LoggedModel.id).where(
        LoggedModel.experiment_id == run.experiment_id,
        LoggedModel.source_run_id == run.id,
        LoggedModel.name == origin.path,
        LoggedModel.deleted_at.is_(None),
    )
    newest = query.order_by(LoggedModel.id.desc()).limit(1)
    return (await work.session.scalars(newest)).one_or_none()


async def _of_version(work: Work, id: UUID) -> _Taken:
    part = ModelVersionFile
    query = select(part.folder, part.name, part.blob_id, StoredBlob.sha256)
    query = query.join(StoredBlob, StoredBlob.id == part.blob_id).where(part.version_id == id)
    query = query.with_for_update(read=True, key_share=True, of=StoredBlob)
    return [(*row,) for row in await work.session.execute(query)]


async def _below(work: Work, root: Root, path: str) -> _Taken:
    """What lies in a folder, named from there; or a single file. Whoever deletes one of them
    waits, and then finds that it is still needed. Whoever changes the files takes turns with this:
    of a file that is replaced at the same moment, PostgreSQL would give neither the old nor the
    new one."""
    owner, id = (LoggedModel, root.model_id) if root.model_id else (Run, root.run_id)
    await work.session.get(owner, id, with_for_update={"read": True})
    folder, _, name = path.rpartition("/")
    itself = (File.folder == folder) & (File.name == name)
    query = select(File.folder, File.name, File.blob_id, StoredBlob.sha256)
    query = query.join(StoredBlob, StoredBlob.id == File.blob_id)
    query = query.where(root.holds(File), (File.folder == path) | below(File.folder, path) | itself)
    query = query.with_for_update(read=True, key_share=True, of=StoredBlob)
    start = len(path) + 1 if path else 0
    return [
        ("" if (at, called) == (folder, name) else at[start:], called, blob_id, digest)
        for at, called, blob_id, digest in await work.session.execute(query)
    ]
