"""`maestro models`: registered models, their versions and aliases."""

from typing import Annotated

import typer

from maestro_ml.cli.output import Json, Yes, confirm, give, give_json, give_list, give_one, say
from maestro_ml.cli.remote import api

app = typer.Typer(no_args_is_help=True, help="Registered models, their versions and aliases.")
versions = typer.Typer(no_args_is_help=True, help="What a model was at one time.")
aliases = typer.Typer(no_args_is_help=True, help="Names that mean one version, and then another.")
app.add_typer(versions, name="versions")
app.add_typer(aliases, name="aliases")

Name = Annotated[str, typer.Argument(help="The model's name.")]
Number = Annotated[int, typer.Argument(help="The version's number.", min=1)]
Alias = Annotated[str, typer.Argument(help="The alias, such as champion.")]
InProject = Annotated[
    str | None,
    typer.Option("--project", "-p", help="Its project's slug or id, where the name is in several."),
]


@app.command("list")
def list_models(
    search: Annotated[str | None, typer.Option(help="A part of the name.")] = None,
    project: Annotated[
        str | None, typer.Option("--project", "-p", help="Only this project's: its slug or id.")
    ] = None,
    prompts: Annotated[bool, typer.Option("--prompts", help="Prompts instead.")] = False,
    as_json: Json = False,
) -> None:
    """List the registered models that you can see."""
    with api() as client:
        found = list(client.models.list(search=search, project=project, prompts=prompts))
    give_list(
        found,
        {"name": "NAME", "latest_version": "LATEST", "aliases": "ALIASES", "description": "ABOUT"},
        as_json=as_json,
        empty="There are none. `mlflow.register_model(...)` or `maestro models create NAME` makes "
        "one.",
    )


@app.command("create")
def create_model(
    name: Name,
    project: Annotated[
        str | None, typer.Option("--project", "-p", help="The project's slug; else your default.")
    ] = None,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    as_json: Json = False,
) -> None:
    """Take a name for versions to come."""
    with api() as client:
        made = client.models.create(name, project=project, description=description)
    give_one(made, as_json=as_json)
    say(f"`maestro models versions create {name} --run RUN` adds a version.")


@app.command("show")
def show_model(name: Name, project: InProject = None, as_json: Json = False) -> None:
    """Show a model, and what its aliases mean."""
    with api() as client:
        give_one(client.models.get(name, project=project), as_json=as_json)


@app.command("update")
def update_model(
    name: Name,
    project: InProject = None,
    new_name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    description: Annotated[str | None, typer.Option(help="Another description.")] = None,
    as_json: Json = False,
) -> None:
    """Change a model. Under a new name, its versions and aliases follow."""
    if new_name is None and description is None:
        raise typer.BadParameter("give --new-name or --description.")
    with api() as client:
        changed = client.models.update(
            name, project=project, new_name=new_name, description=description
        )
    give_one(changed, as_json=as_json)


@app.command("delete")
def delete_model(name: Name, project: InProject = None, yes: Yes = False) -> None:
    """Destroy a model with all of its versions."""
    confirm(f"Destroy the model {name} with all of its versions?", yes=yes)
    with api() as client:
        client.models.delete(name, project=project, confirm=name)
    say(f"The model {name} is gone.")


@app.command("compare")
def compare(
    name: Name,
    numbers: Annotated[list[int], typer.Argument(help="Two versions or more.", min=1)],
    project: InProject = None,
    as_json: Json = False,
) -> None:
    """Show versions side by side: params, metrics, and the files that differ."""
    if len(set(numbers)) < 2:
        raise typer.BadParameter("name at least two versions.")
    with api() as client:
        found = client.models.compare(name, numbers, project=project)
    if as_json:
        give_json(found.model_dump(mode="json"))
        return
    for title, rows in (("param", found.params), ("metric", found.metrics), ("file", found.files)):
        for key, values in rows.items():
            told = "  ".join(f"{n}: {str(values.get(n, '-'))[:40]}" for n in dict.fromkeys(numbers))
            give(f"{title:<6}  {key}  {told}")


@versions.command("list")
def list_versions(name: Name, project: InProject = None, as_json: Json = False) -> None:
    """List a model's versions, the newest first."""
    with api() as client:
        found = list(client.models.versions(name, project=project))
    give_list(
        found,
        {"version": "VERSION", "aliases": "ALIASES", "source": "SOURCE", "created_at": "MADE"},
        as_json=as_json,
        empty=f"It has none. `maestro models versions create {name} --run RUN` adds one.",
    )


@versions.command("show")
def show_version(
    name: Name, number: Number, project: InProject = None, as_json: Json = False
) -> None:
    """Show one version."""
    with api() as client:
        give_one(client.models.version(name, number, project=project), as_json=as_json)


@versions.command("create")
def create_version(
    name: Name,
    run: Annotated[str | None, typer.Option(help="The run whose files it gets.")] = None,
    path: Annotated[str, typer.Option(help="Only the run's files below this folder.")] = "",
    copy_of: Annotated[int | None, typer.Option(help="Another version of the same model.")] = None,
    project: InProject = None,
    description: Annotated[str, typer.Option(help="What is new.")] = "",
    as_json: Json = False,
) -> None:
    """Add a version, with the files that its origin has now."""
    if (run is None) == (copy_of is None):
        raise typer.BadParameter("give --run or --copy-of.")
    with api() as client:
        made = client.models.create_version(
            name,
            project=project,
            run_id=run,
            path=path,
            copy_of=copy_of,
            description=description,
        )
    give_one(made, as_json=as_json)


@versions.command("files")
def list_files(
    name: Name, number: Number, project: InProject = None, as_json: Json = False
) -> None:
    """List a version's files with their hashes."""
    with api() as client:
        found = list(client.models.files(name, number, project=project))
    give_list(
        found,
        {"path": "PATH", "size": "BYTES", "sha256": "SHA-256"},
        as_json=as_json,
        empty="It has no files here.",
    )


@versions.command("lineage")
def show_lineage(
    name: Name, number: Number, project: InProject = None, as_json: Json = False
) -> None:
    """Show where a version comes from: datasets, run, logged model."""
    with api() as client:
        found = client.models.lineage(name, number, project=project)
    if as_json:
        give_json(found.model_dump(mode="json"))
        return
    run, logged = found.run, found.logged_model
    for dataset in run.datasets if run else []:
        give(f"dataset       {dataset.name} ({dataset.digest}) {dataset.context or ''}")
    if run:
        give(f"run           {run.name} ({run.id.hex}){', deleted' if run.deleted else ''}")
    if logged:
        give(f"logged model  {logged.name} (m-{logged.id.hex})")
    meant = ", ".join(found.version.aliases)
    give(f"version       {name} {number}{f' ({meant})' if meant else ''}")


@versions.command("delete")
def delete_version(name: Name, number: Number, project: InProject = None, yes: Yes = False) -> None:
    """Destroy a version and the aliases that mean it."""
    confirm(f"Destroy version {number} of {name}?", yes=yes)
    with api() as client:
        client.models.delete_version(name, number, project=project)
    say(f"Version {number} of {name} is gone.")


@aliases.command("set")
def set_alias(
    name: Name, alias: Alias, number: Number, project: InProject = None, as_json: Json = False
) -> None:
    """Let an alias mean a version. A protected one moves by approval: `maestro approvals`."""
    with api() as client:
        meant = client.models.set_alias(name, alias, number, project=project)
    if as_json:
        give_one(meant, as_json=True)
    else:
        say(f"{alias} of {name} means version {meant.version} now.")


@aliases.command("show")
def show_alias(name: Name, alias: Alias, project: InProject = None, as_json: Json = False) -> None:
    """Show the version that an alias means."""
    with api() as client:
        give_one(client.models.by_alias(name, alias, project=project), as_json=as_json)


@aliases.command("delete")
def delete_alias(name: Name, alias: Alias, project: InProject = None, yes: Yes = False) -> None:
    """Take an alias away."""
    confirm(f"Take the alias {alias} away from {name}?", yes=yes)
    with api() as client:
        client.models.delete_alias(name, alias, project=project)
    say(f"{alias} of {name} means nothing any more.")
