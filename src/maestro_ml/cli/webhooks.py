"""`maestro webhooks`."""

import getpass
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maestro_ml.cli.output import (
    Json,
    Refused,
    Yes,
    confirm,
    give,
    give_json,
    give_list,
    give_one,
    say,
)
from maestro_ml.cli.remote import api

if TYPE_CHECKING:
    from maestro_ml.client import MaestroClient
    from maestro_ml.client.views_webhooks import Webhook

app = typer.Typer(
    no_args_is_help=True,
    help="Who outside is told what happens here: a project's webhooks for its maintainers, the "
    "tenant's for its admins.",
)


class State(StrEnum):
    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


Which = Annotated[str, typer.Argument(help="Its name or id.")]
Filter = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="EVENT:FIELD=VALUE",
        help="Only events with this value, such as run.finished:status=FAILED; repeatable.",
    ),
]
Events = Annotated[
    list[str] | None,
    typer.Option(
        "--on", metavar="EVENT", help="What it hears, such as run.finished; repeat it for more."
    ),
]
SecretStdin = Annotated[
    bool,
    typer.Option("--secret-stdin", help="Read a secret of your own from standard input."),
]
AskSecret = Annotated[
    bool, typer.Option("--ask-secret", help="Ask for a secret of your own; else one is made.")
]


@app.command("list")
def list_webhooks(
    project: Annotated[
        str | None, typer.Option("--project", "-p", help="Only this project's: its slug or id.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the webhooks of projects that you maintain and, for admins, of the tenant."""
    with api() as client:
        of = None if project is None else client.projects.get(project).id
        found = list(client.webhooks.list(project_id=of))
    give_list(
        found,
        {"id": "ID", "name": "NAME", "events": "ON", "status": "STATUS", "failures": "FAILURES"},
        as_json=as_json,
        empty="There are none. `maestro webhooks create` makes one.",
    )


@app.command("show")
def show_webhook(which: Which, as_json: Json = False) -> None:
    """Show one, without its secret."""
    with api() as client:
        give_one(_found(client, which), as_json=as_json)


@app.command("create")
def create_webhook(
    name: Annotated[str, typer.Argument(help="Its name, for people.")],
    url: Annotated[str, typer.Argument(help="Where it is told, such as https://host/path.")],
    on: Events = None,
    project: Annotated[
        str | None, typer.Option("--project", "-p", help="Whose events it hears: a slug or id.")
    ] = None,
    tenant: Annotated[
        bool, typer.Option("--tenant", help="It hears your whole tenant. For admins.")
    ] = False,
    only: Filter = None,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    ask_secret: AskSecret = False,
    secret_stdin: SecretStdin = False,
    as_json: Json = False,
) -> None:
    """Have an address told of events. Prints the secret that deliveries are signed with, once."""
    if tenant == (project is not None):
        raise typer.BadParameter("say whose events it hears: --project NAME, or --tenant.")
    if not on:
        raise typer.BadParameter("say what it hears: --on EVENT.")
    with api() as client:
        made = client.webhooks.create(
            name,
            url=url,
            events=on,
            project_id=None if project is None else client.projects.get(project).id,
            filters=_filters(only or []),
            description=description,
            secret=_secret(ask=ask_secret, stdin=secret_stdin),
        )
    _give_new(made, as_json=as_json)
    if not as_json:
        say(f"`maestro webhooks test {made.id}` sends an example there.")


@app.command("change")
def change_webhook(
    which: Which,
    name: Annotated[str | None, typer.Option(help="Its name, for people.")] = None,
    url: Annotated[str | None, typer.Option(help="Where it is told.")] = None,
    on: Events = None,
    only: Filter = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    enable: Annotated[
        bool | None,
        typer.Option("--enable/--disable", help="Whether it is told; to enable forgives failures."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Change what is given. A list takes the place of the old one."""
    given: dict[str, Any] = {
        "name": name,
        "url": url,
        "events": on,
        "filters": None if only is None else _filters(only),
        "description": description,
        "status": None if enable is None else ("active" if enable else "disabled"),
    }
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise typer.BadParameter("say what to change.")
    with api() as client:
        changed = client.webhooks.update(_found(client, which).id, **changes)
    give_one(changed, as_json=as_json)


@app.command("delete")
def delete_webhook(which: Which, yes: Yes = False) -> None:
    """Tell it nothing more, and forget what it was told."""
    with api() as client:
        found = _found(client, which)
        confirm(f"Delete the webhook {found.name!r} with its log?", yes=yes)
        client.webhooks.delete(found.id)
    say(f"The webhook {found.name!r} is deleted.")


@app.command("test")
def try_webhook(
    which: Which,
    on: Annotated[
        str | None, typer.Option("--on", metavar="EVENT", help="An example of this event.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Send an example of an event now, once. Fails if nobody took it."""
    with api() as client:
        told = client.webhooks.test(_found(client, which).id, on)
    if as_json:
        give_one(told, as_json=True)
    else:
        say(f"It works: the receiver answered {told.status}." if told.works else f"{told.error}")
    if not told.works:
        raise Refused("")


@app.command("deliveries")
def list_deliveries(
    which: Which,
    state: Annotated[State | None, typer.Option(help="Only those.")] = None,
    most: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, at most.")] = 50,
    as_json: Json = False,
) -> None:
    """List what it was told in the last 30 days, the newest first."""
    with api() as client:
        log = client.webhooks.deliveries(_found(client, which).id, state=state and state.value)
        found = [delivery for _, delivery in zip(range(most), log, strict=False)]
    give_list(
        found,
        {
            "id": "ID",
            "event": "EVENT",
            "state": "STATE",
            "attempts": "TRIED",
            "last_status": "ANSWER",
            "created_at": "WHEN",
            "error": "ERROR",
        },
        as_json=as_json,
        empty="It was told nothing. `maestro webhooks test` sends an example.",
    )


@app.command("replay")
def replay_delivery(
    which: Which,
    delivery: Annotated[str, typer.Argument(help="The delivery's id.")],
    as_json: Json = False,
) -> None:
    """Send an event once more, under the id that it had. Prints the new delivery's id."""
    with api() as client:
        again = client.webhooks.replay(_found(client, which).id, delivery)
    if as_json:
        give_one(again, as_json=True)
    else:
        give(str(again.id))


@app.command("rotate-secret")
def rotate_secret(
    which: Which,
    ask_secret: AskSecret = False,
    secret_stdin: SecretStdin = False,
    as_json: Json = False,
) -> None:
    """Sign with a new secret, and for 24 hours with the old one as well. Prints it, once."""
    with api() as client:
        secret = _secret(ask=ask_secret, stdin=secret_stdin)
        changed = client.webhooks.rotate_secret(_found(client, which).id, secret)
    _give_new(changed, as_json=as_json)
    if not as_json and changed.previous_key_until:
        say(f"The old secret signs as well until {changed.previous_key_until:%Y-%m-%d %H:%M} UTC.")


def _found(client: "MaestroClient", which: str) -> "Webhook":
    """By its id, or the only one of that name."""
    same = [one for one in client.webhooks.list() if which in (one.name, str(one.id))]
    if len(same) == 1:
        return same[0]
    if same:
        ids = ", ".join(str(one.id) for one in same)
        raise Refused(f"There are {len(same)} webhooks called {which!r}: name one by its id, {ids}")
    raise Refused(f"There is no webhook {which!r} that you may see: `maestro webhooks list`.")


def _filters(given: list[str]) -> dict[str, dict[str, list[str]]]:
    """EVENT:FIELD=VALUE, as often as they come."""
    filters: dict[str, dict[str, list[str]]] = {}
    for one in given:
        place, equals, value = one.partition("=")
        event, colon, field = place.partition(":")
        if not (equals and colon and event and field):
            raise typer.BadParameter(f"{one!r} is not EVENT:FIELD=VALUE.")
        filters.setdefault(event, {}).setdefault(field, []).append(value)
    return filters


def _secret(*, ask: bool, stdin: bool) -> str | None:
    if stdin:
        return sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    if not ask:
        return None
    if not sys.stdin.isatty():
        raise Refused("There is no terminal to ask for a secret: give --secret-stdin.")
    return getpass.getpass("Secret: ")


def _give_new(webhook: "Webhook", *, as_json: bool) -> None:
    if as_json:
        give_json(webhook.model_dump(mode="json"))
    elif webhook.secret:
        give(webhook.secret)
        say("This is its secret: it is not shown again. The receiver checks signatures with it.")
    else:
        say("Deliveries are signed with your secret.")
