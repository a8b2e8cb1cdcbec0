"""`maestro gc`, done here: on the database that the settings name."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from maestro_ml.api.main import make_sessions
from maestro_ml.audit.handlers.reading import tenants
from maestro_ml.cli.output import Refused, give, give_json, say
from maestro_ml.cli.process.failures import run
from maestro_ml.cli.process.settings import load
from maestro_ml.core.access import Access
from maestro_ml.core.clock import utc_now
from maestro_ml.core.settings import Settings
from maestro_ml.db.work import Sessions, Work, open_system_work, open_work
from maestro_ml.migrations.presence import present
from maestro_ml.migrations.run import require_head
from maestro_ml.tracking.service import removal
from maestro_ml.tracking.service.removal import Removable

Remove = Callable[[Work, datetime, UUID], Awaitable[Sequence[UUID]]]


def collect(
    *, days: int, slug: str | None, remove: bool, data: Path | None, dev: bool, as_json: bool
) -> None:
    settings = load(data=data, dev=dev)
    found = run(_collect(settings, timedelta(days=days), slug, remove=remove))
    if as_json:
        give_json([{"tenant": name, **asdict(what)} for name, what in found.items()])
    else:
        for name, what in found.items():
            counted = (f"{n:,} {kind.replace('_', ' ')}" for kind, n in asdict(what).items())
            give(f"{name}: {', '.join(counted)}")
    if remove:
        say("They are removed for good.")
    else:
        say("Nothing was removed: --yes does it.")


async def _collect(
    settings: Settings, age: timedelta, slug: str | None, *, remove: bool
) -> dict[str, Removable]:
    await require_head(settings.database_url)
    sessions = make_sessions(settings)
    try:
        async with present(settings.database_url):
            async with open_system_work(sessions, read_only=True) as work:
                every = await tenants(work)
            chosen = {name: id for id, name in every if slug in {None, name}}
            if not chosen:
                raise Refused(f"There is no tenant {slug!r}.")
            deed = _remove if remove else _count
            before = utc_now() - age
            return {name: await deed(sessions, id, before) for name, id in chosen.items()}
    finally:
        await sessions.engines.dispose()


async def _count(sessions: Sessions, tenant: UUID, before: datetime) -> Removable:
    async with open_work(sessions, Access.system(tenant), read_only=True) as work:
        return await removal.removable(work, before)


async def _remove(sessions: Sessions, tenant: UUID, before: datetime) -> Removable:
    """Runs first: experiments go when they have none any more."""

    async def every(remove: Remove) -> int:
        count, after = 0, UUID(int=0)
        while True:
            async with open_work(sessions, Access.system(tenant)) as work:
                gone = await remove(work, before, after)
            if not gone:
                return count
            count, after = count + len(gone), gone[-1]

    return Removable(
        runs=await every(removal.remove_runs),
        logged_models=await every(removal.remove_logged_models),
        experiments=await every(removal.remove_experiments),
    )
