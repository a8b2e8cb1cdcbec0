"""Who works in a project, and as what."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from maestro_ml.audit.service import record, record_for
from maestro_ml.core.access import Access, ActorKind, Permission, Role
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.paging import Sort, page_of
from maestro_ml.db.work import SystemWork, Work
from maestro_ml.identity.emails import normal
from maestro_ml.identity.models import User
from maestro_ml.projects.errors import (
    LastMaintainer,
    MemberExists,
    MemberNotFound,
    PersonNotFound,
)
from maestro_ml.projects.models import Project, ProjectMember, Visibility
from maestro_ml.projects.schemas import MemberAdd, MemberChange
from maestro_ml.projects.service.lookup import get, hold

_MAINTAINS = frozenset({Role.MAINTAINER, Role.ADMIN})


@dataclass(frozen=True, slots=True)
class TeamMember:
    """A person in a team, with what others call them."""

    user_id: UUID
    name: str
    email: str
    role: Role
    created_at: datetime


async def members(work: Work, project_id: UUID, request: PageRequest) -> Page[TeamMember]:
    """A page of the team, in the order they joined."""
    await get(work, project_id)
    work.require(Permission.PROJECT_READ, project_id)
    query = select(ProjectMember).where(ProjectMember.project_id == project_id)
    joined = Sort("created_at", ProjectMember.created_at)
    page = await page_of(work.session, query, ProjectMember, request, sort=joined)
    return Page(await _named(work, page.items), page.next_cursor)


async def add(work: Work, project_id: UUID, command: MemberAdd) -> TeamMember:
    """Take somebody of the tenant into the team.

    Raises:
        PersonNotFound: nobody in the tenant has the id or address.
        MemberExists: they are in it already.
    """
    await hold(work, project_id)
    work.require(Permission.PROJECT_MANAGE, project_id)
    who = (
        User.id == command.user_id
        if command.email is None
        else User.email_norm == normal(command.email)
    )
    user_id = (await work.session.scalars(select(User.id).where(who))).one_or_none()
    if user_id is None:
        raise PersonNotFound
    member = ProjectMember(
        project_id=project_id, user_id=user_id, role=command.role, created_at=work.now
    )
    work.session.add(member)
    await work.flush_or(MemberExists())
    _note(work, "project-member.added", member)
    return (await _named(work, [member]))[0]


async def change(work: Work, project_id: UUID, user_id: UUID, command: MemberChange) -> TeamMember:
    """Give somebody in the team another role.

    Raises:
        LastMaintainer: a private project would be left without one.
    """
    project = await hold(work, project_id)
    work.require(Permission.PROJECT_MANAGE, project_id)
    member = await _member(work, project_id, user_id)
    if member.role is not command.role:
        if command.role not in _MAINTAINS:
            await _check_others(work, project, user_id)
        before, member.role = member.role, Role(command.role)
        await work.session.flush()
        _note(work, "project-member.changed", member, before=before)
    return (await _named(work, [member]))[0]


async def remove(work: Work, project_id: UUID, user_id: UUID) -> None:
    """Take somebody out of the team.

    Raises:
        LastMaintainer: a private project would be left without one.
    """
    project = await hold(work, project_id)
    work.require(Permission.PROJECT_MANAGE, project_id)
    member = await _member(work, project_id, user_id)
    await _check_others(work, project, user_id)
    await work.session.delete(member)
    await work.session.flush()
    _note(work, "project-member.removed", member)


async def keep_maintained(work: Work, project_id: UUID) -> None:
    """See to it that a project which turns private keeps the caller and a maintainer.

    Raises:
        LastMaintainer: the platform itself asks, and there is none.
    """
    work.require(Permission.PROJECT_MANAGE, project_id)
    query = select(ProjectMember).where(ProjectMember.project_id == project_id)
    team = {member.user_id: member for member in await work.session.scalars(query)}
    maintained = any(member.role in _MAINTAINS for member in team.values())
    if work.access.kind is ActorKind.SYSTEM:
        if not maintained:
            raise LastMaintainer
        return
    caller = team.get(work.access.actor_id)
    if caller is None:
        caller = ProjectMember(
            project_id=project_id,
            user_id=work.access.actor_id,
            role=Role.MAINTAINER,
            created_at=work.now,
        )
        work.session.add(caller)
        _note(work, "project-member.added", caller)
    elif not maintained:
        before, caller.role = caller.role, Role.MAINTAINER
        _note(work, "project-member.changed", caller, before=before)
    await work.session.flush()


async def hand_over(work: SystemWork, access: Access, leaver: UUID, heir: UUID) -> None:
    """Make somebody a maintainer of the private projects of the caller's tenant that nobody but
    the leaver maintains: else nobody would ever see these again."""
    tenant_id = access.tenant_id
    assert tenant_id is not None
    maintains = (ProjectMember.tenant_id == tenant_id) & ProjectMember.role.in_(_MAINTAINS)
    maintained_by = select(ProjectMember.project_id).where(maintains)
    projects = await work.session.scalars(
        select(Project)
        .where(
            Project.tenant_id == tenant_id,
            Project.visibility == Visibility.PRIVATE,
            Project.id.in_(maintained_by.where(ProjectMember.user_id == leaver)),
            Project.id.not_in(maintained_by.where(ProjectMember.user_id != leaver)),
        )
        .order_by(Project.id)
        .with_for_update(key_share=True)
    )
    left = [project.id for project in projects]
    places = await work.session.scalars(
        select(ProjectMember).where(
            ProjectMember.tenant_id == tenant_id,
            ProjectMember.project_id.in_(left),
            ProjectMember.user_id == heir,
        )
    )
    held = {place.project_id: place for place in places}
    for project_id in left:
        place = held.get(project_id)
        if place is None:
            place = ProjectMember(
                project_id=project_id, user_id=heir, role=Role.MAINTAINER, created_at=work.now
            )
            place.tenant_id = tenant_id
            work.session.add(place)
        place.role = Role.MAINTAINER
        record_for(
            work,
            tenant_id,
            "project.handed_over",
            "project",
            project_id,
            access=access,
            leaver=str(leaver),
            heir=str(heir),
        )
    await work.session.flush()


async def _member(work: Work, project_id: UUID, user_id: UUID) -> ProjectMember:
    query = select(ProjectMember).where(
        ProjectMember.project_id == project_id, ProjectMember.user_id == user_id
    )
    member = (await work.session.scalars(query)).one_or_none()
    if member is None:
        raise MemberNotFound
    return member


async def _check_others(work: Work, project: Project, user_id: UUID) -> None:
    """A private project is not left without a maintainer."""
    if project.visibility is not Visibility.PRIVATE:
        return
    query = select(ProjectMember.id).where(
        ProjectMember.project_id == project.id,
        ProjectMember.user_id != user_id,
        ProjectMember.role.in_(_MAINTAINS),
    )
    if (await work.session.scalars(query.limit(1))).first() is None:
        raise LastMaintainer


async def _named(work: Work, members: list[ProjectMember]) -> list[TeamMember]:
    ids = [member.user_id for member in members]
    query = select(User.id, User.name, User.email).where(User.id.in_(ids))
    people = {id: (name, email) for id, name, email in await work.session.execute(query)}
    return [
        TeamMember(m.user_id, *people[m.user_id], m.role, m.created_at)
        for m in members
        if m.user_id in people
    ]


def _note(work: Work, action: str, member: ProjectMember, **facts: str) -> None:
    who = {"user_id": str(member.user_id), "role": member.role}
    record(work, action, "project", member.project_id, **who, **facts)
