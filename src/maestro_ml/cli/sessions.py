"""`maestro sessions` and `maestro switch`."""

from typing import Annotated

import typer

from maestro_ml.cli import credentials
from maestro_ml.cli.account import keep, with_password
from maestro_ml.cli.output import Json, Refused, Yes, confirm, give_list, say
from maestro_ml.cli.remote import PasswordStdin, a_password, session

app = typer.Typer(
    no_args_is_help=True,
    help="Where you are signed in with your password. API keys have a list of their own: "
    "`maestro tokens list`.",
)


@app.command("list")
def list_sessions(as_json: Json = False, password_stdin: PasswordStdin = False) -> None:
    """List where you are signed in: device, address and when it was last used."""
    with session(password_stdin=password_stdin) as client:
        found = list(client.sessions.list())
    give_list(
        found,
        {
            "id": "ID",
            "device": "DEVICE",
            "ip": "ADDRESS",
            "last_seen_at": "LAST USE",
            "created_at": "SINCE",
            "current": "THIS COMMAND",
        },
        as_json=as_json,
        empty="You are signed in nowhere.",
    )


@app.command("end")
def end_session(
    id: Annotated[str, typer.Argument(help="Its id, as `maestro sessions list` shows it.")],
    yes: Yes = False,
    password_stdin: PasswordStdin = False,
) -> None:
    """End one of your sessions: its device is refused from the next request on."""
    confirm(f"End the session {id}?", yes=yes)
    with session(password_stdin=password_stdin) as client:
        client.sessions.end(id)
    say("It has ended.")


@app.command("end-all")
def end_all(yes: Yes = False, password_stdin: PasswordStdin = False) -> None:
    """Sign out everywhere: end every session you have, on every device. API keys stay."""
    confirm("Sign out on every device?", yes=yes)
    with session(password_stdin=password_stdin, leave=False) as client:
        client.auth.logout_all()
    say("You are signed out everywhere. The key of `maestro login` is still good.")


def switch(
    tenant: Annotated[str, typer.Argument(help="Its slug, as `maestro tenants mine` shows it.")],
    password_stdin: PasswordStdin = False,
) -> None:
    """Work in another of your tenants: later commands act there.

    An API key is good in one tenant, so this makes one for the other, as `maestro login` does.
    """
    kept = credentials.load()
    if kept is None or kept.email is None:
        raise Refused("Nobody is signed in here: `maestro login --tenant` does both.")
    say(f"{kept.url} wants to see {kept.email}'s password.")
    password = a_password(stdin=password_stdin)
    keep(with_password(kept.url, kept.email, password, tenant, stdin=password_stdin))
