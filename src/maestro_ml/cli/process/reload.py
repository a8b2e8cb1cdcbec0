"""Dev mode: one process watches the code, another one serves and is started anew.

The watcher imports nothing of the server, so code that does not import cannot end it.
"""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType

import watchfiles

import maestro_ml
from maestro_ml.cli.codes import Exit
from maestro_ml.cli.output import Refused, say
from maestro_ml.core.settings import Settings

SOURCE = Path(maestro_ml.__file__).parent
PATIENCE = 11.0


def watch(settings: Settings) -> None:
    """Serve, and serve anew whenever the code changes, until Ctrl-C.

    Raises:
        Refused: the server said why it cannot start, and no change of the code would help.
    """
    stop = threading.Event()
    child = _started(settings)

    def told(sig: int, frame: FrameType | None) -> None:
        if stop.is_set():
            child.kill()
            os._exit(130)
        stop.set()

    before = {sig: signal.signal(sig, told) for sig in (signal.SIGINT, signal.SIGTERM)}
    reported = False
    try:
        for changes in watchfiles.watch(
            SOURCE,
            stop_event=stop,
            watch_filter=watchfiles.PythonFilter(),
            raise_interrupt=False,
            rust_timeout=300,
            yield_on_timeout=True,
        ):
            if changes:
                say(f"{len(changes)} files changed: starting anew.")
                _stopped(child)
                child, reported = _started(settings), False
                continue
            code = child.poll()
            if code is None or reported:
                continue
            if code in set(Exit):
                raise Refused("", code)
            say(f"The server ended (exit code {code}). It starts anew when the code changes.")
            reported = True
    finally:
        _stopped(child)
        for sig, handler in before.items():
            signal.signal(sig, handler)


def _started(settings: Settings) -> subprocess.Popen[bytes]:
    # The pipe is never written to: it ends when this process does, and the child with it.
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "maestro_ml.cli.main", "serve", "--dev", "--no-reload"),
            *("--leash", "--host", settings.server.host, "--port", str(settings.server.port)),
            *("--data", str(settings.data)),
        ],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def _stopped(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
