"""`maestro approval-policies`."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from maestro_ml.cli.approvals import MODEL_ALIAS, Kind
from maestro_ml.cli.output import Json, Refused, give_json, give_list, give_one, say
from maestro_ml.cli.remote import PasswordStdin, api, session

app = typer.Typer(
    no_args_is_help=True,
    help="What it takes to move a protected alias: the policy of your tenant, or of one model.",
)

Of = Annotated[
    str | None, typer.Option("--of", help="The id of a model; left out, it is your tenant's.")
]
File = Annotated[
    str, typer.Argument(help="A file with the policy as JSON; - reads standard input.")
]


@app.command("show")
def show_policy(of: Of = None, kind: Kind = MODEL_ALIAS, as_json: Json = False) -> None:
    """Show the policy in force."""
    with api() as client:
        give_one(client.approval_policies.current(of, subject_kind=kind), as_json=as_json)


@app.command("history")
def list_versions(of: Of = None, kind: Kind = MODEL_ALIAS, as_json: Json = False) -> None:
    """List every version there was, the newest first."""
    with api() as client:
        found = list(client.approval_policies.history(of, subject_kind=kind))
    give_list(
        found,
        {"number": "NUMBER", "created_at": "SINCE", "reason": "REASON", "policy": "POLICY"},
        as_json=as_json,
        empty="There is none: what is above counts. `maestro approval-policies show` shows it.",
    )


@app.command("set")
def write_policy(
    file: File,
    reason: Annotated[str, typer.Option(help="Why, for those who ask later.")] = "",
    of: Of = None,
    kind: Kind = MODEL_ALIAS,
    password_stdin: PasswordStdin = False,
    as_json: Json = False,
) -> None:
    """Put a new version in force, with your password; `null` lets what is above count again. What
    is asked for under the version before expires. For admins."""
    if file == "-" and password_stdin:
        raise Refused("Standard input holds the password: name a file for the policy.", 2)
    policy = _read(file)
    with session(password_stdin=password_stdin) as client:
        made = client.approval_policies.write(
            policy, reason=reason, subject_id=of, subject_kind=kind
        )
    give_one(made, as_json=as_json)


@app.command("try")
def try_policy(file: File, of: Of = None, kind: Kind = MODEL_ALIAS, as_json: Json = False) -> None:
    """What would this policy have stopped, and why? It changes nothing."""
    policy = _read(file)
    if policy is None:
        raise Refused("There is nothing to try: the file holds no policy.", 2)
    with api() as client:
        found = client.approval_policies.dry_run(policy, subject_id=of, subject_kind=kind)
    if as_json:
        give_json(found.model_dump(mode="json"))
        return
    give_list(
        found.stopped,
        {"approval_id": "ID", "name": "WHAT", "alias": "ALIAS", "reasons": "WHY"},
        as_json=False,
        empty="It would have stopped nothing.",
    )
    say(f"Looked at {found.looked_at}; {found.unprotected} would not have had to ask.")


def _read(file: str) -> dict[str, Any] | None:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        policy = json.loads(text)
    except (OSError, ValueError, RecursionError) as unread:
        raise Refused(f"The policy cannot be read from {file}: {unread}", 2) from None
    if policy is not None and not isinstance(policy, dict):
        raise Refused("A policy is a JSON object, or null.", 2)
    return policy
