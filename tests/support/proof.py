"""How hard the proof tries: a short form with every other test, all of it in `make prove`."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

FULL = os.environ.get("MAESTRO_TEST_PROOF") == "full"
_FIGURES = os.environ.get("MAESTRO_TEST_PROOF_FIGURES")


def scale(short: int, full: int) -> int:
    return full if FULL else short


def some_of(values: Sequence[T], start: int, short: int) -> Iterator[T]:
    """All of them in full, else a few: others than from the next start."""
    for number in range(min(scale(short, len(values)), len(values))):
        yield values[(start + number) % len(values)]


def record(name: str, value: object) -> None:
    """A figure for the page of the proof: numbers of the same name are added up, words kept."""
    if _FIGURES:
        with Path(_FIGURES).open("a") as file:
            file.write(json.dumps({"name": name, "value": value}) + "\n")
