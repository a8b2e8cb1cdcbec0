"""`maestro admin`: the first account, and keys of the server itself."""

from pathlib import Path
from typing import Annotated

import typer

from maestro_ml.cli.output import Yes, confirm, say
from maestro_ml.cli.remote import (
    PasswordStdin,
    a_password,
    an_answer,
    sign_in_at,
    speaking,
    url_or_default,
)
from maestro_ml.cli.second_factor import Asking, show_codes

app = typer.Typer(no_args_is_help=True, help="The platform itself.")


@app.command("setup")
def setup_platform(
    token: Annotated[
        str | None, typer.Option(help="The one-time secret that the first start printed.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="The server's address.")] = None,
    email: Annotated[str | None, typer.Option(help="Your e-mail address.")] = None,
    name: Annotated[str | None, typer.Option(help="Your name.")] = None,
    password_stdin: PasswordStdin = False,
) -> None:
    """Become the platform's admin, once, with the secret that the first start printed."""
    secret = token or an_answer("secret that the first start printed", "--token")
    address = email or an_answer("e-mail", "--email")
    called = name or an_answer("name", "--name")
    server = url_or_default(url)
    password = a_password(stdin=password_stdin, twice=True)
    asking = Asking(stdin=password_stdin)
    with speaking(server) as client:
        signed_in = client.auth.setup(
            token=secret,
            email=address,
            password=password,
            name=called,
            code=asking.code,
            enrol=asking.first_code,
        )
        client.auth.logout()
    show_codes(signed_in.recovery_codes)
    say(f"{address} is the platform's admin now. Sign in: {sign_in_at(server, address)}.")


@app.command("reset-mfa")
def reset_mfa(
    email: Annotated[str, typer.Argument(help="Whose second factor.")],
    data: Annotated[
        Path | None,
        typer.Option(help="The data folder, when the database is SQLite in it.", readable=False),
    ] = None,
    dev: Annotated[bool, typer.Option("--dev", help="Dev mode's own data folder.")] = False,
    yes: Yes = False,
) -> None:
    """Take the second factor of somebody away who has lost it and the recovery codes.

    Run it where the server runs, and make sure first that it is them who ask. Their sessions end.
    """
    confirm(f"Let {email} sign in with the password alone?", yes=yes)
    # The database layer takes longer to load than `--help` takes.
    from maestro_ml.cli.process.second_factor import reset

    reset(email, data=data, dev=dev)


@app.command("rotate-keys")
def rotate_keys(
    data: Annotated[
        Path | None,
        typer.Option(help="The data folder, when the database is SQLite in it.", readable=False),
    ] = None,
    dev: Annotated[bool, typer.Option("--dev", help="Dev mode's own data folder.")] = False,
    stolen: Annotated[
        bool,
        typer.Option(
            "--stolen", help="The old key is known to others: end its tokens within ten seconds."
        ),
    ] = False,
    yes: Yes = False,
) -> None:
    """Sign tokens with a new key from now on.

    Nobody is signed out: what the old key signed lives out its 15 minutes, unless it was stolen.
    """
    confirm("Make a new signing key and retire the one in use?", yes=yes)
    # The database layer takes longer to load than `--help` takes.
    from maestro_ml.cli.process.keys import rotate

    rotate(data=data, dev=dev, stolen=stolen)
