"""`maestro admin reset-mfa`, done here: who may run this may read the data folder."""

from pathlib import Path

from maestro_ml.api.main import make_sessions
from maestro_ml.cli.output import Refused, say
from maestro_ml.cli.process.failures import run
from maestro_ml.cli.process.settings import load
from maestro_ml.core.settings import Settings
from maestro_ml.identity import second_factor
from maestro_ml.identity.runtime import Identity
from maestro_ml.migrations.run import require_head


def reset(email: str, *, data: Path | None, dev: bool) -> None:
    if not run(_reset(load(data=data, dev=dev), email)):
        raise Refused(f"Nobody with the address {email} has a second factor.")
    say(f"{email} signs in with the password alone now, and has been signed out everywhere.")


async def _reset(settings: Settings, email: str) -> bool:
    await require_head(settings.database_url)
    sessions = make_sessions(settings)
    identity = Identity.build(settings, sessions)
    try:
        return await second_factor.reset(identity, email)
    finally:
        await identity.stop()
        await sessions.engines.dispose()
