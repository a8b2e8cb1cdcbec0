"""What the tests and the benchmarks reported."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.report import RESULTS

from support.attacks import ABSENT, ROWS

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass
class Row:
    """One attack: the modules that try it, and how many of their tests held."""

    modules: set[str] = field(default_factory=set)
    passed: int = 0
    others: int = 0  # failed, broken or not run

    @property
    def held(self) -> bool:
        return self.passed > 0 and not self.others


@dataclass(frozen=True)
class Case:
    """One test as it ended."""

    outcome: str
    module: str
    rows: tuple[int, ...]


@dataclass
class Found:
    cases: dict[str, Case] = field(default_factory=dict)  # by name
    again: list[str] = field(default_factory=list)  # failed at first
    figures: dict[str, Any] = field(default_factory=dict)
    goals: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rows(self) -> dict[int, Row]:
        found = {number: Row() for number in ROWS}
        for case in self.cases.values():
            for number in case.rows:
                row = found[number]
                row.modules.add(case.module)
                row.passed += case.outcome == PASSED
                row.others += case.outcome != PASSED
        return found

    @property
    def passed(self) -> int:
        return sum(case.outcome == PASSED for case in self.cases.values())

    @property
    def failed(self) -> list[str]:
        """Broken ones, too."""
        return [name for name, case in self.cases.items() if case.outcome == FAILED]

    @property
    def not_run(self) -> list[str]:
        return [name for name, case in self.cases.items() if case.outcome == SKIPPED]

    @property
    def held(self) -> bool:
        rows = all(row.held for number, row in self.rows.items() if number not in ABSENT)
        return rows and not self.failed and all(goal["met"] for goal in self.goals)

    def tried_again(self, second: "Found") -> None:
        """What failed counts as it ended the second time, and is named as such."""
        self.again = [name for name in self.failed if name in second.cases]
        self.cases |= {name: second.cases[name] for name in self.again}
        self.figures = second.figures


def read(junit: Path, figures: Path) -> Found:
    found = Found()
    for case in ElementTree.parse(junit).iter("testcase"):
        module = (case.get("classname") or "").replace(".", "/") + ".py"
        bad = case.find("failure") is not None or case.find("error") is not None
        outcome = FAILED if bad else SKIPPED if case.find("skipped") is not None else PASSED
        told = [one.get("value", "") for one in case.iter("property") if one.get("name") == "row"]
        name = f"{case.get('classname')}: {case.get('name')}"
        if name not in found.cases or bad:  # one that passed and then broke is there twice
            found.cases[name] = Case(outcome, module, tuple(map(int, told)))
    for line in figures.read_text().splitlines() if figures.exists() else []:
        one = json.loads(line)
        before = found.figures.get(one["name"])
        adds = isinstance(before, int | float)
        found.figures[one["name"]] = before + one["value"] if adds else one["value"]
    return found


def goals(name: str) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads((RESULTS / f"{name}.json").read_text())["goals"]
    return told
