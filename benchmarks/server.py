"""A server in a process of its own, on loopback."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.databases import Database

STARTS = 180.0


class Server:
    def __init__(self, command: list[str], log: Path, env: dict[str, str], port: int) -> None:
        self.port = port
        began = time.perf_counter()
        with log.open("ab") as out:
            self.process = psutil.Popen(command, stdout=out, stderr=out, env=env)
        while not self._answers():
            if self.process.poll() is not None or time.perf_counter() - began > STARTS:
                raise SystemExit(f"The server did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.01)
        self.seconds_to_first_answer = time.perf_counter() - began

    def resident_mb(self) -> float:
        """Of the process and all it started."""
        family = [self.process, *self.process.children(recursive=True)]
        return float(sum(p.memory_info().rss for p in family)) / 2**20

    def cpu_seconds(self) -> float:
        used = self.process.cpu_times()
        return float(used.user + used.system)

    def family_cpu_seconds(self) -> float:
        """Of the process and all it started."""
        total = 0.0
        for one in (self.process, *self.process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                used = one.cpu_times()
                total += float(used.user + used.system)
        return total

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(15)
        except psutil.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)

    def _answers(self) -> bool:
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            asked.request("GET", "/health")
            return asked.getresponse().status == 200
        except OSError:
            return False
        finally:
            asked.close()


@contextmanager
def maestro(database: Database, more: dict[str, str] | None = None) -> Iterator[Server]:
    """`maestro serve`, as an operator starts it."""
    port = free_port()
    command = [sys.executable, "-m", "maestro_ml.cli.main", "serve"]
    command += ["--port", str(port), "--data", str(database.folder / "data")]
    env = {"MAESTRO_DATABASE__URL": database.url, "MAESTRO_LOG__LEVEL": "warning"} | (more or {})
    with _running(command, database.folder, env, port) as server:
        yield server


@contextmanager
def bare(folder: Path, answer: Path) -> Iterator[Server]:
    """The same web server with an application that does nothing but answer with a file's bytes."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.bare", str(port), str(answer)]
    with _running(command, folder, {}, port) as server:
        yield server


@contextmanager
def _running(command: list[str], folder: Path, env: dict[str, str], port: int) -> Iterator[Server]:
    ours = {k: v for k, v in os.environ.items() if not k.startswith("MAESTRO_")}
    server = Server(command, folder / "server.log", ours | env, port)
    try:
        yield server
    finally:
        server.stop()


def resident_of_imports(modules: str) -> float:
    """What a Python takes that has imported these and does nothing, in MB."""
    code = f"import {modules}; print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        size = float(psutil.Process(process.pid).memory_info().rss) / 2**20
        process.communicate(b"\n")
    return size


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
