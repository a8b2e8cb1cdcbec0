"""`maestro worker`, done here: take jobs from the database until told to stop."""

import asyncio
import signal

from maestro_ml.api.main import SCHEDULES, make_sessions, make_worker, open_database
from maestro_ml.cli.codes import Exit
from maestro_ml.cli.output import Refused, say
from maestro_ml.cli.process.failures import run
from maestro_ml.core import logging
from maestro_ml.core.clock import utc_now
from maestro_ml.core.settings import Settings
from maestro_ml.db.work import Sessions
from maestro_ml.identity.runtime import Identity
from maestro_ml.jobs import schedules
from maestro_ml.mail.post import Post
from maestro_ml.migrations.presence import present


def work(settings: Settings) -> None:
    """Run jobs until Ctrl-C.

    Raises:
        Refused: the database is SQLite, or does not fit; the sentence says how.
    """
    if settings.database_url.startswith("sqlite"):
        raise Refused(
            "SQLite has one writer, so its worker runs inside `maestro serve`. Set "
            "MAESTRO_DATABASE__URL to a PostgreSQL database to start workers of their own.",
            Exit.SETTING,
        )
    logging.configure(settings.log)
    run(_work(settings))


async def _work(settings: Settings) -> None:
    async with present(settings.database_url):
        await _work_in(settings)


async def _work_in(settings: Settings) -> None:
    sessions = make_sessions(settings)
    try:
        await open_database(settings, sessions)
        identity = Identity.build(settings, sessions)
        await identity.start()  # seals are signed: a secret key that does not fit is told first
        await identity.stop()
        await schedules.declare(sessions, SCHEDULES, utc_now)
        worker = make_worker(settings, sessions, post=await _post(settings, sessions))
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        for sig in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sig, stop.set)
        working = asyncio.create_task(worker.run())
        say("The worker takes jobs. Ctrl-C finishes those under way.")
        await stop.wait()
        for sig in (signal.SIGINT, signal.SIGTERM):  # a second one does not wait
            loop.remove_signal_handler(sig)
        await worker.stop(patience=60.0)
        await working
    finally:
        await sessions.engines.dispose()


async def _post(settings: Settings, sessions: Sessions) -> Post | None:
    """Mails hold links that are sealed with the secret key: it has to be the server's.

    Raises:
        SecretKeyRefused: it is another one.
    """
    if settings.mail.host is None:
        return None
    identity = Identity.build(settings, sessions)
    await identity.start()
    await identity.stop()
    return Post(settings.mail, identity.secret)
