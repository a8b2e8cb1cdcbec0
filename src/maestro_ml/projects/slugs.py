"""A project's slug: MLflow's workspace name, made from a name or checked as sent."""

import re
import unicodedata
from collections.abc import Collection
from uuid import UUID

LONGEST = 63
# MLflow's client and server give these a meaning of their own.
RESERVED = frozenset({"workspaces", "api", "ajax-api", "static-files", "default"})
# Letters that Unicode does not take apart into a plain one and a mark.
_LETTERS = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th", "\u0131": "i"}
)


def sound_slug(slug: str) -> str:
    """Raises:
    ValueError: the slug would be taken for something else.
    """
    if slug in RESERVED:
        raise ValueError(f"{slug!r} is reserved: choose another slug")
    if _reads_as_id(slug):
        raise ValueError("must not read like an id")
    return slug


def slug_from(name: str) -> str:
    """The slug that a name suggests; it may be taken."""
    plain = unicodedata.normalize("NFKD", name.casefold().translate(_LETTERS))
    bare = "".join(char for char in plain if not unicodedata.combining(char))
    slug = re.sub(r"[^a-z0-9]+", "-", bare).strip("-")[:LONGEST].rstrip("-")
    if len(slug) > 1 and slug not in RESERVED and not _reads_as_id(slug):
        return slug
    return f"project-{slug}" if slug else "project"


def first_free(slug: str, taken: Collection[str]) -> str:
    """The slug itself, or with the first number that nobody has."""
    free, number = slug, 1
    while free in taken:
        number += 1
        end = f"-{number}"
        free = slug[: LONGEST - len(end)].rstrip("-") + end
    return free


def _reads_as_id(slug: str) -> bool:
    try:
        UUID(slug)
    except ValueError:
        return False
    return True
