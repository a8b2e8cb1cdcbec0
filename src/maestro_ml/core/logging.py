"""One JSON object a line on standard error, with the request's ids and never a secret.

Event names are `package.verb`. What other libraries log goes the same way.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

import structlog

from maestro_ml.core.settings_groups import Log, LogFormat

_HIDDEN = "(hidden)"
_SECRET_NAMES = re.compile(
    r"password|secret|token|authorization|cookie|api_?key$|credential|private", re.IGNORECASE
)
# Our own tokens, JWTs, password hashes, a password in an address, and what follows such a name.
_SECRETS = re.compile(
    r"ml[a-z]_[0-9A-Za-z]{20,}|eyJ[\w-]{8,}(?:\.[\w-]*)*|\$(?:argon2\w*|2[aby])\$\S+"
    r"|(?i:(?<=bearer )|(?<=basic )|(?<=password=)|(?<=token=)|(?<=secret=))[^\s&\"']+"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
)
# One of these is in each of them: nearly every text is let go by a look for it.
_SUSPECT = re.compile(r"[_$=@ ]|eyJ")
_LONGEST = 8_000
_POOLS = ("sqlalchemy", "maestro_ml.db.pool")  # the library logs under the name of our class


def without_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Values under a secret's name are hidden, and so is what looks like one anywhere else."""
    for name, value in event.items():
        event[name] = _HIDDEN if _is_secrets(name) else _clean(value)
    return event


def configure(log: Log) -> None:
    """Set the process's logging up; calling it again changes it."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    shown = (
        structlog.processors.JSONRenderer()
        if log.format is LogFormat.JSON
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    written: list[Any] = [structlog.processors.format_exc_info, without_secrets, shown]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *written],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(log.level.upper())
    # What a line of theirs would say is said by our own, or by nobody.
    for noisy in ("uvicorn", "uvicorn.access", "uvicorn.error", "alembic", "aiosqlite", *_POOLS):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    # Our own do not go by way of the standard library, whose record of a line costs as much again.
    structlog.configure(
        processors=[*shared, *written],
        wrapper_class=structlog.make_filtering_bound_logger(root.level),
        logger_factory=lambda *_: _LINES,
        cache_logger_on_first_use=False,
    )


class _Lines:
    """Standard error. That nobody reads it any more stops nothing, as with the standard library."""

    def info(self, line: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    debug = warning = error = critical = info


_LINES = _Lines()


@lru_cache(maxsize=1024)
def _is_secrets(name: str) -> bool:
    return _SECRET_NAMES.search(name) is not None


def _clean(value: Any) -> Any:
    match value:
        case str():
            clean = _SECRETS.sub(_HIDDEN, value) if _SUSPECT.search(value) else value
            return clean[:_LONGEST]
        case dict():
            return {
                name: _HIDDEN if _is_secrets(str(name)) else _clean(one)
                for name, one in value.items()
            }
        case list() | tuple():
            return [_clean(one) for one in value]
        case None | bool() | int() | float():
            return value
    return _clean(str(value))
