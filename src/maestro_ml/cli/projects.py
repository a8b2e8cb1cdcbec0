"""`maestro projects`."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from maestro_ml.cli.output import Json, Refused, Yes, confirm, give, give_list, give_one, say
from maestro_ml.cli.remote import api

app = typer.Typer(no_args_is_help=True, help="Projects and their teams.")
members = typer.Typer(no_args_is_help=True, help="Who works in a project, and as what.")
app.add_typer(members, name="members")

Project = Annotated[str, typer.Argument(help="The project's slug or id.")]
Email = Annotated[str, typer.Argument(help="The person's e-mail address.")]


class Status(StrEnum):
    PLANNED = "planned"
    ACTIVE = "active"
    COMPLETED = "completed"
    ABANDONED = "abandoned"


class Visibility(StrEnum):
    INTERNAL = "internal"
    PRIVATE = "private"


class TeamRole(StrEnum):
    VIEWER = "viewer"
    MEMBER = "member"
    MAINTAINER = "maintainer"


@app.command("list")
def list_projects(
    search: Annotated[str | None, typer.Option(help="Words in the name or description.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only these.")] = None,
    archived: Annotated[bool, typer.Option("--archived", help="The archived ones.")] = False,
    as_json: Json = False,
) -> None:
    """List the projects that you can see."""
    with api() as client:
        found = list(client.projects.list(search=search, status=status, archived=archived))
    give_list(
        found,
        {"slug": "SLUG", "name": "NAME", "status": "STATUS", "visibility": "VISIBILITY"},
        as_json=as_json,
        empty="No archived project found."
        if archived
        else 'No project found. `maestro projects create "My project"` starts one, and '
        "`maestro projects list --archived` shows those put aside.",
    )


@app.command("create")
def create_project(
    name: Annotated[str, typer.Argument(help="Its name, for people.")],
    slug: Annotated[
        str | None, typer.Option(help="Its name in addresses and in MLflow; it never changes.")
    ] = None,
    description: Annotated[str, typer.Option(help="What it is about.")] = "",
    private: Annotated[
        bool, typer.Option("--private", help="Only its team sees it; else your whole tenant.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start a project. Prints its slug."""
    visibility = Visibility.PRIVATE if private else Visibility.INTERNAL
    with api() as client:
        made = client.projects.create(
            name, slug=slug, description=description, visibility=visibility.value
        )
    if as_json:
        give_one(made, as_json=True)
        return
    give(made.slug)
    say(f"`maestro tokens create NAME --project {made.slug}` makes a key to track runs with.")


@app.command("show")
def show_project(project: Project, as_json: Json = False) -> None:
    """Show one project."""
    with api() as client:
        give_one(client.projects.get(project), as_json=as_json)


@app.command("update")
def update_project(
    project: Project,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    description: Annotated[str | None, typer.Option(help="Another description.")] = None,
    status: Annotated[Status | None, typer.Option(help="How it stands.")] = None,
    visibility: Annotated[Visibility | None, typer.Option(help="Who sees it.")] = None,
    as_json: Json = False,
) -> None:
    """Change what you name, and nothing else."""
    given = {"name": name, "description": description, "status": status, "visibility": visibility}
    changes: Any = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise Refused("Name what to change: --name, --description, --status or --visibility.", 2)
    with api() as client:
        give_one(client.projects.update(project, **changes), as_json=as_json)


@app.command("archive")
def archive_project(project: Project) -> None:
    """Put a project aside. Nothing is lost."""
    with api() as client:
        put_away = client.projects.archive(project)
    say(f"{put_away.slug} is archived. `maestro projects restore {put_away.slug}` brings it back.")


@app.command("restore")
def restore_project(project: Project) -> None:
    """Take up an archived project again."""
    with api() as client:
        say(f"{client.projects.restore(project).slug} is back.")


@app.command("delete")
def delete_project(project: Project, yes: Yes = False) -> None:
    """Destroy a project with its experiments, runs and team. This cannot be undone."""
    with api() as client:
        found = client.projects.get(project)
        confirm(f"Destroy {found.name!r} ({found.slug}) with everything in it, for good?", yes=yes)
        client.projects.delete(found.id, confirm=found.slug)
    say(f"{found.slug} is gone.")


@members.command("list")
def list_members(project: Project, as_json: Json = False) -> None:
    """List a project's team."""
    with api() as client:
        found = list(client.projects.members(project))
    give_list(
        found,
        {"email": "E-MAIL", "name": "NAME", "role": "ROLE"},
        as_json=as_json,
        empty=f"Nobody is in the team. `maestro projects members add {project} E-MAIL` adds one.",
    )


@members.command("add")
def add_member(
    project: Project,
    email: Email,
    role: Annotated[TeamRole, typer.Option(help="As what.")] = TeamRole.MEMBER,
) -> None:
    """Take somebody of your tenant into the team."""
    with api() as client:
        added = client.projects.add_member(project, email=email, role=role)
    say(f"{added.email} is {added.role} in {project}.")


@members.command("role")
def change_member(
    project: Project, email: Email, role: Annotated[TeamRole, typer.Argument(help="As what.")]
) -> None:
    """Give somebody of the team another role."""
    with api() as client:
        user = _member(client.projects.members(project), email)
        changed = client.projects.change_member(project, user.user_id, role=role)
    say(f"{changed.email} is {changed.role} in {project}.")


@members.command("remove")
def remove_member(project: Project, email: Email, yes: Yes = False) -> None:
    """Take somebody out of the team."""
    with api() as client:
        user = _member(client.projects.members(project), email)
        confirm(f"Take {user.email} out of {project}?", yes=yes)
        client.projects.remove_member(project, user.user_id)
    say(f"{user.email} is no longer in {project}.")


def _member(team: Any, email: str) -> Any:
    for member in team:
        if member.email.casefold() == email.casefold():
            return member
    raise Refused(f"{email} is not in the team.")
