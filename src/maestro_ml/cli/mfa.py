"""`maestro mfa`."""

import sys

import typer

from maestro_ml.cli.output import Json, Refused, Yes, confirm, give_one, say
from maestro_ml.cli.remote import PasswordStdin, proved, session
from maestro_ml.cli.second_factor import Asking, show_codes

app = typer.Typer(
    no_args_is_help=True,
    help="Your second factor: an authenticator app whose code signing in asks for.",
)


@app.command("status")
def show_status(as_json: Json = False, password_stdin: PasswordStdin = False) -> None:
    """Show whether you have a second factor, and which of your tenants ask for one."""
    with session(password_stdin=password_stdin) as client:
        state = client.mfa.state()
    give_one(state, as_json=as_json)
    if not as_json and not state.enabled:
        say("Signing in takes your password alone. `maestro mfa enable` changes that.")


@app.command("enable")
def enable(password_stdin: PasswordStdin = False) -> None:
    """Set an authenticator app up, or put another in the place of the one you have.

    Shows a QR code for the app, asks for the code that it shows, and prints ten recovery codes.
    Your other sessions end; API keys stay. A script cannot do it: the code comes from an app that
    has to be shown the secret first.
    """
    if password_stdin or not sys.stdin.isatty():
        raise Refused(
            "An app is set up by a person: it is shown a secret, and its first code is asked for. "
            "Run `maestro mfa enable` at a terminal, without --password-stdin."
        )
    asking = Asking(stdin=password_stdin)
    with proved(password_stdin=password_stdin) as (client, password):
        held = None
        if client.mfa.state().enabled:
            held = asking.one_code("The next code of the app you have (each works once)")
        begun = client.mfa.begin(password=password, code=held)
        codes = client.mfa.confirm(asking.first_code(begun))
    show_codes(codes)
    say("From now on signing in asks for a code.")


@app.command("disable")
def disable(yes: Yes = False, password_stdin: PasswordStdin = False) -> None:
    """Take your second factor away, unless a tenant of yours asks for one."""
    confirm("Sign in with your password alone from now on?", yes=yes)
    asking = Asking(stdin=password_stdin)
    with proved(password_stdin=password_stdin) as (client, password):
        code = asking.one_code("The next code of your app (each works once), or a recovery code")
        client.mfa.disable(code=code, password=password)
    say("Signing in takes your password alone now.")


@app.command("recovery-codes")
def renew_codes(yes: Yes = False, password_stdin: PasswordStdin = False) -> None:
    """Print ten new recovery codes. The old ones stop working."""
    confirm("Make new recovery codes, so that the old ones stop working?", yes=yes)
    asking = Asking(stdin=password_stdin)
    with session(password_stdin=password_stdin) as client:
        code = asking.one_code("The next code of your app (each works once), or a recovery code")
        codes = client.mfa.renew_recovery_codes(code)
    show_codes(codes)
