"""What a version's source means, as clients spell it.

`runs:/{run}/{path}`, `models:/m-{id}`, `models:/{name}/{number}`, `models:/{name}@{alias}` and the
addresses that we gave out ourselves name files of this project. A source in a store elsewhere
(`s3://...`) is kept as it is: the server reads nothing there, and vouches for nothing.
"""

import re
from urllib.parse import unquote

from maestro_ml.mlflow.deps import Workspace
from maestro_ml.mlflow.wire import as_id
from maestro_ml.mlflow.wire_files import Kept, readable
from maestro_ml.mlflow.wire_registry import CreateVersion, as_run
from maestro_ml.registry.errors import ModelVersionNotFound, SourceInvalid
from maestro_ml.registry.models import Stage
from maestro_ml.registry.records import VersionRecord
from maestro_ml.registry.schemas import MAX_NUMBER, Origin
from maestro_ml.registry.search import PROMPT
from maestro_ml.registry.service import aliases, versions
from maestro_ml.tracking.errors import LoggedModelNotFound, RunNotFound
from maestro_ml.tracking.paths import sound_path

_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]+):(?P<rest>.*)", re.DOTALL)
_MODEL = re.compile(r"(?P<name>[^/:@]+)(?:/(?P<which>[\w\-]+)|@(?P<alias>[\w\-]+))")
_STAGES = {stage.lower(): stage for stage in Stage}
# Whoever runs such a host would be told what the client sends there. MLflow's server takes none.
_HOSTS = frozenset(["http", "https", "ftp", "sftp", "hdfs", "viewfs", "r2", "b2", "abfss", "file"])


async def traced(here: Workspace, message: CreateVersion) -> tuple[str, Origin]:
    """The source as it is kept, and where its files are.

    Raises:
        SourceInvalid: it is a place on somebody's own machine, or no place, or it is not of the run
            or model that the message names.
        RunNotFound, LoggedModelNotFound, ModelVersionNotFound: nothing of ours is called so.
    """
    source = message.source
    found = _ADDRESS.fullmatch(source)
    if found is None:
        if any(tag.key == PROMPT and tag.value == "true" for tag in message.tags):
            return source, Origin()  # a prompt is all in its tags
        raise SourceInvalid(
            f"{source[:200]!r} is no address. Log the model to a run, and name it as "
            "runs:/RUN/PATH or models:/m-ID"
        )
    scheme, rest = found["scheme"].lower(), found["rest"]
    if scheme == "models" and {"/", "@"} & set(rest.strip("/")):
        known = await _version(here, rest.strip("/"))
        return f"models:/{known.name}/{known.version.number}", _copied(known, message)
    if scheme == "models":
        return source, _agreed(_of_logged_model(rest.strip("/")), message)
    if scheme == "runs":
        return source, _agreed(_of_run(rest), message)
    if scheme == "mlflow-artifacts" and not rest.startswith("//"):
        return source, _agreed(_of_files(rest.lstrip("/")), message)
    if scheme in _HOSTS or scheme == "mlflow-artifacts":
        raise SourceInvalid(f"it cannot use the {scheme!r} scheme")
    _check_elsewhere(rest)
    return source, Origin()


def _agreed(origin: Origin, message: CreateVersion) -> Origin:
    run_id, model_id = as_run(message.run_id), as_run(message.model_id.removeprefix("m-"))
    if origin.run_id and run_id and origin.run_id != run_id:
        raise SourceInvalid("the run_id must identify the run that contains the source")
    if origin.logged_model_id and model_id and origin.logged_model_id != model_id:
        raise SourceInvalid("the model_id must identify the logged model that is the source")
    return origin


def _copied(known: VersionRecord, message: CreateVersion) -> Origin:
    version = known.version
    run_id, model_id = as_run(message.run_id), as_run(message.model_id.removeprefix("m-"))
    if run_id not in {None, version.run_id} or model_id not in {None, version.logged_model_id}:
        raise SourceInvalid(
            "the run_id and model_id must match the model version that it is copied from"
        )
    if PROMPT in known.tags:
        raise SourceInvalid("a prompt's version is no model")
    return Origin(version_id=version.id)


async def _version(here: Workspace, rest: str) -> VersionRecord:
    found = _MODEL.fullmatch(rest)
    if found is None:
        raise SourceInvalid("it names neither a logged model nor a version of a model")
    name, which = found["name"], found["which"]
    if which is None or which.lower() == aliases.LATEST:
        alias = found["alias"] or aliases.LATEST
        return await aliases.find(here.work, here.project_id, name, alias)
    if stage := _STAGES.get(which.lower()):
        staged = await versions.latest(here.work, here.project_id, name, [stage])
        if not staged:
            raise ModelVersionNotFound
        return staged[0]
    if not which.isascii() or not which.isdecimal() or len(which) > len(str(MAX_NUMBER)):
        raise SourceInvalid("after the model's name comes a number, a stage or @ and an alias")
    return await versions.get(here.work, here.project_id, name, min(int(which), MAX_NUMBER))


def _of_run(rest: str) -> Origin:
    run, _, path = rest.lstrip("/").partition("/")
    id = as_id(run)
    if id is None:
        raise RunNotFound
    return Origin(run_id=id, path=sound_path(path))


def _of_logged_model(rest: str) -> Origin:
    if not rest.startswith("m-"):
        raise SourceInvalid("it names neither a logged model nor a version of a model")
    id = as_id(rest.removeprefix("m-"))
    if id is None:
        raise LoggedModelNotFound
    return Origin(logged_model_id=id)


def _of_files(rest: str) -> Origin:
    try:
        root, path = readable(rest)
    except RunNotFound:
        raise SourceInvalid("the server gave out no such address") from None
    if isinstance(root, Kept):
        return Origin(version_id=root.version_id)
    return Origin(run_id=root.run_id, logged_model_id=root.model_id, path=path)


def _check_elsewhere(rest: str) -> None:
    """A client follows it, so it leads where it says."""
    spelled, before = rest, ""
    while spelled != before:
        before, spelled = spelled, unquote(spelled)
    host, _, path = spelled.lstrip("/").partition("/")
    if not path or not host or ".." in path.split("/") or "\\" in path or not path.isprintable():
        raise SourceInvalid(
            "an absolute path must be provided without relative path references present"
        )
