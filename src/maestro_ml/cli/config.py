"""`maestro config`."""

import typer

from maestro_ml.cli.output import Json

app = typer.Typer(no_args_is_help=True, help="Settings.")


@app.callback()
def config() -> None:
    """Settings."""


@app.command("check")
def check_settings(as_json: Json = False) -> None:
    """Check the settings and show what is in force, secrets hidden.

    Fails with exit code 10 when a setting is invalid, naming it.
    """
    # Settings need pydantic, which takes longer to load than `--help` takes.
    from maestro_ml.cli.process.settings import show

    show(as_json=as_json)
