"""The data folder: made, writable, and used by one server at a time."""

import fcntl
import os
import stat
from pathlib import Path

from maestro_ml.cli.codes import Exit
from maestro_ml.cli.output import Refused, say

LOCK = "server.lock"


def prepare(folder: Path) -> None:
    """Make the folder if it is missing, for its owner only.

    Raises:
        Refused: it cannot be made or written.
    """
    os.umask(0o077)  # for the database and whatever else is made in it
    try:
        if not folder.exists():
            folder.mkdir(parents=True, mode=0o700)
            folder.chmod(0o700)
        elif not folder.is_dir():
            raise Refused(f"The data folder {folder} is not a folder.", Exit.FOLDER)
    except OSError as failed:
        raise Refused(
            f"The data folder {folder} cannot be made: {failed.strerror}.", Exit.FOLDER
        ) from None
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise Refused(
            f"The data folder {folder} cannot be written: give another with `--data`, or make it "
            "yours.",
            Exit.FOLDER,
        )
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        say(f"Warning: others can look into the data folder: `chmod 700 {folder}`.")


def hold(folder: Path) -> int:
    """Take the folder for this process; it is let go when the process ends, however it ends.

    Two servers would each remember sign-ins that the other one ends.

    Raises:
        Refused: another server has it.
    """
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as failed:
        raise Refused(
            f"The data folder {folder} cannot be written: {failed.strerror}.", Exit.FOLDER
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise Refused(
            f"Another server uses the data folder {folder}: stop it, or give another with "
            "`--data`.",
            Exit.LOCKED,
        ) from None
    return lock
