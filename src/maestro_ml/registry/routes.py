"""`/api/v1/models`."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import MISSING

from maestro_ml.core.schemas import PageView, Text
from maestro_ml.http.deps import Paging, Reading, Writing
from maestro_ml.projects.service import lookup as projects
from maestro_ml.registry import views
from maestro_ml.registry.schemas import (
    MAX_NAME,
    Alias,
    NewAlias,
    Number,
    SetTag,
)
from maestro_ml.registry.service import aliases, history, listing, lookup, models, versions
from maestro_ml.registry.views import ModelVersionView, RegisteredModelView, VersionFileView

Name = Annotated[Text, Path(max_length=MAX_NAME, description="The model's name.")]
Version = Annotated[Number, Path(description="The version's number.")]
Project = Annotated[views.InProject | None, Query()]
MOST_COMPARED = 10
router = APIRouter(prefix="/models", tags=["models"])


@router.post("", status_code=201)
async def create_model(work: Writing, body: views.RegisteredModelCreate) -> RegisteredModelView:
    """Take a name in a project, for versions to come."""
    if body.project is None:
        project = await projects.default_project(work)
    else:
        project = await projects.find(work, body.project)
    await projects.stay(work, project.id)
    return RegisteredModelView.of(await models.create(work, project.id, body.command))


@router.get("")
async def list_models(
    work: Reading,
    paging: Paging,
    project: Annotated[
        Text | None, Query(max_length=63, description="Only this project's: its slug or id.")
    ] = None,
    q: Annotated[Text | None, Query(max_length=MAX_NAME, description="A part of the name.")] = None,
    prompts: Annotated[bool, Query(description="Prompts, which are kept here as well.")] = False,
) -> PageView[RegisteredModelView]:
    """The registered models of the projects that you see, by name."""
    home = None if project is None else (await projects.find(work, project)).id
    found = await listing.models(work, paging, project_id=home, q=q, prompts=prompts)
    return views.models_page(found)


@router.get("/{name}")
async def read_model(work: Reading, name: Name, project: Project = None) -> RegisteredModelView:
    """Read one registered model, and what its aliases mean."""
    home = await lookup.home(work, name, project)
    return RegisteredModelView.of(await models.get(work, home, name))


@router.patch("/{name}")
async def change_model(
    work: Writing, name: Name, body: views.RegisteredModelChange, project: Project = None
) -> RegisteredModelView:
    """Change what you send. Under a new name, its versions and aliases follow."""
    home = await lookup.home(work, name, project)
    await projects.stay(work, home)
    for key, value in body.model_dump().get("tags", {}).items():
        if value is None:
            await models.delete_tag(work, home, name, key)
        else:
            await models.set_tag(work, home, name, SetTag(key=key, value=value))
    if body.description is not MISSING:
        await models.describe(work, home, name, body.description)
    if body.name is not MISSING:
        return RegisteredModelView.of(await models.rename(work, home, name, body.name))
    return RegisteredModelView.of(await models.get(work, home, name))


@router.delete("/{name}", status_code=204)
async def delete_model(
    work: Writing,
    name: Name,
    project: Project = None,
    confirm: Annotated[
        Text | None, Query(max_length=MAX_NAME, description="The model's name.")
    ] = None,
) -> None:
    """Destroy a registered model with its versions. `confirm` must be its name."""
    home = await lookup.home(work, name, project)
    await projects.stay(work, home)
    await models.delete(work, home, name, confirm=confirm)


@router.get("/{name}/comparison")
async def compare_model_versions(
    work: Reading,
    name: Name,
    versions: Annotated[list[Number], Query(min_length=2, max_length=MOST_COMPARED)],
    project: Project = None,
) -> views.ComparisonView:
    """Versions side by side: params, metrics, and the files that differ."""
    home = await lookup.home(work, name, project)
    return views.ComparisonView.of(await history.compare(work, home, name, versions))


@router.put("/{name}/aliases/{alias}")
async def set_model_alias(
    work: Writing, name: Name, alias: NewAlias, body: views.AliasSet, project: Project = None
) -> ModelVersionView:
    """From here on the alias means that version."""
    home = await lookup.home(work, name, project)
    await projects.stay(work, home)
    await aliases.set(work, home, name, alias, body.version)
    return ModelVersionView.of(await aliases.find(work, home, name, alias))


@router.get("/{name}/aliases/{alias}")
async def read_model_alias(
    work: Reading, name: Name, alias: Alias, project: Project = None
) -> ModelVersionView:
    """The version that an alias means now; `latest` is always the newest."""
    home = await lookup.home(work, name, project)
    return ModelVersionView.of(await aliases.find(work, home, name, alias))


@router.delete("/{name}/aliases/{alias}", status_code=204)
async def delete_model_alias(
    work: Writing, name: Name, alias: Alias, project: Project = None
) -> None:
    """The alias means nothing any more."""
    home = await lookup.home(work, name, project)
    await projects.stay(work, home)
    await aliases.delete(work, home, name, alias, missing_ok=False)


@router.post("/{name}/versions", status_code=201)
async def create_model_version(
    work: Writing, name: Name, body: views.ModelVersionCreate, project: Project = None
) -> ModelVersionView:
    """Add a version, with the files that a run, a logged model or another version has now."""
    home = await lookup.home(work, name, project)
    await projects.stay(work, home)
    copied = None
    if body.copy_of is not None:
        copied = (await versions.get(work, home, name, body.copy_of)).version.id
    made = await versions.create(work, home, name, body.command(name, copied))
    return ModelVersionView.of(made)


@router.get("/{name}/versions")
async def list_model_versions(
    work: Reading, paging: Paging, name: Name, project: Project = None
) -> PageView[ModelVersionView]:
    """A model's versions, the newest first."""
    home = await lookup.home(work, name, project)
    return views.versions_page(await listing.versions(work, home, name, paging))


@router.get("/{name}/versions/{version}")
async def read_model_version(
    work: Reading, name: Name, version: Version, project: Project = None
) -> ModelVersionView:
    """Read one version."""
    home = await lookup.home(work, name, project)
    return ModelVersionView.of(await versions.get(work, home, name, version))


@router.patch("/{name}/versions/{version}")
async def change_model_version(
    work: Writing,
    name: Name,
    version: Version,
    body: views.ModelVersionChange,
    project: Project = None,
) -> ModelVersionView:
    """Change what you send. Its files never change."""
    home = await lookup.home(work, name, project)
    await projects.stay(work, home)
    for key, value in body.model_dump().get("tags", {}).items():
        if value is None:
            await versions.delete_tag(work, home, name, version, key)
        else:
            await versions.set_tag(work, home, name, version, SetTag(key=key, value=value))
    if body.description is not MISSING:
        await versions.describe(work, home, name, version, body.description)
    return ModelVersionView.of(await versions.get(work, home, name, version))


@router.delete("/{name}/versions/{version}", status_code=204)
async def delete_model_version(
    work: Writing, name: Name, version: Version, project: Project = None
) -> None:
    """Destroy a version and the aliases that mean it. Its number is not given to another."""
    home = await lookup.home(work, name, project)
    await projects.stay(work, home)
    await versions.delete(work, home, name, version)


@router.get("/{name}/versions/{version}/files")
async def list_model_version_files(
    work: Reading, paging: Paging, name: Name, version: Version, project: Project = None
) -> PageView[VersionFileView]:
    """A version's files with their hashes."""
    home = await lookup.home(work, name, project)
    return views.files_page(await listing.files(work, home, name, version, paging))


@router.get("/{name}/versions/{version}/lineage")
async def read_model_lineage(
    work: Reading, name: Name, version: Version, project: Project = None
) -> views.LineageView:
    """Where a version comes from: datasets, run, logged model."""
    home = await lookup.home(work, name, project)
    return views.LineageView.of(await history.lineage(work, home, name, version))
