"""`python -m proof [--short]`: attack a live server in every way we know, and write down what held.

The tests are those that CI runs in their short form; what the page says comes from their reports
alone.
"""

import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from proof import page, report

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "security" / "proof.md"
TIMED = ("timing",)  # benchmarks whose goals are part of the proof
LONGEST = 60 * 60  # seconds for one test


def main(*, short: bool) -> int:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        first, second, figures = (Path(folder) / f"{n}" for n in ("first", "second", "figures"))
        told("the attacks, races, kills and made-up requests (the longest part)")
        run(first, figures, "-n", "2", "--no-loadscope-reorder", short=short)
        found = report.read(first, figures)
        if found.failed:
            told("what failed, again and alone: a machine that is too busy fails tests as well")
            run(second, figures, "-n", "0", "--last-failed", short=short)
            found.tried_again(report.read(second, figures))
        told("what can be told apart by time")
        subprocess.run([sys.executable, "-m", "benchmarks", *TIMED], cwd=ROOT, check=True)
    found.goals = [goal for name in TIMED for goal in report.goals(name)]
    minutes = (time.monotonic() - began) / 60
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page.write(found, datetime.now(UTC), minutes, short=short))
    told(f"{page.summary(found)} in {minutes:.0f} minutes, written to {PAGE.relative_to(ROOT)}")
    return 0 if found.held else 1


def run(junit: Path, figures: Path, *options: str, short: bool) -> None:
    env = os.environ | {
        "CI": "true",  # a server that is missing is a failure
        "MAESTRO_TEST_PROOF": "short" if short else "full",
        "MAESTRO_TEST_PROOF_FIGURES": str(figures),
    }
    tests = ["nice", "-n", "10"]  # that of hashing, which no test then waits for
    tests += [sys.executable, "-m", "pytest", "-m", "proof", *options]
    tests += [f"--timeout={LONGEST}", f"--junit-xml={junit}"]
    subprocess.run(tests, check=False, cwd=ROOT, env=env)


def told(what: str) -> None:
    print(f"\n== {datetime.now(UTC):%H:%M:%S} UTC: {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main(short="--short" in sys.argv[1:]))
