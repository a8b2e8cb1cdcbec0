"""Starts of the server that do not succeed."""

import os
import subprocess
import sys

# To root no file is closed, unless it gives that up.
MORTAL = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") * (os.geteuid() == 0)


def refused(*args: str, **env: str) -> tuple[int, str]:
    """The exit code of a start that does not succeed, and what it says."""
    done = run("serve", *args, **env)
    assert done.stdout == ""
    return done.returncode, done.stderr


def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A command, to its end, with no settings but those given."""
    return run_by((), *args, **env)


def run_by(launcher: tuple[str, ...], *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The same, started by another command."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAESTRO_")}
    return subprocess.run(
        [*launcher, sys.executable, "-m", "maestro_ml.cli.main", *args],
        env=clean | env,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def is_one_sentence(words: str) -> bool:
    return len(words.strip().splitlines()) == 1 and words.strip().endswith((".", "`."))
