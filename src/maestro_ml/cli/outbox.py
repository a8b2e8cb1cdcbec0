"""`maestro outbox`."""

from typing import Annotated

import typer

from maestro_ml.cli.output import Json, give, give_list, give_one
from maestro_ml.cli.remote import PasswordStdin, session

app = typer.Typer(
    no_args_is_help=True,
    help="Mail of the server: what was sent, and what is kept because no SMTP server is set "
    "(MAESTRO_MAIL__HOST). For the platform's admins.",
)


@app.command("list")
def list_mails(as_json: Json = False, password_stdin: PasswordStdin = False) -> None:
    """List the mails of the last 30 days, the newest first."""
    with session(password_stdin=password_stdin) as client:
        found = list(client.outbox.list())
    give_list(
        found,
        {
            "id": "ID",
            "created_at": "CREATED",
            "recipient": "TO",
            "subject": "SUBJECT",
            "state": "STATE",
        },
        as_json=as_json,
        empty="The outbox is empty.",
    )


@app.command("show")
def show_mail(
    id: Annotated[str, typer.Argument(help="Its id, as `maestro outbox list` shows it.")],
    as_json: Json = False,
    password_stdin: PasswordStdin = False,
) -> None:
    """Show a mail with its text, and its link where no SMTP server is set. The audit trail keeps
    who read it."""
    with session(password_stdin=password_stdin) as client:
        mail = client.outbox.get(id)
    if as_json:
        give_one(mail, as_json=True)
        return
    give(f"To: {mail.recipient}\nSubject: {mail.subject}\n")
    give(mail.text or "It was sent, and its text was not kept.")
