"""Why a database is not brought to another version."""

from maestro_ml.core.errors import Conflict, Unavailable


class SchemaTooNew(Unavailable):
    """The database was written by a newer version of Maestro ML than this one."""

    code = "schema-too-new"

    def __init__(self, revision: str, head: str) -> None:
        super().__init__(
            f"The database is at revision {revision!r}, which this version of Maestro ML does not "
            f"know (it ends at {head!r}): start the newer version that wrote it."
        )


class SchemaTooOld(Unavailable):
    """The database has not been brought to the version that the program needs."""

    code = "schema-too-old"

    def __init__(self, revision: str | None, head: str) -> None:
        super().__init__(
            f"The database is at revision {revision or 'none'!r} and this version of Maestro ML "
            f"needs {head!r}: run `maestro db upgrade`."
        )


class DatabaseLocked(Unavailable):
    """Another process holds the database, so its schema cannot change now."""

    code = "database-locked"

    def __init__(self) -> None:
        super().__init__(
            "Another process holds the database locked: stop it, or try again when it has ended."
        )


class DatabaseInUse(Conflict):
    """Servers or workers use the database, so its schema is not taken back from under them."""

    code = "database-in-use"

    def __init__(self) -> None:
        super().__init__("Servers or workers use this database: stop all of them before.")


class DatabaseUnreachable(Unavailable):
    """The database does not answer, or refuses the login."""

    code = "database-unreachable"

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"The database at {where} cannot be opened: {why}.")


class RolesMissing(Unavailable):
    """PostgreSQL lacks the two roles that keep tenants apart, and the login may not make them."""

    code = "database-roles-missing"

    def __init__(self, login: str) -> None:
        super().__init__(
            f"The login {login!r} is no member of the roles maestro_app and maestro_system and may "
            "not create them: let a database administrator run what `maestro db grants` prints."
        )


class MigrationRefused(Conflict):
    """A change of the schema would lose data, or goes to a revision that does not exist."""

    code = "migration-refused"
