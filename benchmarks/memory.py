"""What an idle server takes, and how long it takes to answer."""

import time
from statistics import median

from benchmarks import report
from benchmarks.databases import database, kinds
from benchmarks.server import maestro, resident_of_imports

ROUNDS = 3
IDLE_SECONDS = 3.0
GOAL_MB = 200
GOAL_SECONDS = 3


def main() -> None:
    bare: list[float] = []
    rows, goals = [], []
    facts: dict[str, dict[str, float]] = {}
    for kind in kinds():
        first, second, resident = [], [], []
        for _ in range(ROUNDS):
            bare.append(resident_of_imports("fastapi, uvicorn"))
            with database(kind) as data:
                with maestro(data) as server:
                    first.append(server.seconds_to_first_answer)
                with maestro(data) as server:
                    second.append(server.seconds_to_first_answer)
                    time.sleep(IDLE_SECONDS)
                    resident.append(server.resident_mb())
        facts[kind] = {
            "resident_mb": median(resident),
            "first_start_s": median(first),
            "second_start_s": median(second),
        }
    limit = median(bare)
    for kind, found in facts.items():
        found["ratio_to_bare"] = found["resident_mb"] / limit
        rows.append(
            (
                f"maestro serve, {kind}",
                f"{found['resident_mb']:.0f}",
                f"{found['ratio_to_bare']:.1f}",
                f"{found['first_start_s']:.2f}",
                f"{found['second_start_s']:.2f}",
            )
        )
    rows.append(("import fastapi, uvicorn", f"{limit:.0f}", "1.0", "", ""))
    head = ("idle", "resident MB", "ratio", "first start s", "second start s")
    report.table(f"Memory and start, medians of {ROUNDS}", head, rows)
    for kind, found in facts.items():
        goals.append(report.verdict(f"resident, {kind}", found["resident_mb"], GOAL_MB, "MB"))
        seconds = found["second_start_s"]
        goals.append(report.verdict(f"second start, {kind}", seconds, GOAL_SECONDS, "s"))
    report.save("memory", {"bare_mb": limit, **facts, "goals": goals})


if __name__ == "__main__":
    main()
