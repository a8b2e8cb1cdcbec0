"""`maestro approvals`."""

from typing import Annotated, Any
from uuid import UUID

import typer

from maestro_ml.cli.models import InProject
from maestro_ml.cli.output import Json, give_list, give_one, say
from maestro_ml.cli.remote import PasswordStdin, api, session

app = typer.Typer(
    no_args_is_help=True,
    help="Who may let a model go into production: what is asked for, found out, and decided. "
    "Votes are given with your password, since no key votes.",
)

Which = Annotated[str, typer.Argument(metavar="ID", help="The request's id.")]
Kind = Annotated[str, typer.Option(help="What kind of thing it is.")]
MODEL_ALIAS = "model-alias"
APART = ("evidence", "votes", "parties", "missing", "may_vote", "requested_by")


@app.command("list")
def list_approvals(
    awaiting_me: Annotated[
        bool, typer.Option("--awaiting-me", help="Only what waits for your vote.")
    ] = False,
    mine: Annotated[bool, typer.Option("--mine", help="Only what you have asked for.")] = False,
    every: Annotated[bool, typer.Option("--all", help="What is decided, too.")] = False,
    as_json: Json = False,
) -> None:
    """List what is asked for and not decided yet, the newest first."""
    with api() as client:
        found = list(
            client.approvals.list(awaiting_me=awaiting_me, mine=mine, open=None if every else True)
        )
    give_list(
        found,
        {"id": "ID", "name": "WHAT", "alias": "ALIAS", "state": "STATE", "expires_at": "EXPIRES"},
        as_json=as_json,
        empty="Nothing waits for your vote."
        if awaiting_me
        else "Nothing is asked for. `maestro approvals request` asks, and "
        "`maestro approvals list --all` shows what is decided.",
    )


@app.command("show")
def show_approval(id: Which, as_json: Json = False) -> None:
    """Show a request with its evidence, its votes and what is still missing."""
    with api() as client:
        _give(client.approvals.get(id), as_json=as_json)


@app.command("request")
def request_approval(
    subject: Annotated[str, typer.Argument(metavar="MODEL", help="The model's name or id.")],
    alias: Annotated[str, typer.Argument(help="The protected alias, such as production.")],
    target: Annotated[
        str | None,
        typer.Argument(help="The version it is to point at; left out, it is to be taken away."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for those who decide.")] = "",
    project: InProject = None,
    kind: Kind = MODEL_ALIAS,
    as_json: Json = False,
) -> None:
    """Ask that a protected alias may move. Prints what it takes."""
    with api() as client:
        if kind == MODEL_ALIAS and not _is_id(subject):
            subject = str(client.models.get(subject, project=project).id)
        asked = client.approvals.request(subject, alias, target, reason=reason, subject_kind=kind)
    _give(asked, as_json=as_json)


@app.command("approve")
def approve(
    id: Which,
    comment: Annotated[str, typer.Option(help="What you want to be read beside your vote.")] = "",
    password_stdin: PasswordStdin = False,
    as_json: Json = False,
) -> None:
    """Vote for it, with your password. With the last vote that it takes, the alias moves."""
    with session(password_stdin=password_stdin) as client:
        _give(client.approvals.approve(id, comment=comment), as_json=as_json)


@app.command("reject")
def reject(
    id: Which,
    reason: Annotated[str, typer.Option(help="Why not.")],
    password_stdin: PasswordStdin = False,
    as_json: Json = False,
) -> None:
    """Vote against it, with your password and a reason. That ends it."""
    with session(password_stdin=password_stdin) as client:
        _give(client.approvals.reject(id, reason=reason), as_json=as_json)


@app.command("withdraw")
def withdraw(id: Which) -> None:
    """Take back what you have asked for; or, as a maintainer of the project, what others have."""
    with api() as client:
        done = client.approvals.withdraw(id)
    say(f"The request about {done.name} is withdrawn.")


@app.command("override")
def override(
    id: Which,
    reason: Annotated[str, typer.Option(help="Why it cannot wait. It stands in the audit trail.")],
    password_stdin: PasswordStdin = False,
    as_json: Json = False,
) -> None:
    """As an admin, in an emergency: let it happen without what is missing, if the policy allows."""
    with session(password_stdin=password_stdin) as client:
        _give(client.approvals.override(id, reason=reason), as_json=as_json)


@app.command("retry")
def retry(
    id: Which,
    evidence: Annotated[str, typer.Argument(help="The id of what a gate found.")],
    as_json: Json = False,
) -> None:
    """Run an automatic gate again that has failed or broken."""
    with api() as client:
        _give(client.approvals.retry(id, evidence), as_json=as_json)


def _give(found: Any, *, as_json: bool) -> None:
    give_one(found, as_json=as_json, leave_out=APART)
    if as_json:
        return
    if found.evidence:
        say("\nEvidence:")
        columns = {"id": "ID", "kind": "GATE", "attempt": "RUN", "state": "STATE"}
        give_list(found.evidence, columns | {"summary": "FOUND"}, as_json=False, empty="")
    for vote in found.votes:
        counts = "" if vote.counts else " (counts no more)"
        said = f": {vote.comment}" if vote.comment else ""
        say(f"{vote.voter} ({vote.role}): {vote.verdict}{counts}{said}")
    for sentence in found.missing:
        say(sentence)


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
