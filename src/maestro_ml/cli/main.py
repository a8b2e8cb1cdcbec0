"""`maestro`: users' commands speak HTTP, an operator's run in this process."""

import sys
from importlib.metadata import version as installed

import typer

from maestro_ml.cli import (
    account,
    admin,
    api_keys,
    config,
    db,
    demo,
    jobs,
    projects,
    serve,
    tenants,
    users,
)
from maestro_ml.cli.codes import EXIT_CODES
from maestro_ml.cli.output import Json, Refused, give, give_json, say

YOU, SERVER, TRY = "Your account", "Running a server", "Trying it out"

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Maestro ML: experiments, projects and teams on a server of your own. "
    "New here? `maestro demo` shows it, `maestro serve` starts it, `maestro login` signs you in.",
    epilog=EXIT_CODES,
)


def version(as_json: Json = False) -> None:
    """Show the version of this program."""
    number = installed("maestro-ml")
    if as_json:
        give_json({"version": number})
    else:
        give(number)


app.command("demo", rich_help_panel=TRY)(demo.demo)
app.command("serve", epilog=EXIT_CODES, rich_help_panel=SERVER)(serve.serve)
app.command("worker", epilog=EXIT_CODES, rich_help_panel=SERVER)(serve.worker)
app.add_typer(admin.app, name="admin", rich_help_panel=SERVER)
app.add_typer(config.app, name="config", rich_help_panel=SERVER)
app.add_typer(db.app, name="db", rich_help_panel=SERVER)
app.command("version", rich_help_panel=SERVER)(version)
app.command("login", rich_help_panel=YOU)(account.login)
app.command("logout", rich_help_panel=YOU)(account.logout)
app.command("whoami", rich_help_panel=YOU)(account.whoami)
app.command("join", rich_help_panel=YOU)(users.join)
app.add_typer(api_keys.app, name="api-keys", rich_help_panel=YOU)
app.add_typer(projects.app, name="projects")
app.add_typer(jobs.app, name="jobs")
app.add_typer(users.app, name="users")
app.add_typer(tenants.app, name="tenants")


def run() -> None:
    """The entry point: a failure is one sentence and an exit code."""
    try:
        app(prog_name="maestro")
    except Refused as refused:
        if str(refused):
            say(str(refused))
        sys.exit(refused.code)


if __name__ == "__main__":
    run()
