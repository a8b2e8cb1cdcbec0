"""Files of runs and logged models: names for blobs. Their bytes are `uploads`' business.

A folder is there while something lies in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select

from maestro_ml.audit.service import record
from maestro_ml.core.access import Permission
from maestro_ml.db.work import Work
from maestro_ml.storage.blobs import Stored
from maestro_ml.storage.models import StoredBlob
from maestro_ml.tenancy.service import storage
from maestro_ml.tracking.errors import LoggedModelNotFound, RunDeleted, RunNotFound
from maestro_ml.tracking.errors_files import FileNotFound, PathInvalid, PathTaken
from maestro_ml.tracking.models import File, LoggedModel, Run, Upload
from maestro_ml.tracking.paths import split
from maestro_ml.tracking.search.folders import Entry, below, entries
from maestro_ml.tracking.search.keyset import batched
from maestro_ml.tracking.service import model_lookup, runs

Owner = TypeVar("Owner", Run, LoggedModel)


@dataclass(frozen=True, slots=True)
class Root:
    """Where the files of one run or one logged model are. With an experiment, of that one only."""

    run_id: UUID | None = None
    model_id: UUID | None = None
    experiment_id: UUID | None = None

    def holds(self, kind: type[File | Upload]) -> ColumnElement[bool]:
        """Whether a row is of this root."""
        return kind.run_id == self.run_id if self.run_id else kind.model_id == self.model_id


@dataclass(frozen=True, slots=True)
class Found:
    """A file, and the blob that it names now."""

    name: str
    blob_id: UUID
    size: int
    sha256: str
    changed_at: datetime


async def project_of(work: Work, root: Root) -> UUID:
    """The project of a run or model that is there, deleted or not, and in sight.

    Raises:
        RunNotFound, LoggedModelNotFound: there is no such run or model.
    """
    if root.model_id is not None:
        return _of_its_experiment(await model_lookup.find(work, root.model_id), root).project_id
    run = await work.session.get(Run, root.run_id)
    if run is None or not work.allows(Permission.RUN_READ, run.project_id):
        raise RunNotFound
    return _of_its_experiment(run, root).project_id


async def find(work: Work, root: Root, path: str) -> Found:
    """A file to be read.

    Raises:
        RunNotFound, FileNotFound: there is none.
    """
    work.require(Permission.RUN_READ, await project_of(work, root))
    folder, name = split(path)
    query = select(File, StoredBlob).join(StoredBlob, StoredBlob.id == File.blob_id)
    query = query.where(root.holds(File), File.folder == folder, File.name == name)
    row = (await work.session.execute(query)).one_or_none()
    if row is None:
        raise FileNotFound
    file, blob = row
    return Found(file.name, blob.id, blob.size, blob.sha256, file.created_at)


async def listing(work: Work, root: Root, path: str) -> list[Entry]:
    """What lies in a folder, by name; nothing, if there is no such folder.

    Raises:
        RunNotFound: there is no such run or model.
    """
    work.require(Permission.RUN_READ, await project_of(work, root))
    query = select(File.folder, File.name, StoredBlob.size)
    query = query.join(StoredBlob, StoredBlob.id == File.blob_id).where(root.holds(File))
    return await entries(work, query, File.folder, path)


async def check_writable(work: Work, root: Root, path: str) -> UUID:
    """The project into which a file may come, as far as can be said before its bytes have.

    Raises:
        RunNotFound, RunDeleted, PathInvalid, PathTaken: there is no place for it.
    """
    project_id = await project_of(work, root)
    work.require(Permission.RUN_WRITE, project_id)
    if root.run_id and (await work.session.get_one(Run, root.run_id)).deleted_at:
        raise RunDeleted
    if root.model_id and (await work.session.get_one(LoggedModel, root.model_id)).deleted_at:
        raise LoggedModelNotFound
    await _check_free(work, root, path)
    return project_id


async def put(
    work: Work, root: Root, path: str, id: UUID, stored: Stored, *, parts: Sequence[UUID] = ()
) -> list[UUID]:
    """Name a blob that came whole, or was put together from parts. Gives what is loose from here
    on: the parts, and the blob that had the name before.

    Raises:
        RunNotFound, RunDeleted, PathTaken, UploadLost: it has no place any more.
    """
    project_id = await _held(work, root)
    work.require(Permission.RUN_WRITE, project_id)
    await _check_free(work, root, path)
    await storage.settle(work, id, stored, parts=parts)
    return [*parts, *await _name(work, root, path, id, project_id)]


async def remove(work: Work, root: Root, path: str) -> list[UUID]:
    """Take away a file, or a folder with all that is in it; the empty path is everything. Gives
    the blobs that are loose now; what is not there is no fault.

    Raises:
        RunNotFound, RunDeleted: there is nothing to take away from.
    """
    project_id = await _held(work, root)
    work.require(Permission.RUN_WRITE, project_id)
    folder, name = split(path)
    itself = (File.folder == folder) & (File.name == name)
    inside = (File.folder == path) | below(File.folder, path)
    gone = await work.session.scalars(
        delete(File)
        .where(root.holds(File), itself | inside if path else inside)
        .returning(File.blob_id)
        .execution_options(synchronize_session=False)
    )
    blobs = set(gone.all())
    if blobs:
        owner = "run" if root.run_id else "logged_model"
        id = root.run_id or root.model_id
        record(work, f"{owner}.files_deleted", owner, id, path=path, n=len(blobs))
    return [one for some in batched(blobs) for one in await storage.let_go(work, some)]


async def _name(work: Work, root: Root, path: str, id: UUID, project_id: UUID) -> list[UUID]:
    folder, name = split(path)
    query = select(File).where(root.holds(File), File.folder == folder, File.name == name)
    file = await work.session.scalar(query)
    if file is None:
        file = File(
            run_id=root.run_id,
            model_id=root.model_id,
            project_id=project_id,
            folder=folder,
            name=name,
            blob_id=id,
            created_by=work.access.actor_id,
            created_at=work.now,
        )
        work.session.add(file)
        await work.session.flush()
        return []
    before, file.blob_id = file.blob_id, id
    file.created_at, file.created_by = work.now, work.access.actor_id
    await work.session.flush()
    return await storage.let_go(work, [before])


async def _held(work: Work, root: Root) -> UUID:
    """As `project_of`, of one that may be changed; whoever changes its files takes turns."""
    if root.model_id is not None:
        return _of_its_experiment(await model_lookup.lock(work, root.model_id), root).project_id
    assert root.run_id is not None
    return _of_its_experiment(await runs.lock(work, root.run_id), root).project_id


def _of_its_experiment(owner: Owner, root: Root) -> Owner:
    if root.experiment_id not in {None, owner.experiment_id}:
        raise RunNotFound if isinstance(owner, Run) else LoggedModelNotFound
    return owner


async def _check_free(work: Work, root: Root, path: str) -> None:
    """A path is a file or a folder, not both."""
    if not path:
        raise PathInvalid("it names no file")
    folders = [path]
    while folders[-1]:
        folders.append(split(folders[-1])[0])
    above = [split(folder) for folder in folders[1:-1]]
    clash: ColumnElement[bool] = (File.folder == path) | below(File.folder, path)
    for folder, name in above:
        clash |= (File.folder == folder) & (File.name == name)
    query = select(File.id).where(root.holds(File), clash).limit(1)
    if await work.session.scalar(query) is not None:
        raise PathTaken
