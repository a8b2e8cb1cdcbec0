"""MLflow's workspace calls: a workspace is a project, and its name is the project's slug."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from maestro_ml.core.errors import Invalid
from maestro_ml.core.paging import PageRequest
from maestro_ml.core.schemas import Text
from maestro_ml.db.work import Work
from maestro_ml.mlflow.deps import DEFAULT_WORKSPACE, TenantReading, TenantWriting, named
from maestro_ml.mlflow.wire import Message
from maestro_ml.projects.models import Project
from maestro_ml.projects.schemas import (
    Description,
    ProjectChange,
    ProjectCreate,
    ProjectFilter,
    ProjectOrder,
    ProjectSlug,
)
from maestro_ml.projects.service import projects
from maestro_ml.registry.service import models
from maestro_ml.tracking.service import experiments

router = APIRouter(prefix="/workspaces")
AT_ONCE = 1000
# Files and traces are kept where the server's settings say: empty, as a client clears them, or not
# at all.
Nowhere = Annotated[Text, Field(max_length=0)]


class TraceArchival(Message):
    location: Nowhere = ""
    retention: Nowhere = ""


class UpdateWorkspace(Message):
    description: Description | None = None
    default_artifact_root: Nowhere | None = None
    trace_archival_config: TraceArchival | None = None


class CreateWorkspace(UpdateWorkspace):
    name: ProjectSlug


@router.get("")
async def list_all(work: TenantReading) -> dict[str, Any]:
    return {"workspaces": [_message(project) async for project in _in_sight(work)]}


@router.post("", status_code=201)
async def create(work: TenantWriting, body: CreateWorkspace) -> dict[str, Any]:
    command = ProjectCreate(name=body.name, slug=body.name, description=body.description or "")
    return {"workspace": _message(await projects.create(work, command))}


@router.get("/{workspace_name}")
async def get(work: TenantReading, workspace_name: str) -> dict[str, Any]:
    return {"workspace": _message(await named(work, workspace_name))}


@router.patch("/{workspace_name}")
async def update(work: TenantWriting, workspace_name: str, body: UpdateWorkspace) -> dict[str, Any]:
    project = await named(work, workspace_name)
    if not body.model_fields_set:
        raise Invalid("Name something to change, such as 'description'.")
    if body.description is not None:
        change = ProjectChange(description=body.description)
        project = await projects.change(work, project.id, change)
    return {"workspace": _message(project)}


@router.delete("/{workspace_name}", status_code=204)
async def delete(
    work: TenantWriting,
    workspace_name: str,
    mode: Literal["RESTRICT", "CASCADE", "SET_DEFAULT"] = "RESTRICT",
) -> None:
    if workspace_name == DEFAULT_WORKSPACE:
        raise Invalid("'default' stands for another workspace: delete that one by its name.")
    project = await named(work, workspace_name)
    if mode == "SET_DEFAULT":
        raise Invalid("What is in a workspace stays there: the mode is RESTRICT or CASCADE.")
    if mode == "CASCADE":
        await projects.delete(work, project.id, confirm=workspace_name)
    else:
        await projects.delete_empty(work, project.id, holds=_used)


async def _in_sight(work: Work) -> AsyncIterator[Project]:
    """All of them: the protocol knows no pages."""
    request: PageRequest | None = PageRequest(AT_ONCE)
    while request is not None:
        page = await projects.search(work, ProjectFilter(), request, ProjectOrder.OLDEST)
        for project in page.items:
            yield project
        request = PageRequest(AT_ONCE, page.next_cursor) if page.next_cursor else None


def _message(project: Project) -> dict[str, str]:
    return {"name": project.slug, "description": project.description}


async def _used(work: Work, project_id: UUID) -> bool:
    return await experiments.used(work, project_id) or await models.used(work, project_id)
