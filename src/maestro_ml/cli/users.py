"""`maestro users` and `maestro join`."""

from enum import StrEnum
from typing import Annotated

import typer

from maestro_ml.cli.output import Json, Refused, give, give_list, give_one, say
from maestro_ml.cli.remote import (
    PasswordStdin,
    a_password,
    an_answer,
    api,
    speaking,
    url_or_default,
)

app = typer.Typer(no_args_is_help=True, help="The people of your tenant. For its admins.")

Person = Annotated[str, typer.Argument(help="Their e-mail address or id.")]


class TenantRole(StrEnum):
    VIEWER = "viewer"
    MEMBER = "member"
    MAINTAINER = "maintainer"
    ADMIN = "admin"


@app.command("list")
def list_users(as_json: Json = False) -> None:
    """List who is in your tenant, and as what."""
    with api() as client:
        found = list(client.users.list())
    give_list(
        found,
        {"email": "E-MAIL", "name": "NAME", "role": "ROLE", "last_login_at": "LAST LOGIN"},
        as_json=as_json,
        empty="Nobody is here. `maestro users invite E-MAIL` brings somebody in.",
    )


@app.command("role")
def set_role(person: Person, role: TenantRole) -> None:
    """Give somebody another role. It holds from their next request on."""
    with api() as client:
        id = person
        if "@" in person:
            wanted = person.casefold()
            found = next((u for u in client.users.list() if u.email.casefold() == wanted), None)
            if found is None:
                raise Refused(f"{person} is not in your tenant.")
            id = str(found.id)
        user = client.users.set_role(id, role)
    say(f"{user.email} is {user.role} now.")


@app.command("invite")
def invite_user(
    email: Annotated[str, typer.Argument(help="Whom.")],
    role: Annotated[TenantRole, typer.Option(help="As what.")] = TenantRole.MEMBER,
    as_json: Json = False,
) -> None:
    """Print a one-time invitation to your tenant."""
    with api() as client:
        made = client.users.invite(email=email, role=role)
    if as_json:
        give_one(made, as_json=True)
        return
    give(made.token or "")
    say(f"Give this to {email}, who joins with `maestro join` and a password of their own.")


def join(
    invitation: Annotated[
        str | None, typer.Option(help="The invitation. Asked for if left out.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="The server's address.")] = None,
    name: Annotated[str | None, typer.Option(help="Your name.")] = None,
    password_stdin: PasswordStdin = False,
) -> None:
    """Accept an invitation: join a tenant with a password of your own.

    Whoever has an account on the server already gives its password.
    """
    token = invitation or an_answer("invitation", "--invitation")
    called = name or an_answer("name", "--name")
    password = a_password(stdin=password_stdin, twice=True)
    with speaking(url_or_default(url)) as client:
        user = client.auth.accept_invitation(token=token, password=password, name=called).user
        client.auth.logout()
    say(f"{user.email} has joined. Now `maestro login`.")
