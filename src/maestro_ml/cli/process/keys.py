"""`maestro admin rotate-keys`, done here: every process of the installation reads the new key."""

from datetime import timedelta
from pathlib import Path

from maestro_ml.cli.output import say
from maestro_ml.cli.process.failures import run
from maestro_ml.cli.process.settings import load
from maestro_ml.core.settings import Settings
from maestro_ml.db.engine import make_engines
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity.secret import load_secret
from maestro_ml.identity.service import signing_keys
from maestro_ml.migrations.run import require_head


def rotate(*, data: Path | None, dev: bool, stolen: bool) -> None:
    kid = run(_rotate(load(data=data, dev=dev), timedelta(0) if stolen else signing_keys.GRACE))
    say(f"Tokens are signed with the key {kid} from now on.")


async def _rotate(settings: Settings, grace: timedelta) -> str:
    await require_head(settings.database_url)
    engines = make_engines(settings.database_url)
    try:
        async with open_system_work(Sessions(engines)) as work:
            return (await signing_keys.rotate(work, load_secret(settings), grace=grace)).kid
    finally:
        await engines.dispose()
