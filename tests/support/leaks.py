"""What must lie nowhere in clear: each secret that a test used, and whatever has the shape of one.

/proc/PID            the command line and the environment of a running server
every row            SQLite or PostgreSQL, of every tenant
every file           of the data folder, and the database's own with what was deleted in it
both logs            standard output and standard error
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from maestro_ml.identity import tokens
from support.dump import tables

Place = tuple[str, bytes]  # what it is called, and all of it

KNOWN: set[str] = set()  # of this test run
_LEAST = 8
_NAMES = re.compile(r"password|token|secret|recovery_code|device_code|csrf", re.IGNORECASE)
_NO_SECRETS = {"token_type"}
_TOKEN = re.compile(rb"ml[a-z]_[0-9A-Za-z]{20,}")
_JWT = re.compile(rb"eyJ[\w-]{8,}\.eyJ[\w-]{8,}")
_WORDS = re.compile(rb"[\w-]{16,}")
_HASHED = {"users.password_hash", "recovery_codes.hash"}  # columns for what is hashed slowly
# The first start prints a secret that works once, for whoever becomes the admin.
STDOUT = "standard output"
_PRINTED = tokens.SETUP


def secret(word: str) -> str:
    """The word, which is looked for everywhere from now on."""
    if len(word) >= _LEAST:
        KNOWN.add(word)
    return word


def note(value: Any, name: str = "") -> None:
    """Remember what stands under the name of a secret in a request's or an answer's JSON."""
    if isinstance(value, dict):
        for inner_name, inner in value.items():
            note(inner, inner_name)
    elif isinstance(value, list):
        for inner in value:
            note(inner, name)
    elif isinstance(value, str) and _NAMES.search(name) and name not in _NO_SECRETS:
        secret(value)


def leaks(places: Iterable[Place]) -> list[str]:
    """What was found, and where; of each secret no more than its beginning."""
    return [f"{name}: {what}" for name, whole in places for what in _in(name, whole)]


def _in(name: str, whole: bytes) -> Iterator[str]:
    for match in _TOKEN.finditer(whole):
        kind = match[0][:4].decode()
        if not (name == STDOUT and kind == _PRINTED) and _is_token(match[0].decode(), kind):
            yield f"a token {kind}..."
    if _JWT.search(whole):
        yield "a JSON web token"
    if b"$argon2" in whole and name not in _HASHED and not _is_database(name):
        yield "the hash of a password"
    words = b"\n".join(set(_WORDS.findall(whole)))
    for known in KNOWN:
        sought = known.encode()
        if name == STDOUT and known.startswith(_PRINTED):
            continue
        if sought in (words if _WORDS.fullmatch(sought) else whole):
            yield f"a secret that was used, {known[:4]}..."


def _is_token(text: str, kind: str) -> bool:
    try:
        length = len(tokens.mint(kind))
    except KeyError:
        return False
    return tokens.well_formed(text[:length], kind)


def _is_database(name: str) -> bool:
    return name.removesuffix("-wal").removesuffix("-shm").endswith(".db")


def in_process(pid: int) -> Iterator[Place]:
    for name in ("cmdline", "environ"):
        yield f"/proc/PID/{name}", Path(f"/proc/{pid}/{name}").read_bytes()


def in_files(*folders: Path) -> Iterator[Place]:
    """Of the folders, or the files themselves."""
    for folder in folders:
        for file in [folder, *folder.rglob("*")]:
            if file.is_file():
                yield f"the file {file.name}", file.read_bytes()


def in_rows(url: str) -> Iterator[Place]:
    """Each column with all its values; nothing, if its database is no longer there."""
    for name, table in tables(url).items():
        for at, column in enumerate(table.columns):
            yield f"{name}.{column}", b"\n".join(_as_bytes(row[at]) for row in table.rows)


def _as_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json.dumps(value, default=str)).encode()
