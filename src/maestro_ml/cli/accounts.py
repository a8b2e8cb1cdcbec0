"""`maestro accounts`."""

from typing import Annotated

import typer

from maestro_ml.cli.output import Yes, confirm, say
from maestro_ml.cli.remote import PasswordStdin, session

app = typer.Typer(
    no_args_is_help=True,
    help="Whole accounts, in every tenant at once. For platform admins; asks for your password.",
)

Email = Annotated[str, typer.Argument(help="The account's e-mail address.")]


@app.command("disable")
def disable_account(email: Email, yes: Yes = False, password_stdin: PasswordStdin = False) -> None:
    """Take all access away from an account: its sessions end, its API keys sleep.

    A tenant's last admin stays: `maestro tenants suspend` closes the whole tenant instead.
    """
    confirm(f"Take all access away from {email}, in every tenant?", yes=yes)
    with session(password_stdin=password_stdin) as client:
        client.accounts.disable(email)
    say(f"{email} has no access any more. `maestro accounts enable` gives it back.")


@app.command("enable")
def enable_account(email: Email, password_stdin: PasswordStdin = False) -> None:
    """Give an account the access back that `maestro accounts disable` took."""
    with session(password_stdin=password_stdin) as client:
        client.accounts.enable(email)
    say(f"{email} has access again, and signs in anew.")
