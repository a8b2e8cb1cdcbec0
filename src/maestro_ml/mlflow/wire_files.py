"""The messages about files, and the addresses of files."""

import re
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, Field

from maestro_ml.core.schemas import Text
from maestro_ml.mlflow.errors import VersionFilesKept
from maestro_ml.mlflow.wire import NOBODY, Message, OfRun, as_id
from maestro_ml.tracking import schemas
from maestro_ml.tracking.errors import RunNotFound
from maestro_ml.tracking.errors_files import FileNotFound, PathInvalid, UploadNotFound
from maestro_ml.tracking.paths import sound_path
from maestro_ml.tracking.search.folders import Entry
from maestro_ml.tracking.service.files import Root
from maestro_ml.tracking.service.uploads import MAX_PARTS, Begun, Part

FILES, MODELS, VERSIONS = "artifacts", "models", "versions"
MODEL_PREFIX = "m-"
LONGEST_TIME = 604_800
_OF_RUN, _OF_MODEL = 3, 4  # names before the path below
_LAST = re.compile(r"[^/\\]*$")

PartNumber = Annotated[schemas.Int64, Field(ge=1, le=MAX_PARTS)]


class ListArtifacts(OfRun):
    path: Text = ""
    page_token: str = ""


class PresignDownload(OfRun):
    path: Text
    expiration: Annotated[schemas.Int64, Field(ge=1, le=LONGEST_TIME)] = 900


class PresignUpload(OfRun):
    path: Text
    model_id: str = ""

    @property
    def root(self) -> Root:
        """Raises:
        Invalid, RunNotFound, FileNotFound: nothing is named, or nothing that is there.
        """
        if self.run_id or self.run_uuid or not self.model_id:
            return Root(run_id=self.id)
        return Root(model_id=_model_id(self.model_id))


class CreateMultipartUpload(Message):
    """`path` is where the file is with the client: only its name counts."""

    path: Text
    num_parts: PartNumber = 1


class OfUpload(Message):
    path: Text
    upload_id: str = ""

    @property
    def id(self) -> UUID:
        """Raises:
        UploadNotFound: this is no id.
        """
        id = as_id(self.upload_id)
        if id is None:
            raise UploadNotFound
        return id


class ReceivedPart(Message):
    part_number: PartNumber
    etag: Annotated[Text, BeforeValidator(lambda v: v or ""), Field(max_length=200)] = ""


class CompleteMultipartUpload(OfUpload):
    parts: Annotated[list[ReceivedPart], Field(min_length=1, max_length=MAX_PARTS)]

    @property
    def received(self) -> list[Part]:
        return [Part(part.part_number, part.etag.strip('"')) for part in self.parts]


@dataclass(frozen=True, slots=True)
class Kept:
    """Where the files of a model's version are, which never change."""

    version_id: UUID


def place_of(path: str, local: str | None = None) -> tuple[Root, str]:
    """What an address means to whoever changes something; of a file that comes in parts, the
    client's own path gives the name.

    Raises:
        PathInvalid: it is unsound.
        RunNotFound: nothing of ours has such an address.
        VersionFilesKept: it is of a model's version.
    """
    root, below = _meant(path, local)
    if isinstance(root, Kept):
        raise VersionFilesKept
    return root, below


def readable(path: str) -> tuple[Root | Kept, str]:
    """The same, to whoever reads.

    Raises:
        PathInvalid, RunNotFound: as `place_of`.
    """
    return _meant(path, None)


def _meant(path: str, local: str | None) -> tuple[Root | Kept, str]:
    names = sound_path(path).split("/")
    if local is not None:
        last = _LAST.search(local)
        if last is None or not last[0]:
            raise PathInvalid("it names no file")
        names = sound_path("/".join([*names, last[0]])).split("/")
    if names[0] == VERSIONS and names[_OF_RUN - 1 : _OF_RUN] == [FILES]:
        return Kept(as_id(names[1]) or NOBODY), sound_path("/".join(names[_OF_RUN:]))
    experiment = as_id(names[0])
    if experiment is None:
        raise RunNotFound
    if names[_OF_RUN - 1 : _OF_RUN] == [FILES] and (run := as_id(names[1])):
        return Root(run_id=run, experiment_id=experiment), sound_path("/".join(names[_OF_RUN:]))
    if names[1:2] == [MODELS] and names[_OF_MODEL - 1 : _OF_MODEL] == [FILES]:
        root = Root(model_id=_model_id(names[2]), experiment_id=experiment)
        return root, sound_path("/".join(names[_OF_MODEL:]))
    raise RunNotFound


def file_message(entry: Entry, below: str = "") -> dict[str, Any]:
    """Named from the run's root or, with a folder, from there."""
    path = entry.path[len(below) :].lstrip("/")
    if entry.size is None:
        return {"path": path, "is_dir": True}
    return {"path": path, "is_dir": False, "file_size": entry.size}


def upload_message(begun: Begun, count: int, url: str, header: str) -> dict[str, Any]:
    id = begun.id.hex
    return {
        "upload_id": id,
        "credentials": [
            {
                "url": f"{url}/{id}/{number}",
                "part_number": number,
                "headers": {header: begun.secret},
            }
            for number in range(1, count + 1)
        ],
    }


def _model_id(text: str) -> UUID:
    id = as_id(text.removeprefix(MODEL_PREFIX))
    if id is None:
        raise FileNotFound
    return id
