"""Tell whoever listens what has happened."""

from maestro_ml.db.work import Work


async def publish(work: Work, event: str, **facts: object) -> None:
    """Announce an event (`run.finished`) inside the transaction that made it happen.

    Who listens is known to `maestro_ml.api.main` alone. A listener enqueues what takes time.
    """
    for listen in work.listeners:
        await listen(work, event, facts)
