"""`maestro db`: the schema of the database that the settings name."""

from pathlib import Path
from typing import Annotated

import typer

from maestro_ml.cli.output import Json, Yes

app = typer.Typer(
    no_args_is_help=True,
    help="The database's schema. `maestro serve` brings it up to date by itself.",
)

Data = Annotated[
    Path | None,
    typer.Option(help="The data folder, when the database is SQLite in it.", readable=False),
]
DevMode = Annotated[bool, typer.Option("--dev", help="Dev mode's own data folder.")]


@app.command("upgrade")
def upgrade_schema(
    revision: Annotated[str, typer.Argument(help="Where to.")] = "head",
    data: Data = None,
    dev: DevMode = False,
) -> None:
    """Bring the database up to what this version needs, or to a revision."""
    # The database layer takes longer to load than `--help` takes.
    from maestro_ml.cli.process import schema

    schema.upgrade(revision, data=data, dev=dev)


@app.command("downgrade")
def downgrade_schema(
    revision: Annotated[str, typer.Argument(help="Where to, or `base` for an empty database.")],
    data: Data = None,
    dev: DevMode = False,
    yes: Yes = False,
) -> None:
    """Bring the database back to an older revision. What that one cannot hold is refused or lost.

    Stop the server and back the database up before.
    """
    from maestro_ml.cli.process import schema

    schema.downgrade(revision, data=data, dev=dev, yes=yes)


@app.command("status")
def show_status(data: Data = None, dev: DevMode = False, as_json: Json = False) -> None:
    """Show which schema the database has and which one this version needs."""
    from maestro_ml.cli.process import schema

    schema.show(data=data, dev=dev, as_json=as_json)


@app.command("grants")
def print_grants(
    login: Annotated[
        str | None, typer.Option(help="The login that the server uses. Default: the setting's.")
    ] = None,
) -> None:
    """Print the SQL for a PostgreSQL administrator, where the server's login may make no roles."""
    from maestro_ml.cli.process import schema

    schema.print_grants(login)
