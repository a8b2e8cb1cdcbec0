"""`maestro audit`: who changed what, and whether the record of it is as it was written."""

import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maestro_ml.cli.codes import EXIT_CODES
from maestro_ml.cli.output import Json, Refused, Yes, confirm, give_list, give_one, say
from maestro_ml.cli.remote import api

if TYPE_CHECKING:
    from maestro_ml.client.audit import AuditFilter

app = typer.Typer(
    no_args_is_help=True,
    help="Who changed what in your tenant, for its admins; and for whoever runs the server, "
    "whether somebody tampered with that record (`verify`, `head`).",
)

Actor = Annotated[str | None, typer.Option(help="Only what this account did, by its id.")]
Action = Annotated[
    str | None, typer.Option(help="Only this action, such as user.created, or all of `user.*`.")
]
TargetType = Annotated[
    str | None, typer.Option(help="Only what happened to this kind of thing, such as project.")
]
Target = Annotated[str | None, typer.Option(help="Only what happened to the thing of this id.")]
Key = Annotated[str | None, typer.Option(help="Only what was done with the API key of this id.")]
Request = Annotated[str | None, typer.Option(help="Only what this request did.")]
Ip = Annotated[str | None, typer.Option(help="Only what came from this address.")]
Since = Annotated[
    datetime | None,
    typer.Option(help="Not before this, such as 2026-11-27 or 2026-11-27T09:00:00."),
]
Until = Annotated[datetime | None, typer.Option(help="Before this. Times are UTC.")]
Data = Annotated[
    Path | None,
    typer.Option(help="The data folder, when the database is SQLite in it.", readable=False),
]
DevMode = Annotated[bool, typer.Option("--dev", help="Dev mode's own data folder.")]
COLUMNS = {
    "created_at": "WHEN",
    "actor_name": "WHO",
    "actor_email": "E-MAIL",
    "action": "ACTION",
    "target_type": "TARGET",
    "target_id": "TARGET ID",
    "ip": "FROM",
    "id": "ID",
}


class Format(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"


@app.command("list")
def list_events(
    actor: Actor = None,
    action: Action = None,
    target_type: TargetType = None,
    target: Target = None,
    api_key: Key = None,
    request: Request = None,
    ip: Ip = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """List who changed what, the newest first."""
    wanted = _wanted(actor, action, target_type, target, api_key, request, ip, since, until)
    with api() as client:
        found = list(islice(client.audit.list(**wanted), limit))
    give_list(found, COLUMNS, as_json=as_json, empty="Nothing was changed that fits.")
    if len(found) == limit and not as_json:
        say(f"These are the newest {limit}. `--limit` shows more, `maestro audit export` all.")


@app.command("show")
def show_event(
    id: Annotated[str, typer.Argument(help="The event's id.")], as_json: Json = False
) -> None:
    """Show one event with all that is known of it."""
    with api() as client:
        give_one(client.audit.get(id), as_json=as_json)


@app.command("export")
def export_events(
    out: Annotated[
        Path | None, typer.Option(help="The file to write. Default: standard output.")
    ] = None,
    format: Annotated[Format, typer.Option(help="For a spreadsheet, or for a program.")] = (
        Format.CSV
    ),
    actor: Actor = None,
    action: Action = None,
    target_type: TargetType = None,
    target: Target = None,
    api_key: Key = None,
    request: Request = None,
    ip: Ip = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
) -> None:
    """Take events away as a file, the newest first. That you did is an event, too."""
    wanted = _wanted(actor, action, target_type, target, api_key, request, ip, since, until)
    if out is not None and out.exists():
        confirm(f"Replace {out}?", yes=yes)
    with api() as client, client.audit.export(format, **wanted) as pieces:
        if out is None:
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            return
        size = _kept(out, pieces)
    say(f"{size:,} bytes are in {out}.")


@app.command("status")
def show_trail(
    verify: Annotated[
        bool, typer.Option("--verify", help="Have it verified by the server first, and wait.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show how far your tenant's events are sealed, and when they were last verified."""
    with api() as client:
        if verify:
            job = list(client.jobs.watch(client.audit.verify()))[-1]
            if job.state != "done":
                raise Refused(job.error or f"The verification is {job.state}.")
        trail = client.audit.trail()
    give_one(trail, as_json=as_json)
    last = trail.last_verification
    if verify and last is not None and not last.sound:
        raise Refused(f"The trail is broken: {last.wrong} {last.what}.")


@app.command("verify", epilog=EXIT_CODES)
def verify_trails(
    heads: Annotated[
        Path | None,
        typer.Option(help="What `maestro audit head --json` printed before, to compare with."),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this one, by its slug.")] = None,
    data: Data = None,
    dev: DevMode = False,
    as_json: Json = False,
) -> None:
    """Verify every tenant's audit trail against its seals, on the server, in this process.

    Names the first event of a trail that was changed, removed or slipped in. Seals cut off at the
    end are found with --heads. Changes nothing; the server may run.
    """
    # The database layer takes longer to load than `--help` takes.
    from maestro_ml.cli.process import audit

    audit.verify(heads=heads, slug=tenant, data=data, dev=dev, as_json=as_json)


@app.command("head")
def print_heads(data: Data = None, dev: DevMode = False, as_json: Json = False) -> None:
    """Print the newest seal of each tenant, on the server, in this process.

    It stands for everything before it. Keep it where nobody reaches who reaches the database, and
    give it to `maestro audit verify --heads` later.
    """
    from maestro_ml.cli.process import audit

    audit.print_heads(data=data, dev=dev, as_json=as_json)


def _wanted(
    actor: str | None,
    action: str | None,
    target_type: str | None,
    target: str | None,
    api_key: str | None,
    request: str | None,
    ip: str | None,
    since: datetime | None,
    until: datetime | None,
) -> "AuditFilter":
    return {
        "actor_id": actor,
        "action": action,
        "target_type": target_type,
        "target_id": target,
        "api_key_id": api_key,
        "request_id": request,
        "ip": ip,
        "since": since and since.replace(tzinfo=UTC),
        "until": until and until.replace(tzinfo=UTC),
    }


def _kept(out: Path, pieces: Iterable[bytes]) -> int:
    """Write it beside, so that what is there under the name is always a whole; give its size."""
    part = out.with_name(f"{out.name}.part")
    tell = _progress()
    size = 0
    try:
        part.touch(mode=0o600)
        with part.open("wb") as file:
            for piece in pieces:
                size += file.write(piece)
                tell(size)
        part.replace(out)
    except OSError as failed:
        raise Refused(f"{out} cannot be written: {failed.strerror}.") from None
    finally:
        part.unlink(missing_ok=True)
    return size


def _progress() -> Callable[[int], None]:
    """Onto a terminal only."""
    if not sys.stderr.isatty():
        return lambda _: None

    def tell(size: int) -> None:
        typer.echo(f"\r{size / 2**20:.1f} MB", err=True, nl=False)

    return tell
