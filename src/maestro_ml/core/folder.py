"""The data folder: made, writable, and used by one server at a time."""

import fcntl
import os
import stat
from pathlib import Path

from maestro_ml.core.errors import Conflict, Unavailable

LOCK = "server.lock"


class DataFolderUnusable(Unavailable):
    """Said at the start: the data folder cannot be made or written."""

    code = "data-folder-unusable"


class DataFolderInUse(Conflict):
    """Said at the start: another server, or a change of the schema, has the data folder."""

    code = "data-folder-in-use"


def prepare(folder: Path) -> None:
    """Make the folder if it is missing, for its owner only, like all that is made in it.

    Raises:
        DataFolderUnusable: it cannot be made or written.
    """
    os.umask(0o077)
    try:
        if not folder.exists():
            folder.mkdir(parents=True, mode=0o700)
            folder.chmod(0o700)
        elif not folder.is_dir():
            raise DataFolderUnusable(f"The data folder {folder} is not a folder.")
    except OSError as failed:
        raise DataFolderUnusable(
            f"The data folder {folder} cannot be made: {failed.strerror}."
        ) from None
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise DataFolderUnusable(
            f"The data folder {folder} cannot be written: give another with `--data` or "
            "MAESTRO_DATA, or make it yours."
        )


def hold(folder: Path) -> None:
    """Take the folder for this process; it is let go when the process ends, however it ends.

    Two servers would each remember sign-ins that the other one ends.

    Raises:
        DataFolderInUse: another server has it.
        DataFolderUnusable: it cannot be written.
    """
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as failed:
        raise DataFolderUnusable(
            f"The data folder {folder} cannot be written: {failed.strerror}."
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise DataFolderInUse(
            f"Another server uses the data folder {folder}: stop it, or give another with "
            "`--data` or MAESTRO_DATA."
        ) from None


def open_to_others(folder: Path) -> bool:
    """Whether somebody else on this machine can look into it."""
    return stat.S_IMODE(folder.stat().st_mode) & 0o077 != 0
