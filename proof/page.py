"""The page that says what held."""

import os
import platform
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from proof.report import Found
from support.attacks import ABSENT, GROUPS, ROWS


def summary(found: Found) -> str:
    held = sum(row.held for row in found.rows.values())
    missed = [goal for goal in found.goals if not goal["met"]]
    return (
        f"{held} of {len(ROWS) - len(ABSENT)} attacks held, {found.passed} tests passed, "
        f"{len(found.failed)} failed, {len(missed)} limits of time missed"
    )


def write(found: Found, at: datetime, minutes: float, *, short: bool) -> str:
    return "\n".join(_lines(found, at, minutes, short)) + "\n"


def _lines(found: Found, at: datetime, minutes: float, short: bool) -> Iterator[str]:
    yield "# What was attacked, and what held"
    yield ""
    yield "<!-- Written by `make prove` from its own reports. -->"
    yield ""
    yield (
        f"`make prove{' SHORT=1' if short else ''}` on {at:%Y-%m-%d}, in "
        f"{'the short form of CI, in ' if short else ''}{minutes:.0f} minutes on "
        f"{os.cpu_count()} cores with "
        f"Python {platform.python_version()}, against live servers on SQLite and on PostgreSQL: "
        f"{summary(found)}. [The threat model](threats.md) says what is not defended."
    )
    yield from _groups(found)
    yield from _figures(found)
    yield from _attacks(found)
    yield from _list("Failed", found.failed)
    yield from _list(
        "Held when it was tried again, alone", [n for n in found.again if n not in found.failed]
    )
    yield from _list("Not run", found.not_run)


def _groups(found: Found) -> Iterator[str]:
    held = Counter(ROWS[number][0] for number, row in found.rows.items() if row.held)
    there = Counter(group for number, (group, _) in ROWS.items() if number not in ABSENT)
    yield from ("", "| group | held | of |", "|---|---|---|")
    for group, title in GROUPS.items():
        if there[group]:
            yield f"| {group}. {title} | {held[group]} | {there[group]} |"


def _figures(found: Found) -> Iterator[str]:
    yield from ("", "## How much", "", "| what | figure |", "|---|---|")
    for name, value in sorted(found.figures.items()):
        yield f"| {name} | {f'{value:,}' if isinstance(value, int) else value} |"
    if found.goals:
        yield from ("", "## Time", "", "| what | measured | limit | |", "|---|---|---|---|")
    for goal in found.goals:
        met = "held" if goal["met"] else "MISSED"
        unit = goal["unit"]
        yield f"| {goal['name']} | {goal['value']:.2f} {unit} | {goal['goal']:g} {unit} | {met} |"


def _attacks(found: Found) -> Iterator[str]:
    yield from ("", "## Each attack", "")
    yield "`make test T=<module>` tries one of them in its short form."
    yield from ("", "| | attack | tests | module | |", "|---|---|---|---|---|")
    for number, (group, title) in ROWS.items():
        row = found.rows[number]
        if number in ABSENT:
            yield f"| {group}{number} | {title} | | {ABSENT[number]} | |"
            continue
        modules = ", ".join(f"`{module}`" for module in sorted(row.modules))
        verdict = "held" if row.held else "NOT HELD"
        yield f"| {group}{number} | {title} | {row.passed + row.others} | {modules} | {verdict} |"


def _list(title: str, names: list[str]) -> Iterator[str]:
    if names:
        yield from ("", f"## {title}", "", *(f"- `{name}`" for name in sorted(names)))
