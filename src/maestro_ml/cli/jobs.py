"""`maestro jobs`."""

from enum import StrEnum
from typing import Annotated

import typer

from maestro_ml.cli.output import Json, Refused, give, give_json, give_list, give_one, say
from maestro_ml.cli.remote import api

app = typer.Typer(no_args_is_help=True, help="Background work.")

Id = Annotated[str, typer.Argument(help="The job's id.")]


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@app.command("list")
def list_jobs(
    state: Annotated[State | None, typer.Option(help="Only these.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind.")] = None,
    as_json: Json = False,
) -> None:
    """List the jobs that you can see."""
    with api() as client:
        found = list(client.jobs.list(state=state, kind=kind))
    give_list(
        found,
        {"id": "ID", "kind": "KIND", "state": "STATE", "progress": "PROGRESS"},
        as_json=as_json,
        empty="No job found. Long work, such as an import, shows up here by itself.",
    )


@app.command("show")
def show_job(id: Id, as_json: Json = False) -> None:
    """Show one job."""
    with api() as client:
        give_one(client.jobs.get(id), as_json=as_json)


@app.command("cancel")
def cancel_job(id: Id) -> None:
    """Ask a job to stop. One that runs stops at its next step."""
    with api() as client:
        job = client.jobs.cancel(id)
    say(f"The job is {job.state}." if job.ended else "The job has been asked to stop.")


@app.command("watch")
def watch_job(id: Id, as_json: Json = False) -> None:
    """Follow a job until it has ended. Fails when the job does."""
    last = None
    with api() as client:
        for last in client.jobs.watch(id):
            if as_json:
                give_json(last.model_dump(mode="json"))
            else:
                give(f"{last.state}  {last.progress:4.0%}  {last.message or ''}".rstrip())
    if last is None or last.state != "done":
        raise Refused((last and last.error) or "The job did not get done.")
