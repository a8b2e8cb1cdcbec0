"""`maestro audit verify` and `head`, done here: on the database that the settings name."""

import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import typer
from pydantic import BaseModel, TypeAdapter

from maestro_ml.audit import chain
from maestro_ml.audit.handlers.reading import newest_seal, tenants
from maestro_ml.audit.handlers.verifying import Head, Verdict, walk
from maestro_ml.cli.codes import Exit
from maestro_ml.cli.output import Refused, give, give_json, say
from maestro_ml.cli.process.failures import run
from maestro_ml.cli.process.settings import load
from maestro_ml.core.settings import Settings
from maestro_ml.db.engine import make_engines
from maestro_ml.db.work import Sessions, SystemWork, open_system_work
from maestro_ml.identity.secret import load_secret
from maestro_ml.identity.service import signing_keys
from maestro_ml.migrations.run import require_head

Heads = dict[str, Head]


class _Kept(BaseModel):
    """A head, as it is printed."""

    tenant: str
    number: int
    hash: str


def verify(
    *, heads: Path | None, slug: str | None, data: Path | None, dev: bool, as_json: bool
) -> None:
    """Raises:
    Refused: a trail is broken; what is wrong with which was printed.
    """
    kept = _read(heads) if heads else {}
    found = run(_verify(load(data=data, dev=dev), kept, slug))
    if as_json:
        give_json([{"tenant": name} | verdict.facts for name, verdict in found.items()])
    else:
        for name, verdict in found.items():
            give(f"{name}: {_words(verdict)}")
    gone = sorted(name for name in kept if name not in found and slug in {None, name})
    for name in gone:
        say(f"{name}: its head was kept, and the tenant is gone.")
    broken = [name for name, verdict in found.items() if verdict.broken] + gone
    if broken:
        raise Refused(f"The audit trail of {', '.join(broken)} is broken.", Exit.TAMPERED)


def print_heads(*, data: Path | None, dev: bool, as_json: bool) -> None:
    found = run(_heads(load(data=data, dev=dev)))
    if as_json:
        give_json([{"tenant": t, "number": h.number, "hash": h.hash} for t, h in found.items()])
        return
    for name, head in found.items():
        give(f"{name}  {head.number}  {head.hash}")
    if not found:
        say("Nothing is sealed yet. A server seals what is new every minute.")


async def _verify(settings: Settings, kept: Heads, slug: str | None) -> dict[str, Verdict]:
    async with _opened(settings) as sessions:
        # Before anything is called forged: is this the secret key that seals are signed with?
        secret = load_secret(settings)
        async with open_system_work(sessions, read_only=True) as work:
            every = await tenants(work)
            for row in await signing_keys.every(work):
                secret.unseal(row.private_sealed, row.kid)

        def reading() -> AbstractAsyncContextManager[SystemWork]:
            return open_system_work(sessions, read_only=True)

        chosen = [(id, name) for id, name in every if slug in {None, name}]
        if not chosen:
            raise Refused(f"There is no tenant {slug!r}.")
        key, found = secret.derive(chain.PURPOSE), {}
        for id, name in chosen:
            tell = _Progress(name)
            found[name] = await walk(reading, id, key, tell=tell, kept=kept.get(name))
            tell.end()
        return found


async def _heads(settings: Settings) -> Heads:
    async with (
        _opened(settings) as sessions,
        open_system_work(sessions, read_only=True) as work,
    ):
        newest = {name: await newest_seal(work, id) for id, name in await tenants(work)}
    return {name: Head(seal.number, seal.hash.hex()) for name, seal in newest.items() if seal}


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Sessions]:
    await require_head(settings.database_url)
    engines = make_engines(settings.database_url)
    try:
        yield Sessions(engines)
    finally:
        await engines.dispose()


def _read(file: Path) -> Heads:
    try:
        rows = TypeAdapter(list[_Kept]).validate_json(file.read_bytes())
    except OSError as failed:
        raise Refused(f"{file} cannot be read: {failed.strerror}.") from None
    except ValueError:
        raise Refused(f"{file} is not what `maestro audit head --json` prints.") from None
    return {row.tenant: Head(row.number, row.hash) for row in rows}


def _words(verdict: Verdict) -> str:
    if verdict.broken is not None:
        return f"BROKEN: {verdict.broken}."
    sealed = f"{verdict.events:,} events in {verdict.seals:,} seals are as they were written"
    return f"{sealed}; {verdict.unsealed:,} are not sealed yet."


class _Progress:
    """Onto a terminal only."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._shown = sys.stderr.isatty()

    async def __call__(self, done: float) -> None:
        if self._shown:
            typer.echo(f"\r{self._name}: {done:4.0%}", err=True, nl=False)

    def end(self) -> None:
        if self._shown:
            typer.echo("\r\033[K", err=True, nl=False)
