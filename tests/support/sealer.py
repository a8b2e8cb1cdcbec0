"""A process that does nothing but seal a tenant's events, for tests that kill it."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

from maestro_ml.audit.handlers import reading, sealing
from maestro_ml.core.errors import Conflict
from maestro_ml.db.engine import make_engines
from maestro_ml.db.work import Sessions
from support.trail import KEY, Trail

PAGE = 3  # many small seals, so that it is killed in the middle of many


class Sealer:
    """Until it is killed."""

    def __init__(self, url: str, tenant: UUID) -> None:
        tests = Path(__file__).parent.parent
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.sealer", url, str(tenant)],
            env=os.environ | {"PYTHONPATH": str(tests)},
        )

    def kill(self) -> None:
        """As `kill -9` does."""
        assert self._process.poll() is None, "it ended by itself"
        self._process.kill()
        self._process.wait(15)


async def main(url: str, tenant: UUID) -> None:
    reading.PAGE = PAGE
    trail = Trail(Sessions(make_engines(url)), url)
    trail.clock.move(minutes=1)  # what is written now is old enough to it
    while True:
        try:
            await sealing.seal_tenant(trail.job(), tenant, KEY)
        except Conflict:
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], UUID(sys.argv[2])))
