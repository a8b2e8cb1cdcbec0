"""`/api/v1/projects`."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from maestro_ml.core.paging import Page
from maestro_ml.core.schemas import PageView, Text
from maestro_ml.http.deps import Paging, Reading, Writing
from maestro_ml.projects.models import Project
from maestro_ml.projects.schemas import (
    MemberAdd,
    MemberChange,
    MemberView,
    ProjectChange,
    ProjectCreate,
    ProjectFilter,
    ProjectOrder,
    ProjectView,
)
from maestro_ml.projects.service import lookup, projects, teams
from maestro_ml.projects.service.teams import TeamMember

router = APIRouter(prefix="/projects", tags=["projects"])


async def _wanted(wanted: Annotated[ProjectFilter, Query()]) -> ProjectFilter:
    return wanted


@router.post("", status_code=201, response_model=ProjectView)
async def create_project(work: Writing, body: ProjectCreate) -> Project:
    """Begin a project. You become its maintainer. The slug never changes."""
    return await projects.create(work, body)


@router.get("", response_model=PageView[ProjectView])
async def list_projects(
    work: Reading,
    paging: Paging,
    wanted: Annotated[ProjectFilter, Depends(_wanted)],
    sort: ProjectOrder = ProjectOrder.NEWEST,
) -> Page[Project]:
    """The projects you see: your tenant's internal ones, and private ones whose team you are in."""
    return await projects.search(work, wanted, paging, sort)


@router.get("/{id}", response_model=ProjectView)
async def read_project(work: Reading, id: UUID) -> Project:
    """Read one project."""
    return await lookup.get(work, id)


@router.patch("/{id}", response_model=ProjectView)
async def change_project(work: Writing, id: UUID, body: ProjectChange) -> Project:
    """Change what you send. Null empties what may be empty. Visibility needs a maintainer."""
    return await projects.change(work, id, body)


@router.post("/{id}/archive", response_model=ProjectView)
async def archive_project(work: Writing, id: UUID) -> Project:
    """Put a project aside. Nothing is lost, and nobody's runs land in it unasked."""
    return await projects.archive(work, id)


@router.post("/{id}/restore", response_model=ProjectView)
async def restore_project(work: Writing, id: UUID) -> Project:
    """Take up an archived project again."""
    return await projects.restore(work, id)


@router.delete("/{id}", status_code=204)
async def delete_project(
    work: Writing,
    id: UUID,
    confirm: Annotated[Text | None, Query(max_length=63, description="The slug.")] = None,
) -> None:
    """Destroy a project with its experiments, runs and team. `confirm` must be its slug."""
    await projects.delete(work, id, confirm=confirm)


@router.get("/{id}/members", response_model=PageView[MemberView])
async def list_project_members(work: Reading, paging: Paging, id: UUID) -> Page[TeamMember]:
    """The project's team, in the order they joined."""
    return await teams.members(work, id, paging)


@router.post("/{id}/members", status_code=201, response_model=MemberView)
async def add_project_member(work: Writing, id: UUID, body: MemberAdd) -> TeamMember:
    """Take somebody of your tenant into the team, by id or e-mail address."""
    return await teams.add(work, id, body)


@router.patch("/{id}/members/{user_id}", response_model=MemberView)
async def change_project_member(
    work: Writing, id: UUID, user_id: UUID, body: MemberChange
) -> TeamMember:
    """Change somebody's role in the team. A private project keeps a maintainer."""
    return await teams.change(work, id, user_id, body)


@router.delete("/{id}/members/{user_id}", status_code=204)
async def remove_project_member(work: Writing, id: UUID, user_id: UUID) -> None:
    """Take somebody out of the team. A private project keeps a maintainer."""
    await teams.remove(work, id, user_id)
