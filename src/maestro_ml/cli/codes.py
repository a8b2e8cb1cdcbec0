"""Exit codes: what a script can tell apart without reading the sentence."""

from enum import IntEnum


class Exit(IntEnum):
    """0 is done, 1 refused or failed, 2 a command line that makes no sense."""

    SETTING = 10
    PORT = 11
    FOLDER = 12
    LOCKED = 13
    SCHEMA = 14
    MODE = 15
    DATABASE = 16
    ROLES = 17
    TAMPERED = 18


MEANING = {
    0: "done",
    1: "refused or failed",
    2: "the command line makes no sense",
    Exit.SETTING: "a setting is invalid",
    Exit.PORT: "the port or address cannot be listened on",
    Exit.FOLDER: "the data folder cannot be used",
    Exit.LOCKED: "another process holds the database or the data folder",
    Exit.SCHEMA: "the schema is newer than this version, or cannot be changed",
    Exit.MODE: "dev data in normal mode, or the other way round",
    Exit.DATABASE: "the database does not answer or refuses the login",
    Exit.ROLES: "PostgreSQL lacks the roles that keep tenants apart",
    Exit.TAMPERED: "the audit trail is not as it was sealed",
}
EXIT_CODES = f"Exit codes: {'; '.join(f'{int(c)} {meaning}' for c, meaning in MEANING.items())}."
