"""Names of files, as they were sent: what is stored here is a row, and no name is ever a path on
the server. But others write files by these names, so none may lead anywhere else."""

import re
import unicodedata
from urllib.parse import unquote

from maestro_ml.tracking.errors_files import PathInvalid

MAX_BYTES = 1024
MAX_NAME_BYTES = 255  # what file systems take
# `a:b.txt` too: joined to a folder, Windows takes it for `b.txt` in another one, on drive `a:`.
# Each name counts, since a folder's are listed, and then joined, by themselves. After a longer
# name a colon begins a stream of that file, which is where it belongs.
_DRIVE = re.compile(r"(?:^|/)[A-Za-z]:")
_MISLEADS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def sound_path(path: str) -> str:
    """The path, without a slash at its end; the empty one is the root.

    Raises:
        PathInvalid: it is unsound, or would be once somebody decodes or normalises it.
    """
    path = path.removesuffix("/")
    if len(path) > MAX_BYTES:
        raise _too_long()
    seen: set[str] = set()
    spelled = path
    while spelled not in seen:
        seen.add(spelled)
        for spelling in {spelled, unicodedata.normalize("NFKC", spelled)}:
            _check(spelling)
        spelled = unquote(spelled, errors="surrogateescape")
    if len(path.encode()) > MAX_BYTES:
        raise _too_long()
    if any(len(name.encode()) > MAX_NAME_BYTES for name in path.split("/")):
        raise PathInvalid(f"a name in it is longer than {MAX_NAME_BYTES} bytes")
    return path


def split(path: str) -> tuple[str, str]:
    """The folder and the name."""
    folder, _, name = path.rpartition("/")
    return folder, name


def _too_long() -> PathInvalid:
    return PathInvalid(f"it is longer than {MAX_BYTES} bytes")


def _check(path: str) -> None:
    if "\ufffd" in path:
        raise PathInvalid("it contains U+FFFD, which stands for what is no UTF-8: rename the file")
    if _MISLEADS.search(path):
        raise PathInvalid("it contains control characters")
    if "\\" in path or "#" in path:
        raise PathInvalid("it contains a backslash or a number sign")
    if _DRIVE.search(path):
        raise PathInvalid(
            "a name begins with a letter and a colon, for Windows a drive: rename the file"
        )
    names = path.split("/") if path else []
    if names[:1] == ["~"] or any(name in {"", ".", ".."} for name in names):
        raise PathInvalid("it must be relative, without '.', '..', '~' and empty names")
