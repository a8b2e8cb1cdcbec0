"""`maestro service-accounts`, and their keys."""

from typing import TYPE_CHECKING, Annotated

import typer

from maestro_ml.cli.api_keys import KEY_COLUMNS, Days, Only, Project, Purpose, Scopes, give_key
from maestro_ml.cli.output import Json, Refused, Yes, confirm, give_list, give_one, say
from maestro_ml.cli.remote import PasswordStdin, api, appointing, session
from maestro_ml.cli.users import TenantRole

if TYPE_CHECKING:
    from maestro_ml.client import MaestroClient

app = typer.Typer(
    no_args_is_help=True,
    help="Machines of your tenant: accounts without a password, whose keys outlive whoever made "
    "them. For its admins.",
)
keys = typer.Typer(
    no_args_is_help=True,
    help="Keys of service accounts. These ask for your password: a key that could make keys would "
    "live for ever.",
)
app.add_typer(keys, name="keys")

Account = Annotated[str, typer.Argument(help="The service account's name or id.")]


@app.command("list")
def list_accounts(as_json: Json = False) -> None:
    """List your tenant's service accounts."""
    with api() as client:
        found = list(client.service_accounts.list())
    give_list(
        found,
        {
            "id": "ID",
            "name": "NAME",
            "role": "ROLE",
            "active": "ACTIVE",
            "description": "DESCRIPTION",
        },
        as_json=as_json,
        empty="There are none. `maestro service-accounts create NAME` makes one.",
    )


@app.command("show")
def show_account(account: Account, as_json: Json = False) -> None:
    """Show one service account."""
    with api() as client:
        give_one(client.service_accounts.get(_id_of(client, account)), as_json=as_json)


@app.command("create")
def create_account(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    role: Annotated[TenantRole, typer.Option(help="As what.")] = TenantRole.MEMBER,
    description: Annotated[str, typer.Option(help="For whoever finds it later.")] = "",
    as_json: Json = False,
    password_stdin: PasswordStdin = False,
) -> None:
    """Make an account for a machine. It takes a user's seat. For an admin's role it asks for your
    password."""
    with appointing(role, password_stdin=password_stdin) as client:
        made = client.service_accounts.create(name, description=description, role=role)
    give_one(made, as_json=as_json)
    say(f"It can do nothing yet: `maestro service-accounts keys create {made.id} NAME`.")


@app.command("update")
def update_account(
    account: Account,
    name: Annotated[str | None, typer.Option(help="A new name.")] = None,
    description: Annotated[str | None, typer.Option(help="A new description.")] = None,
    role: Annotated[TenantRole | None, typer.Option(help="Another role.")] = None,
    active: Annotated[
        bool | None,
        typer.Option("--activate/--deactivate", help="Whether its keys are taken at all."),
    ] = None,
    as_json: Json = False,
    password_stdin: PasswordStdin = False,
) -> None:
    """Change a service account. A role, and access, count from its next request on. For an admin's
    role it asks for your password."""
    given = {"name": name, "description": description, "role": role, "active": active}
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise typer.BadParameter("give at least one thing to change.")
    with appointing(role, password_stdin=password_stdin) as client:
        id = _id_of(client, account)
        changed = client.service_accounts.update(id, **changes)  # type: ignore[arg-type]
    give_one(changed, as_json=as_json)


@app.command("delete")
def delete_account(account: Account, yes: Yes = False) -> None:
    """Remove a service account with its keys. What it made stays."""
    confirm(f"Remove the service account {account} and end its keys for good?", yes=yes)
    with api() as client:
        client.service_accounts.delete(_id_of(client, account))
    say(f"The service account {account} is gone.")


@keys.command("list")
def list_keys(
    account: Account, as_json: Json = False, password_stdin: PasswordStdin = False
) -> None:
    """List the keys of a service account."""
    with session(password_stdin=password_stdin) as client:
        found = list(client.service_accounts.keys(_id_of(client, account)).list())
    give_list(
        found,
        KEY_COLUMNS,
        as_json=as_json,
        empty="It has no keys. `maestro service-accounts keys create ACCOUNT NAME` makes one.",
    )


@keys.command("create")
def create_key(
    account: Account,
    name: Purpose,
    project: Project = None,
    only: Only = False,
    scope: Scopes = None,
    days: Days = None,
    as_json: Json = False,
    password_stdin: PasswordStdin = False,
) -> None:
    """Make a key for a service account and print it, this once."""
    if only and project is None:
        raise typer.BadParameter("--only needs --project.")
    with session(password_stdin=password_stdin) as client:
        target = client.projects.get(project).id if project else None
        key = client.service_accounts.keys(_id_of(client, account)).create(
            name,
            scopes=[*scope] if scope else None,
            default_project_id=target,
            project_ids=[target] if only and target else None,
            expires_in_days=days,
        )
    give_key(key, client.url, as_json=as_json)


@keys.command("revoke")
def revoke_key(
    account: Account,
    id: Annotated[
        str, typer.Argument(help="The key's id, from `maestro service-accounts keys list`.")
    ],
    yes: Yes = False,
    password_stdin: PasswordStdin = False,
) -> None:
    """End a key of a service account. It is refused from the next request on."""
    confirm(f"End the key {id} for good?", yes=yes)
    with session(password_stdin=password_stdin) as client:
        client.service_accounts.keys(_id_of(client, account)).revoke(id)
    say(f"The key {id} has ended.")


def _id_of(client: "MaestroClient", account: str) -> str:
    for one in client.service_accounts.list():
        if account in {one.name, str(one.id)}:
            return str(one.id)
    raise Refused(f"There is no service account {account!r} in your tenant.")
