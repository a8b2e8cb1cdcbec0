"""`make demo`: the story that the README promises is told to its end, and leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(400)
def test_the_demo_tells_its_story_and_leaves_nothing_behind(tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in ("TMPDIR", "HOME", "here")}
    for place in places.values():
        place.mkdir()
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAESTRO_", "MLFLOW_"))}
    done = subprocess.run(
        [sys.executable, "-m", "maestro_ml.cli.main", "demo"],
        cwd=places["here"],
        env=clean | {name: str(place) for name, place in places.items()},
        capture_output=True,
        text=True,
        timeout=360,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for told in (
        *("she may not create a project yet: 403", "grace@lab.test: member"),
        *("run sensible", "1 of 2 runs: sensible", "RESOURCE_DOES_NOT_EXIST"),
        *("needs an approval", "somebody else has to decide", "models:/tumours@production"),
        "its folder is gone",
    ):
        assert told in done.stdout
    assert [file for place in places.values() for file in place.rglob("*")] == []
