"""`maestro tenants`."""

from typing import Annotated

import typer

from maestro_ml.cli.output import Json, give, give_list, give_one, say
from maestro_ml.cli.remote import PasswordStdin, api, session

app = typer.Typer(no_args_is_help=True, help="Organisations on this server.")


@app.command("current")
def show_tenant(as_json: Json = False) -> None:
    """Show the tenant that you act in, its limits and what is used of them."""
    with api() as client:
        give_one(client.tenants.current(), as_json=as_json)


@app.command("list")
def list_tenants(as_json: Json = False, password_stdin: PasswordStdin = False) -> None:
    """List all tenants. For platform admins; asks for your password."""
    with session(password_stdin=password_stdin) as client:
        found = list(client.tenants.list())
    give_list(
        found,
        {"slug": "SLUG", "name": "NAME", "status": "STATUS", "created_at": "CREATED"},
        as_json=as_json,
        empty="There is no tenant. `maestro tenants create` makes one.",
    )


@app.command("create")
def create_tenant(
    name: Annotated[str, typer.Argument(help="Its name, for people.")],
    slug: Annotated[str, typer.Option(help="Its name in addresses.")],
    admin: Annotated[str, typer.Option(help="The e-mail address of its first admin.")],
    as_json: Json = False,
    password_stdin: PasswordStdin = False,
) -> None:
    """Make a tenant and print a one-time invitation for its first admin.

    For platform admins; asks for your password.
    """
    with session(password_stdin=password_stdin) as client:
        made = client.tenants.create(name=name, slug=slug, admin_email=admin)
    if as_json:
        give_one(made, as_json=True)
        return
    give(made.invitation.token or "")
    say(f"Give this to {admin}, who joins with `maestro join` and a password of their own.")
