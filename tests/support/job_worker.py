"""Workers in processes of their own, for tests that kill them.

Each attempt of a job leaves a row in ACME's audit trail. A job whose payload says `"hang": n`
never ends in its first n attempts.
"""

import asyncio
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from maestro_ml.audit.service import record
from maestro_ml.db.engine import make_engines
from maestro_ml.db.work import Sessions
from maestro_ml.jobs import worker
from maestro_ml.jobs.context import JobContext
from maestro_ml.jobs.worker import Worker

KIND, ATTEMPTED = "test.attempt", "test.attempted"
CONCURRENCY = 2
LEASE = timedelta(seconds=2)


class Workers:
    """One process loads the code, and becomes a worker of the database whenever it is asked to."""

    def __init__(self, url: str) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "support.job_worker", url],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def start(self) -> int:
        """The process id of one more."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(b"\n")
        self._parent.stdin.flush()
        return int(self._parent.stdout.readline())

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._parent.pid, signal.SIGKILL)
        self._parent.communicate()


def kill(pid: int) -> None:
    """As `kill -9` does."""
    os.kill(pid, signal.SIGKILL)


async def attempt(job: JobContext) -> None:
    async with job.open_work() as work:
        record(work, ATTEMPTED, "job", job.id, attempt=job.attempt)
    if job.attempt <= job.payload.get("hang", 0):
        await asyncio.Event().wait()
    await job.progress(0.5, "Half")
    job.result = {"attempt": job.attempt, "pid": os.getpid()}


async def main(url: str) -> None:
    worker.POLL, worker.TEND = 0.05, 0.2
    sessions = Sessions(make_engines(url))
    await Worker(sessions, {KIND: attempt}, concurrency=CONCURRENCY, lease=LEASE).run()


if __name__ == "__main__":
    while sys.stdin.readline():
        child = os.fork()
        if child == 0:
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what it logs is no answer
            asyncio.run(main(sys.argv[1]))
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
