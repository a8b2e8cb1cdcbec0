"""The API key that `maestro login` keeps: one file that only its owner can read."""

import json
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from maestro_ml.cli.output import Refused

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Where, as whom, and with what."""

    url: str
    token: str = field(repr=False)
    email: str | None = None
    key_id: str | None = None  # None: the key was made elsewhere, so it is not ours to end


def folder() -> Path:
    named = os.environ.get("MAESTRO_CONFIG_DIR")
    base = os.environ.get("XDG_CONFIG_HOME")
    return Path(named) if named else (Path(base) if base else Path.home() / ".config") / "maestro"


def file() -> Path:
    return folder() / "credentials.json"


def load() -> Credentials | None:
    """What was kept, or None.

    Raises:
        Refused: others can read the file, or it is not what `maestro login` writes.
    """
    path = file()
    try:
        kept = path.stat()
        if stat.S_IMODE(kept.st_mode) & 0o077 or kept.st_uid != os.geteuid():
            raise Refused(
                f"Others can read or replace {path}, so its key may be known: revoke that key, "
                "and sign in again with `maestro login`."
            )
        return Credentials(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as unreadable:
        raise Refused(
            f"{path} cannot be used ({unreadable}): sign in again with `maestro login`."
        ) from None


def save(credentials: Credentials) -> Path:
    """Keep them in place of what was there: whole, or not at all.

    Raises:
        Refused: the folder cannot be written.
    """
    path = file()
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, mode=0o700)
            path.parent.chmod(0o700)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as writing:
            json.dump(asdict(credentials), writing, indent=2)
            writing.flush()
            os.fsync(writing.fileno())
        part.replace(path)
    except OSError as unwritable:
        with suppress(OSError):
            part.unlink()
        raise Refused(f"{path} cannot be written: {unwritable.strerror}.") from None
    return path


def forget() -> None:
    file().unlink(missing_ok=True)
