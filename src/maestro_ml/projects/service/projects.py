"""Create, list, change, archive and delete projects."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Table, inspect, or_, select

from maestro_ml.audit.service import record
from maestro_ml.core.access import ActorKind, Permission, Role
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.paging import Sort, page_of
from maestro_ml.db.work import Work
from maestro_ml.jobs.service import publish
from maestro_ml.projects.errors import (
    DeleteUnconfirmed,
    ProjectHolds,
    ProjectInvalid,
    ProjectNameTaken,
    ProjectNotFound,
    ProjectSlugTaken,
)
from maestro_ml.projects.models import Project, ProjectMember, Visibility
from maestro_ml.projects.schemas import ProjectChange, ProjectCreate, ProjectFilter, ProjectOrder
from maestro_ml.projects.service.lookup import check_team, get, hold, keep_place
from maestro_ml.projects.service.teams import keep_maintained
from maestro_ml.projects.slugs import first_free, slug_from
from maestro_ml.tenancy.service import give_back_project_slot, take_project_slot

_ORDERS: Mapping[ProjectOrder, Sort | None] = {
    ProjectOrder.NAME: Sort("name", Project.name),
    ProjectOrder.NAME_DOWN: Sort("name", Project.name, descending=True),
    ProjectOrder.OLDEST: Sort("created_at", Project.created_at),
    ProjectOrder.NEWEST: None,
    ProjectOrder.LEAST_RECENT: Sort("updated_at", Project.updated_at),
    ProjectOrder.MOST_RECENT: Sort("updated_at", Project.updated_at, descending=True),
}


async def create(work: Work, command: ProjectCreate) -> Project:
    """Begin a project; who creates it maintains it.

    Raises:
        QuotaExceeded: the tenant has as many as it may have.
        ProjectNameTaken, ProjectSlugTaken: another project has the name or the slug.
    """
    work.require(Permission.PROJECT_CREATE)
    values = _columns(command.model_dump(exclude={"slug", "visibility"}))
    _fit(values)
    await keep_place(work)
    # It also makes the creates of a tenant queue up, so that a slug found free stays free.
    await take_project_slot(work)
    slug = await _free_slug(work, command)
    project = Project(
        **values, slug=slug, created_at=work.now, updated_at=work.now, created_by=_actor(work)
    )
    work.session.add(project)
    await work.flush_or(ProjectNameTaken(command.name))
    if work.access.kind is not ActorKind.SYSTEM:
        await _add_creator(work, project.id)
    record(work, "project.created", "project", project.id, name=project.name, slug=slug)
    await publish(work, "project.created", **_told(project, visibility=command.visibility))
    # Last, since this session does not know of its team: from here on it sees nothing in it.
    project.visibility = command.visibility
    await work.session.flush()
    return project


async def search(
    work: Work, wanted: ProjectFilter, request: PageRequest, order: ProjectOrder
) -> Page[Project]:
    """A page of the projects in sight.

    Raises:
        Invalid: the cursor is not one of this list and order.
    """
    work.require(Permission.PROJECT_READ)
    query = select(Project).where(*_conditions(wanted))
    return await page_of(work.session, query, Project, request, sort=_ORDERS[order])


async def change(work: Work, id: UUID, command: ProjectChange) -> Project:
    """Change what was sent.

    Raises:
        Forbidden: the role is too low; who sees the project is decided by its maintainers.
        ProjectNameTaken: another project has the name.
    """
    project = await hold(work, id)
    work.require(Permission.PROJECT_WRITE, id)
    # As text, because True == 1, also deep inside the metadata.
    changed = {
        name: value
        for name, value in _columns(command.model_dump()).items()
        if repr(getattr(project, name)) != repr(value)
    }
    if not changed:
        return project
    if "visibility" in changed:
        work.require(Permission.PROJECT_MANAGE, id)
    _fit({name: changed.get(name, getattr(project, name)) for name in _TOGETHER})
    visibility = changed.pop("visibility", project.visibility)
    project.updated_at = work.now
    for name, value in changed.items():
        setattr(project, name, value)
    await work.flush_or(ProjectNameTaken(project.name))
    fields = sorted("metadata" if name == "meta" else name for name in changed)
    if visibility is not project.visibility:
        fields = sorted([*fields, "visibility"])
    record(work, "project.changed", "project", id, fields=fields)
    told = _told(project, fields=fields, visibility=visibility)
    await publish(work, "project.changed", **told)
    if visibility is not project.visibility:
        await _show(work, project, visibility)
    return project


async def archive(work: Work, id: UUID) -> Project:
    """Put it aside: it is kept whole, and is no longer anybody's default project."""
    project = await hold(work, id)
    work.require(Permission.PROJECT_MANAGE, id)
    if project.archived_at is None:
        project.archived_at = project.updated_at = work.now
        record(work, "project.archived", "project", id)
        await publish(work, "project.archived", **_told(project))
    return project


async def restore(work: Work, id: UUID) -> Project:
    """Take it up again."""
    project = await hold(work, id)
    work.require(Permission.PROJECT_MANAGE, id)
    if project.archived_at is not None:
        project.archived_at, project.updated_at = None, work.now
        record(work, "project.restored", "project", id)
        await publish(work, "project.restored", **_told(project))
    return project


async def delete(work: Work, id: UUID, *, confirm: str | None) -> None:
    """Destroy it with everything in it.

    Raises:
        DeleteUnconfirmed: `confirm` is not its slug.
    """
    project = await get(work, id)
    work.require(Permission.PROJECT_MANAGE, id)
    if confirm != project.slug:
        raise DeleteUnconfirmed(project.slug)
    await _destroy(work, await _seize(work, id))


async def delete_empty(
    work: Work, id: UUID, *, holds: Callable[[Work, UUID], Awaitable[bool]]
) -> None:
    """Destroy it if it `holds` nothing.

    Raises:
        ProjectHolds: something is in it.
    """
    await get(work, id)
    work.require(Permission.PROJECT_MANAGE, id)
    project = await _seize(work, id)
    if await holds(work, id):
        raise ProjectHolds
    await _destroy(work, project)


async def _seize(work: Work, id: UUID) -> Project:
    """One that nobody adds to any more. Who comes second finds nothing."""
    await keep_place(work)
    # The tenant's counter before the project's row, as in create.
    await give_back_project_slot(work)
    project = await work.session.get(Project, id, with_for_update=True, populate_existing=True)
    if project is None:
        raise ProjectNotFound
    await check_team(work, id)
    return project


async def _destroy(work: Work, project: Project) -> None:
    # Said while everything is still there: whoever keeps what may not be lost refuses.
    await publish(work, "project.deleting", project_id=str(project.id), slug=project.slug)
    await work.session.delete(project)
    await work.session.flush()
    record(work, "project.deleted", "project", project.id, name=project.name, slug=project.slug)
    await publish(work, "project.deleted", **_told(project))


def _told(project: Project, **more: Any) -> dict[str, Any]:
    """What listeners hear of one. Who sees it is said as it is not known any more of one that was
    deleted, and not yet of one that is made."""
    facts = {"project_id": str(project.id), "name": project.name, "slug": project.slug}
    return facts | {"visibility": project.visibility} | more


_TOGETHER = (
    "planned_start",
    "planned_end",
    "actual_start",
    "actual_end",
    "budget",
    "budget_currency",
)


def _fit(values: Mapping[str, Any]) -> None:
    """What one field alone cannot tell."""
    for kind in ("planned", "actual"):
        start, end = values[f"{kind}_start"], values[f"{kind}_end"]
        if start is not None and end is not None and end < start:
            raise ProjectInvalid(f"{kind}_end", f"{kind}_end lies before {kind}_start, {start}.")
    if values["budget"] is not None and values["budget_currency"] is None:
        raise ProjectInvalid("budget_currency", "A budget needs its budget_currency, such as EUR.")


def _columns(sent: dict[str, Any]) -> dict[str, Any]:
    """`metadata` is a word of the ORM's own, so the column has another name."""
    return {("meta" if name == "metadata" else name): value for name, value in sent.items()}


def _actor(work: Work) -> UUID | None:
    return None if work.access.kind is ActorKind.SYSTEM else work.access.actor_id


async def _free_slug(work: Work, command: ProjectCreate) -> str:
    """The slug that was asked for, or the first free one that the name suggests."""
    # Past the session's sight on purpose: a private project's name and slug are taken, too.
    projects = inspect(Project).local_table
    assert isinstance(projects, Table)
    mine = projects.c.tenant_id == work.tenant_id
    named = select(projects.c.id).where(mine, projects.c.name == command.name)
    if (await work.session.execute(named)).first() is not None:
        raise ProjectNameTaken(command.name)
    wanted = command.slug or slug_from(command.name)
    alike = select(projects.c.slug).where(mine, projects.c.slug.startswith(wanted[:50]))
    taken = set(await work.session.scalars(alike))
    if command.slug and wanted in taken:
        raise ProjectSlugTaken(wanted)
    return first_free(wanted, taken)


async def _add_creator(work: Work, project_id: UUID) -> None:
    work.session.add(
        ProjectMember(
            project_id=project_id,
            user_id=work.access.actor_id,
            role=Role.MAINTAINER,
            created_at=work.now,
        )
    )
    await work.session.flush()


async def _show(work: Work, project: Project, visibility: Visibility) -> None:
    """Open or close it: the last thing, since the session may lose sight of it."""
    if visibility is Visibility.PRIVATE:
        await keep_maintained(work, project.id)
    project.visibility = visibility
    await work.session.flush()


def _conditions(wanted: ProjectFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.q:
        fields = (Project.name, Project.slug, Project.description)
        conditions.append(or_(*(f.icontains(wanted.q, autoescape=True) for f in fields)))
    for column, value in (
        (Project.slug, wanted.slug),
        (Project.status, wanted.status),
        (Project.problem_class, wanted.problem_class),
        (Project.visibility, wanted.visibility),
    ):
        if value is not None:
            conditions.append(column == value)
    if wanted.archived is not None:
        at = Project.archived_at
        conditions.append(at.is_not(None) if wanted.archived else at.is_(None))
    if wanted.member is not None:
        team = select(ProjectMember.project_id).where(ProjectMember.user_id == wanted.member)
        conditions.append(Project.id.in_(team))
    return conditions
