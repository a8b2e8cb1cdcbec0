"""`python -m benchmarks [NAME ...]`: run all of them, or those named."""

import sys
from collections.abc import Callable

from benchmarks import audit, auth, auth_overhead, memory, projects_list, registry, timing, tracking

ALL: dict[str, Callable[[], None]] = {
    "memory": memory.main,
    "auth": auth.main,
    "auth_overhead": auth_overhead.main,
    "projects_list": projects_list.main,
    "audit": audit.main,
    "timing": timing.main,
    "tracking": tracking.main,
    "registry": registry.main,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in ALL]
    if unknown:
        print(f"No benchmark is called {unknown[0]!r}. There are: {', '.join(ALL)}.")
        return 2
    for name in names or ALL:
        ALL[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
