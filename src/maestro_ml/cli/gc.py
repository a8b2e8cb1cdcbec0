"""`maestro gc`: remove for good what was deleted long ago."""

from pathlib import Path
from typing import Annotated

import typer

from maestro_ml.cli.output import Json


def collect(
    older_than: Annotated[
        int, typer.Option(min=0, max=36_500, help="Deleted at least so many days ago.")
    ] = 30,
    tenant: Annotated[str | None, typer.Option(help="Only this one, by its slug.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count. So it is without --yes.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove it.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="The data folder, when the database is SQLite in it.", readable=False),
    ] = None,
    dev: Annotated[bool, typer.Option("--dev", help="Dev mode's own data folder.")] = False,
    as_json: Json = False,
) -> None:
    """Remove for good the runs, logged models and experiments that are deleted, and what they hold.

    Counts what would go; removes it with --yes. Run it where the server runs, which may go on. Each
    one that goes is on record in its tenant's audit trail. Its files go soon after, by the server.
    """
    # The database layer takes longer to load than `--help` takes.
    from maestro_ml.cli.process import gc

    gc.collect(
        days=older_than,
        slug=tenant,
        remove=yes and not dry_run,
        data=data,
        dev=dev,
        as_json=as_json,
    )
