"""How the tests are shared among the processes that run them.

A file's tests stay together, apart for each database: a server and its people are made once for
all of a database's tests, and twice as many pieces are left to share. What takes longest begins
first, so that nothing long is left alone at the end.
"""

import re
from collections import Counter

import pytest
from xdist.scheduler import LoadScopeScheduling

_DATABASE = re.compile(r"[\[-](sqlite|postgresql)[\]-]")
_ORDER = ("sqlite", "postgresql", "")


class ByFileAndDatabase(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    def _split_scope(self, nodeid: str) -> str:
        return " ".join(_piece(nodeid))


def in_order(items: list[pytest.Item]) -> None:
    """Database by database; within each, the longest first by their own limits."""
    size = Counter(_piece(item.nodeid) for item in items)
    limit: dict[tuple[str, str], float] = {}
    for item in items:
        piece, mark = _piece(item.nodeid), item.get_closest_marker("timeout")
        limit[piece] = max(limit.get(piece, 0), mark.args[0] if mark else 0)

    def rank(item: pytest.Item) -> tuple[int, float, int, str]:
        piece = _piece(item.nodeid)
        file, database = piece
        return _ORDER.index(database), -limit[piece], -size[piece], file

    items.sort(key=rank)


def _piece(nodeid: str) -> tuple[str, str]:
    file, _, name = nodeid.partition("::")
    found = _DATABASE.search(name)
    return file, found[1] if found else ""
