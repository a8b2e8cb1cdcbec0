"""What a database's failure means to the caller: try again later, send something else, or a bug."""

import asyncio
import sqlite3
from typing import Any

import asyncpg
from sqlalchemy.engine import ExceptionContext

from maestro_ml.core.errors import Invalid, MaestroError, Unavailable

# Connection lost, out of resources, shutting down, lock or deadlock, cancelled, roles not granted.
_AWAY = ("08", "22023", "28", "3D000", "40001", "40P01", "53", "55P03", "57014", "57P", "58")
_STANDBY = "25006"  # takes no changes: since a fail-over, another server does
_UNFIT = ("22",)  # a value that the type cannot hold
_SQLITE_AWAY = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
}


class QueryTooSlow(Invalid):
    """What was asked for takes longer to find than others can be kept waiting."""

    code = "query-too-slow"

    def __init__(self) -> None:
        super().__init__(
            "Finding this takes too long. Narrow it: fewer comparisons, shorter patterns, fewer "
            "experiments, or a time range."
        )


def away() -> Unavailable:
    return Unavailable("The database does not answer right now. Try again in a moment.")


def meaning(error: BaseException) -> MaestroError | None:
    """The error to raise in its place, or None: a broken rule of the schema, or a bug of ours."""
    cause: Any = getattr(error, "driver_exception", None) or getattr(error, "orig", None) or error
    if _is_slow(cause):
        return QueryTooSlow()
    if _is_away(cause):
        return away()
    if _is_unfit(cause):
        return Invalid("A value is outside of what the database can hold.")
    return None


def _is_slow(cause: Any) -> bool:
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT
    return isinstance(cause, asyncpg.QueryCanceledError) and "statement timeout" in str(cause)


def _is_away(cause: Any) -> bool:
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in _SQLITE_AWAY
    if isinstance(cause, asyncpg.PostgresError):
        return (cause.sqlstate or "").startswith(_AWAY)
    if isinstance(cause, asyncpg.InterfaceError):
        return "clos" in str(cause)  # closed, or closing
    if isinstance(cause, asyncpg.InternalClientError):
        return "cannot switch to state" in str(cause)  # the server ended it between two messages
    return isinstance(cause, OSError | asyncio.TimeoutError)


def _is_unfit(cause: Any) -> bool:
    if isinstance(cause, asyncpg.PostgresError):
        return (cause.sqlstate or "").startswith(_UNFIT)
    return isinstance(cause, OverflowError | UnicodeEncodeError | asyncpg.exceptions.DataError)


def translate(context: ExceptionContext) -> MaestroError | None:
    """For SQLAlchemy's `handle_error`: it raises in place of its own error what this returns."""
    return meaning(context.original_exception)


def meaning_writing(error: BaseException) -> MaestroError | None:
    """The same where a transaction is there to write: that it may not is the database's refusal,
    and no bug of ours."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code & 0xFF == sqlite3.SQLITE_READONLY or getattr(error, "sqlstate", None) == _STANDBY:
        return away()
    return meaning(error)


def translate_writing(context: ExceptionContext) -> MaestroError | None:
    """For SQLAlchemy, where a transaction is there to write."""
    return meaning_writing(context.original_exception)


def translate_postgres(context: ExceptionContext) -> MaestroError | None:
    """For SQLAlchemy, where both kinds come from one pool."""
    connection = context.connection
    options = connection.get_execution_options() if connection is not None else {}
    reading = options.get("postgresql_readonly", False)
    return translate(context) if reading else translate_writing(context)
