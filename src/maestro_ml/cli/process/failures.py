"""Each way in which a start fails, as one sentence and an exit code."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from maestro_ml.cli.codes import Exit
from maestro_ml.cli.output import FAILED, Refused
from maestro_ml.core.errors import MaestroError
from maestro_ml.core.folder import DataFolderInUse, DataFolderUnusable
from maestro_ml.core.settings import SettingsInvalid
from maestro_ml.db.installation import WrongMode
from maestro_ml.identity.errors import SecretKeyRefused
from maestro_ml.migrations.errors import (
    DatabaseInUse,
    DatabaseLocked,
    DatabaseUnreachable,
    MigrationRefused,
    RolesMissing,
    SchemaTooNew,
    SchemaTooOld,
)
from maestro_ml.storage.errors import StorageSettingsInvalid

T = TypeVar("T")
CODES: dict[type[MaestroError], Exit] = {
    SettingsInvalid: Exit.SETTING,
    SecretKeyRefused: Exit.SETTING,
    StorageSettingsInvalid: Exit.SETTING,
    DataFolderUnusable: Exit.FOLDER,
    DataFolderInUse: Exit.LOCKED,
    DatabaseLocked: Exit.LOCKED,
    DatabaseInUse: Exit.LOCKED,
    SchemaTooNew: Exit.SCHEMA,
    SchemaTooOld: Exit.SCHEMA,
    MigrationRefused: Exit.SCHEMA,
    WrongMode: Exit.MODE,
    DatabaseUnreachable: Exit.DATABASE,
    RolesMissing: Exit.ROLES,
}


@contextmanager
def told() -> Iterator[None]:
    """An expected failure ends the command with its sentence; anything else is a bug."""
    try:
        yield
    except MaestroError as expected:
        raise Refused(expected.detail, CODES.get(type(expected), FAILED)) from None


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it to its end, as `asyncio.run` does, and tell how it failed."""
    with told():
        return asyncio.run(coroutine)
