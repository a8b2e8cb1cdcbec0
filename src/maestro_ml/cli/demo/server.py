"""A server for one demo: its own process, in a folder that goes with it."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from maestro_ml.cli.output import Refused

PATIENCE = 60.0
STOP_PATIENCE = 12.0
URL = re.compile(r"https?://[^\s/]+")
SECRET = re.compile(r"mls_[0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class DemoServer:
    url: str
    setup_secret: str
    folder: Path


def clean_environment() -> dict[str, str]:
    """Without this machine's own settings, so that the demo meets no real server or database."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("MAESTRO_", "MLFLOW_"))}


@contextmanager
def demo_server() -> Iterator[DemoServer]:
    """Started, answering, and gone afterwards with all that it wrote.

    Raises:
        Refused: it does not start; the sentence says what it said.
    """
    with tempfile.TemporaryDirectory(prefix="maestro-demo-") as name:
        folder = Path(name)
        printed, logged = folder / "printed", folder / "log"
        with printed.open("wb") as out, logged.open("wb") as err:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "maestro_ml.cli.main", "serve", "--leash"),
                    *("--host", "127.0.0.1", "--port", "0", "--data", str(folder / "data")),
                ],
                cwd=folder,
                env=clean_environment(),
                stdin=subprocess.PIPE,  # never written to: the server ends when it does
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        try:
            yield _answering(process, printed, logged, folder)
        finally:
            _end(process)


def _answering(
    process: subprocess.Popen[bytes], printed: Path, logged: Path, folder: Path
) -> DemoServer:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        words = printed.read_text()
        url, secret = URL.search(words), SECRET.search(words)
        if url and secret:
            return DemoServer(url[0], secret[0], folder)
        time.sleep(0.05)
    last = (logged.read_text().strip().splitlines() or ["it said nothing"])[-1]
    raise Refused(f"The demo's server did not start: {last}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()
