"""The project that a caller works in, found by prepared statements (as `projects.service.lookup`
finds it for everybody else)."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, case, or_, select

from maestro_ml.core.access import Permission
from maestro_ml.db.hot import FastWork
from maestro_ml.db.prepared import Prepared
from maestro_ml.db.tenants import Sight
from maestro_ml.projects.errors import DefaultProjectGone, NoProject, ProjectNotFound
from maestro_ml.projects.models import Project, ProjectMember, Visibility
from maestro_ml.tracking.models import Experiment
from maestro_ml.tracking.service.experiments import DEFAULT

_MINE: BindParameter[UUID] = bindparam("tenant_id")


def _project(which: ColumnElement[bool]) -> dict[bool, Prepared]:
    return _either(select(Project.id, Project.visibility).where(Project.tenant_id == _MINE, which))


def _either(query: Select[UUID, Visibility]) -> dict[bool, Prepared]:
    """Held, as by `projects.stay`, or not: whoever deletes it waits for those who write into it."""
    held = query.with_for_update(read=True, key_share=True, of=Project)
    return {True: Prepared(held), False: Prepared(query)}


_BY_ID = _project(Project.id == bindparam("project_id"))
_BY_SLUG = _project(Project.slug == bindparam("slug"))
_OWN = (
    select(ProjectMember.id)
    .where(
        ProjectMember.tenant_id == _MINE,
        Project.tenant_id == _MINE,
        ProjectMember.project_id == Project.id,
        ProjectMember.user_id == bindparam("user_id"),
    )
    .correlate(Project)
    .exists()
)
_FIRST = (
    select(Project.id, Project.visibility)
    .where(Project.tenant_id == _MINE, or_(Project.visibility != Visibility.PRIVATE, _OWN))
    .order_by(case((Project.archived_at.is_not(None), 2), (_OWN, 0), else_=1), Project.id)
    .limit(1)
)
_OLDEST = _either(_FIRST)
_DEFAULT = Prepared(
    select(Experiment.id).where(
        Experiment.tenant_id == _MINE,
        Experiment.project_id == bindparam("project_id"),
        Experiment.name == bindparam("name"),
    )
)


async def inside(work: FastWork, slug: str | None, *, hold: bool) -> tuple[FastWork, UUID]:
    """The unit of work of one project, which sees nothing of the others: of `slug`, or the
    caller's default. If it is held, it is not deleted until the unit of work ends.

    Raises:
        ProjectNotFound, DefaultProjectGone, NoProject: there is none, or it is not for them.
    """
    if slug:
        row, missing = await work.prepared.one(_BY_SLUG[hold], slug=slug), ProjectNotFound
    else:
        row, missing = await _default(work, hold=hold)
    if row is None or not Sight.of(work.access).sees(row[0], private=row[1] is Visibility.PRIVATE):
        raise missing
    if not work.allows(Permission.PROJECT_READ, row[0]):
        raise missing
    return _within(work, row[0]), row[0]


async def beside(work: FastWork, slug: str | None, *, hold: bool) -> tuple[FastWork, UUID]:
    """As `inside`, for what is about a run or an experiment: it is looked up together with its
    project, and whoever deletes that waits for it. So a key's default needs no look of its own.

    Raises:
        ProjectNotFound, DefaultProjectGone, NoProject: there is none, or it is not for them.
    """
    default = work.access.default_project_id
    if slug or default is None:
        return await inside(work, slug, hold=hold)
    if not work.allows(Permission.PROJECT_READ, default):
        raise DefaultProjectGone
    return _within(work, default), default


async def default_experiment(work: FastWork, project_id: UUID) -> UUID | None:
    """Where a project's runs go that name no experiment, if it has been made."""
    work.require(Permission.RUN_READ, project_id)
    row = await work.prepared.one(_DEFAULT, project_id=project_id, name=DEFAULT)
    return None if row is None else row[0]


def _within(work: FastWork, project_id: UUID) -> FastWork:
    access = replace(work.access, only_projects=frozenset({project_id}))
    return FastWork(work.prepared, access, work.now)


async def _default(work: FastWork, *, hold: bool) -> tuple[Any, Any]:
    access = work.access
    if access.default_project_id is not None:
        found = await work.prepared.one(_BY_ID[hold], project_id=access.default_project_id)
        return found, DefaultProjectGone
    if access.only_projects is not None:
        return None, NoProject
    return await work.prepared.one(_OLDEST[hold], user_id=access.actor_id), NoProject
