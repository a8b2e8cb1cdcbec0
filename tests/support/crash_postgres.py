"""A PostgreSQL cluster of one's own, for tests that stop it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.absent import absent
from support.live import free_port

_OWNER = "postgres"  # PostgreSQL does not run as root


class ThrowAwayPostgres:
    def __init__(self, folder: Path, programs: Path) -> None:
        self.port = free_port()
        self.url = f"postgresql+asyncpg://{_OWNER}@127.0.0.1:{self.port}/postgres"
        self._folder = folder
        self._programs = programs
        self._data = str(folder / "data")

    def make(self) -> None:
        self._run("initdb", "-D", self._data, "-U", _OWNER, "-A", "trust", "--no-sync")

    def start(self) -> None:
        listening = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1"
        log = str(self._folder / "log")
        self._run("pg_ctl", "-D", self._data, "-l", log, "-o", listening, "-w", "start")

    def stop(self, how: str = "fast") -> None:
        """`fast` ends every connection in words, `immediate` as a crash does."""
        self._run("pg_ctl", "-D", self._data, "-m", how, "-w", "stop")

    def _run(self, program: str, *args: str) -> None:
        as_owner = ["runuser", "-u", _OWNER, "--"] if os.geteuid() == 0 else []
        command = [*as_owner, str(self._programs / program), *args]
        # To no pipe: the server that this starts would hold it open.
        done = subprocess.run(
            command, cwd=self._folder, stdout=subprocess.DEVNULL, timeout=60, check=False
        )
        assert done.returncode == 0, command


@contextmanager
def a_postgres() -> Iterator[ThrowAwayPostgres]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    path = shutil.which("initdb")
    if path is not None:
        found.append(Path(path))
    if not found:
        absent("no initdb to make a PostgreSQL cluster with")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: it holds a socket
    if os.geteuid() == 0:
        shutil.chown(folder, _OWNER)
    postgres = ThrowAwayPostgres(folder, found[-1].parent)
    try:
        postgres.make()
        postgres.start()
        yield postgres
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            postgres.stop("immediate")
        shutil.rmtree(folder)
