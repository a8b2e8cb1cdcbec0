"""Tables for people, JSON for whoever compares two runs."""

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results"


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    words = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in words) for i in range(len(head))]
    print(f"\n{title}")
    for n, row in enumerate(words):
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  " + "  ".join(cells))
        if n == 0:
            print("  " + "  ".join("-" * width for width in widths))


def verdict(name: str, value: float, goal: float, unit: str) -> dict[str, Any]:
    """A line that says whether a goal is met."""
    met = value <= goal
    print(f"  {'met   ' if met else 'MISSED'}  {name}: {value:.2f} {unit}, goal {goal:g} {unit}")
    return {"name": name, "value": value, "goal": goal, "unit": unit, "met": met}


def at_least(name: str, value: float, goal: float, unit: str) -> dict[str, Any]:
    """The same of what can only be too little."""
    met = value >= goal
    print(f"  {'met   ' if met else 'MISSED'}  {name}: {value:.1f} {unit}, goal {goal:g}")
    return {"name": name, "value": value, "goal": goal, "unit": unit, "met": met}


def missing(what: str, where: str) -> None:
    print(f"\nnot run: {what}, since no server answers at {where}")


def save(name: str, facts: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_at_end": os.getloadavg()[0],
    }
    file = RESULTS / f"{name}.json"
    file.write_text(json.dumps(about | facts, indent=1) + "\n")
    print(f"  written to benchmarks/results/{file.name}")


def spread(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return {"p50": median(ordered), "p95": at(0.95), "p99": at(0.99), "max": ordered[-1]}
