"""Find a project: by id, by slug, to change it, or the one that a caller means unsaid."""

import re
from uuid import UUID

from sqlalchemy import case, select

from maestro_ml.core.access import ActorKind, Permission, Role
from maestro_ml.core.errors import Forbidden
from maestro_ml.db.among import among
from maestro_ml.db.work import Work
from maestro_ml.identity.models import Membership
from maestro_ml.projects.errors import DefaultProjectGone, NoProject, ProjectNotFound
from maestro_ml.projects.models import Project, ProjectMember

_SLUG = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])")


async def get(work: Work, id: UUID) -> Project:
    """Read one. What the caller may not see is reported as missing, never as forbidden."""
    project = await work.session.get(Project, id)
    if project is None or not work.allows(Permission.PROJECT_READ, id):
        raise ProjectNotFound
    return project


async def hold(work: Work, id: UUID) -> Project:
    """Read one that nobody else changes until this work ends, nor the caller's role in its tenant
    or team. Runs may still be added to it.

    Raises:
        Forbidden, ProjectNotFound: as `keep_place` and `check_team`.
    """
    await keep_place(work)
    project = await work.session.get(
        Project, id, with_for_update={"key_share": True}, populate_existing=True
    )
    if project is None or not work.allows(Permission.PROJECT_READ, id):
        raise ProjectNotFound
    await check_team(work, id)
    return project


async def keep_place(work: Work) -> None:
    """Nobody lowers the caller's role in the tenant before this unit of work ends. Who asks is read
    when a request begins, and a write may have waited behind the one that did. Asked before
    anything else is locked (decision 0008).

    Raises:
        Forbidden: somebody has.
    """
    work.require(Permission.PROJECT_READ)
    if work.access.kind is ActorKind.SYSTEM:
        return
    mine = select(Membership.role).where(
        Membership.user_id == work.access.actor_id, Membership.active
    )
    if _lower(await work.session.scalar(mine.with_for_update(read=True)), work.access.role):
        raise Forbidden("Your role in this tenant was a higher one until a moment ago.")


async def check_team(work: Work, id: UUID) -> None:
    """The same for their role in the project's team. By now the project is held, and nobody
    changes its team.

    Raises:
        ProjectNotFound: somebody has.
    """
    work.require(Permission.PROJECT_READ, id)
    mine = select(ProjectMember.role).where(
        ProjectMember.project_id == id, ProjectMember.user_id == work.access.actor_id
    )
    known = work.access.project_roles.get(id)
    if known is not None and _lower(await work.session.scalar(mine), known):
        raise ProjectNotFound


async def stay(work: Work, id: UUID) -> Project:
    """Read one that is not deleted until this work ends. Whoever writes into it asks first, so
    that they and whoever deletes it never wait for each other in a ring."""
    project = await work.session.get(
        Project, id, with_for_update={"read": True, "key_share": True}, populate_existing=True
    )
    if project is None or not work.allows(Permission.PROJECT_READ, id):
        raise ProjectNotFound
    return project


async def find(work: Work, slug_or_id: str) -> Project:
    """Read one by what a person calls it."""
    work.require(Permission.PROJECT_READ)
    id = _as_id(slug_or_id)
    return await by_slug(work, slug_or_id) if id is None else await get(work, id)


async def by_slug(work: Work, slug: str) -> Project:
    """Read one by its name in addresses and in MLflow's header."""
    if not _SLUG.fullmatch(slug):
        raise ProjectNotFound
    query = select(Project).where(Project.slug == slug)
    project = (await work.session.scalars(query)).one_or_none()
    if project is None or not work.allows(Permission.PROJECT_READ, project.id):
        raise ProjectNotFound
    return project


async def default_project(work: Work) -> Project:
    """Where a caller works who names no project: their key's choice; for a session, or a key made
    before there was a project, the oldest of their own, else the oldest they see. An archived one
    comes last.

    Raises:
        NoProject: they see none.
        DefaultProjectGone: the key's choice is not there any more, or not in their sight.
    """
    work.require(Permission.PROJECT_READ)
    chosen = work.access.default_project_id
    if chosen is not None:
        project = await work.session.get(Project, chosen)
        if project is None or not work.allows(Permission.PROJECT_READ, chosen):
            raise DefaultProjectGone
        return project
    own = among(Project.id, work.access.project_roles)
    rank = case((Project.archived_at.is_not(None), 2), (own, 0), else_=1)
    query = select(Project).order_by(rank, Project.id).limit(1)
    project = (await work.session.scalars(query)).one_or_none()
    if project is None:
        raise NoProject
    return project


def _lower(role: Role | None, known: Role | None) -> bool:
    return role is None or known is None or role.rank < known.rank


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
