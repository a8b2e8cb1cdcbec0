"""What the tests and the benchmarks reported."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.report import RESULTS

from support.attacks import ABSENT, ROWS


@dataclass
class Row:
    """One attack: the modules that try it, and how many of their tests held."""

    modules: set[str] = field(default_factory=set)
    passed: int = 0
    others: int = 0  # failed, broken or not run

    @property
    def held(self) -> bool:
        return self.passed > 0 and not self.others


@dataclass
class Found:
    rows: dict[int, Row]
    passed: int = 0
    failed: list[str] = field(default_factory=list)  # or broken
    not_run: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    goals: list[dict[str, Any]] = field(default_factory=list)

    @property
    def held(self) -> bool:
        rows = all(row.held for number, row in self.rows.items() if number not in ABSENT)
        return rows and not self.failed and all(goal["met"] for goal in self.goals)


def read(junit: Path, figures: Path) -> Found:
    found = Found({number: Row() for number in ROWS})
    cases = ElementTree.parse(junit).iter("testcase")
    for case in cases:
        name = f"{case.get('classname')}: {case.get('name')}"
        bad = case.find("failure") is not None or case.find("error") is not None
        skipped = case.find("skipped") is not None
        if bad:
            found.failed.append(name)
        elif skipped:
            found.not_run.append(name)
        else:
            found.passed += 1
        for told in case.iter("property"):
            if told.get("name") == "row":
                row = found.rows[int(told.get("value", ""))]
                row.modules.add((case.get("classname") or "").replace(".", "/") + ".py")
                row.passed += not (bad or skipped)
                row.others += bad or skipped
    for line in figures.read_text().splitlines() if figures.exists() else []:
        one = json.loads(line)
        before = found.figures.get(one["name"])
        adds = isinstance(before, int | float)
        found.figures[one["name"]] = before + one["value"] if adds else one["value"]
    return found


def goals(name: str) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads((RESULTS / f"{name}.json").read_text())["goals"]
    return told
