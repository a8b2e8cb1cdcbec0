"""`maestro tokens`, which was `maestro api-keys` before and still listens to it."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from maestro_ml.cli.output import Json, Yes, confirm, give, give_list, give_one, say
from maestro_ml.cli.remote import PasswordStdin, session

if TYPE_CHECKING:
    from maestro_ml.client.views import NewApiKey

app = typer.Typer(
    no_args_is_help=True,
    help="Keys for machines and for the MLflow client. These ask for your password: a key that "
    "could make keys would live for ever.",
)


KEY_COLUMNS = {
    "id": "ID",
    "name": "NAME",
    "last_four": "ENDS IN",
    "scopes": "MAY",
    "expires_at": "EXPIRES",
    "last_used_at": "LAST USED",
}


class Scope(StrEnum):
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


Purpose = Annotated[str, typer.Argument(help="What it is for, to know it by later.")]
Project = Annotated[
    str | None, typer.Option(help="The project that its runs land in, by slug or id.")
]
Only = Annotated[bool, typer.Option("--only", help="It may reach that project and no other.")]
Scopes = Annotated[
    list[Scope] | None, typer.Option(help="What it may do; repeat it for more than one.")
]
Days = Annotated[
    int | None, typer.Option(help="Days until it expires, 365 at most.", min=1, max=365)
]


@app.command("list")
def list_keys(as_json: Json = False, password_stdin: PasswordStdin = False) -> None:
    """List your keys. The keys themselves are not kept anywhere, so they are not shown."""
    with session(password_stdin=password_stdin) as client:
        keys = list(client.api_keys.list())
    give_list(
        keys,
        KEY_COLUMNS,
        as_json=as_json,
        empty="You have no keys. `maestro tokens create NAME` makes one.",
    )


@app.command("create")
def create_key(
    name: Purpose,
    project: Project = None,
    only: Only = False,
    scope: Scopes = None,
    days: Days = None,
    as_json: Json = False,
    password_stdin: PasswordStdin = False,
) -> None:
    """Make a key and print it, this once."""
    if only and project is None:
        raise typer.BadParameter("--only needs --project.")
    with session(password_stdin=password_stdin) as client:
        target = client.projects.get(project).id if project else None
        key = client.api_keys.create(
            name,
            scopes=[*scope] if scope else None,
            default_project_id=target,
            project_ids=[target] if only and target else None,
            expires_in_days=days,
        )
    give_key(key, client.url, as_json=as_json)


@app.command("revoke")
def revoke_key(
    id: Annotated[str, typer.Argument(help="The key's id, from `maestro tokens list`.")],
    yes: Yes = False,
    password_stdin: PasswordStdin = False,
) -> None:
    """End a key. Whatever uses it is refused from the next request on."""
    confirm(f"End the key {id} for good?", yes=yes)
    with session(password_stdin=password_stdin) as client:
        client.api_keys.revoke(id)
    say(f"The key {id} has ended.")


def give_key(key: "NewApiKey", url: str, *, as_json: bool) -> None:
    """A new key, this once, and how MLflow takes it."""
    if as_json:
        give_one(key, as_json=True)
        return
    give(key.token)
    say(
        "This is the only time that the key is shown. MLflow takes it as MLFLOW_TRACKING_TOKEN, "
        f"with MLFLOW_TRACKING_URI={url}."
    )
