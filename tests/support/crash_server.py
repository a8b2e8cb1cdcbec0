"""Servers that are started a hundred times: the code is loaded once, and each start is a fork of
the process that has it. What then runs is the command line, as an operator gives it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from support.live import LiveServer

_PATIENCE = 60.0


class Loaded:
    """The process that has loaded the code and forks whatever it is asked for."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.crash_server"],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def fork(self, **how: Any) -> "Forked":
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(how).encode() + b"\n")
        self._process.stdin.flush()
        return Forked(int(self._process.stdout.readline()))

    def __enter__(self) -> "Loaded":
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


class Forked(subprocess.Popen[bytes]):
    """Somebody else's child, which that one also buries: how it ended is not known."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode = None

    def poll(self) -> int | None:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            self.returncode = 0
        return self.returncode

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def wait(self, timeout: float | None = None) -> int:
        until = time.monotonic() + (timeout or _PATIENCE)
        while self.poll() is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or _PATIENCE)
            time.sleep(0.005)
        return 0

    def __del__(self) -> None:
        """There is nothing to close."""


class QuickServer(LiveServer):
    """`maestro serve`, forked."""

    def __init__(self, data: Path, env: Mapping[str, str], *, loaded: Loaded) -> None:
        super().__init__(data, env)
        self._loaded = loaded

    def _launched(self, *command: str) -> subprocess.Popen[bytes]:
        return self._loaded.fork(
            argv=["maestro", *command, "--data", str(self.data)],
            env=self._env,
            stdout=str(self.printed),
            stderr=str(self.logged),
        )


class QuickWorker(QuickServer):
    """`maestro worker`, which takes jobs beside the server."""

    def start(self) -> "QuickWorker":
        if self.process is None or self.process.poll() is not None:
            self.process = self._launched("worker")
        return self


def main() -> None:
    from maestro_ml.cli.main import run  # noqa: PLC0415 - tests load this module as well
    from maestro_ml.cli.process import serve, work  # noqa: F401, PLC0415 - what each start needs

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the dead
    for line in sys.stdin:
        how = json.loads(line)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for name, number in (("stdout", 1), ("stderr", 2)):
                os.dup2(os.open(how[name], os.O_WRONLY | os.O_APPEND | os.O_CREAT), number)
            os.environ.clear()
            os.environ.update(how["env"])
            sys.argv = how["argv"]
            run()
            os._exit(0)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
