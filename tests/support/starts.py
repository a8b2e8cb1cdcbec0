"""Starts of the server that do not succeed."""

import os
import subprocess
import sys


def refused(*args: str, **env: str) -> tuple[int, str]:
    """The exit code of a start that does not succeed, and what it says."""
    done = run("serve", *args, **env)
    assert done.stdout == ""
    return done.returncode, done.stderr


def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A command, to its end, with no settings but those given."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAESTRO_")}
    return subprocess.run(
        [sys.executable, "-m", "maestro_ml.cli.main", *args],
        env=clean | env,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def is_one_sentence(words: str) -> bool:
    return len(words.strip().splitlines()) == 1 and words.strip().endswith((".", "`."))
