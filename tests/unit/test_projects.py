"""Projects and their teams, as use cases."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Access, Role, Scope
from maestro_ml.core.errors import Conflict, Forbidden, MaestroError, QuotaExceeded
from maestro_ml.core.ids import new_id
from maestro_ml.core.paging import PageRequest
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, Work, open_work
from maestro_ml.projects.errors import (
    DefaultProjectGone,
    LastMaintainer,
    NoProject,
    ProjectNameTaken,
    ProjectNotFound,
    ProjectSlugTaken,
)
from maestro_ml.projects.models import Project, ProjectMember, Visibility
from maestro_ml.projects.schemas import (
    MemberAdd,
    MemberChange,
    ProjectChange,
    ProjectCreate,
    ProjectFilter,
    ProjectOrder,
)
from maestro_ml.projects.service import default_project, find, projects, teams
from maestro_ml.projects.service.lookup import get
from maestro_ml.projects.slugs import first_free, slug_from
from maestro_ml.tenancy.models import Tenant
from maestro_ml.tracking.handlers import listen
from maestro_ml.tracking.models import Experiment
from support import ACME, LAB, OTHER, SHOP, USERS, caller

VIEWER, MEMBER, MAINTAINER, ADMIN = (USERS[ACME, role] for role in Role)


async def a_project(work: Work, name: str = "Churn", **more: Any) -> Project:
    return await projects.create(work, ProjectCreate(name=name, **more))


async def made(sessions: Sessions, access: Access, name: str = "Churn", **more: Any) -> UUID:
    async with open_work(sessions, access) as work:
        return (await a_project(work, name, **more)).id


async def limit(sessions: Sessions, allowed: int) -> None:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(Tenant).where(Tenant.id == ACME).values(max_projects=allowed))


async def used(sessions: Sessions) -> int:
    async with sessions.begin(SYSTEM, read_only=True) as session:
        return (await session.get_one(Tenant, ACME)).n_projects


async def trail(work: Work) -> list[tuple[str, Mapping[str, Any]]]:
    query = select(AuditEvent).order_by(AuditEvent.id)
    return [(event.action, event.facts) for event in await work.session.scalars(query)]


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Churn model", "churn-model"),
        ("  Größe & Öl / 2026!  ", "grosse-ol-2026"),
        ("Łódź Ærø Đorđe", "lodz-aero-dorde"),
        ("Crème brûlée", "creme-brulee"),
        ("C++", "project-c"),
        ("顧客離脱", "project"),
        ("🚀🚀", "project"),
        ("default", "project-default"),
        ("API", "project-api"),
        ("ajax_api", "project-ajax-api"),
        ("0" * 32, f"project-{'0' * 32}"),
        ("x" * 100, "x" * 63),
        ("x" * 62 + " y", "x" * 62),
    ],
)
def test_a_name_suggests_a_slug(name: str, slug: str) -> None:
    assert slug_from(name) == slug
    assert ProjectCreate(name="n", slug=slug).slug == slug


def test_a_taken_slug_gets_the_first_free_number() -> None:
    assert first_free("lab", {"lab", "lab-2", "lab-4"}) == "lab-3"
    assert first_free("x" * 63, {"x" * 63}) == "x" * 61 + "-2"


@pytest.mark.parametrize(
    "slug", ["default", "api", "workspaces", "a", "-a", "A-b", "a" * 64, "a b", "0" * 32]
)
def test_some_slugs_are_nobodys(slug: str) -> None:
    with pytest.raises(ValueError, match="slug"):
        ProjectCreate(name="n", slug=slug)


async def test_a_project_is_created_with_its_creator_in_the_team(work: Work) -> None:
    project = await a_project(work)
    assert (project.slug, project.created_by, project.visibility) == ("churn", ADMIN, "internal")
    page = await teams.members(work, project.id, PageRequest())
    assert [(m.user_id, m.role, m.name) for m in page.items] == [(ADMIN, "maintainer", "admin")]
    assert await trail(work) == [("project.created", {"name": "Churn", "slug": "churn"})]


async def test_slugs_are_numbered_and_names_are_taken(work: Work) -> None:
    assert (await a_project(work, "Churn")).slug == "churn"
    assert (await a_project(work, "churn!")).slug == "churn-2"
    assert (await a_project(work, "churn?")).slug == "churn-3"
    with pytest.raises(ProjectNameTaken):
        await a_project(work, "Churn")
    with pytest.raises(ProjectSlugTaken):
        await a_project(work, "Other", slug="churn-3")


async def test_a_renamed_project_keeps_its_slug_and_names_stay_unique(work: Work) -> None:
    project = await a_project(work)
    changed = await projects.change(work, project.id, ProjectChange(name="Leavers"))
    assert (changed.name, changed.slug) == ("Leavers", "churn")
    with pytest.raises(ProjectNameTaken):
        await projects.change(work, project.id, ProjectChange(name="lab"))


async def test_a_hidden_project_keeps_its_name_and_slug(sessions: Sessions) -> None:
    await made(sessions, caller(Role.MEMBER), visibility="private")
    async with open_work(sessions, caller()) as work:
        assert (await a_project(work, "churn?")).slug == "churn-2"
        with pytest.raises(ProjectNameTaken):
            await a_project(work)


async def test_a_change_is_on_the_record_by_its_fields(work: Work) -> None:
    project = await a_project(work, metadata={"a": 1})
    same = ProjectChange(name="Churn", metadata={"a": 1})
    await projects.change(work, project.id, same)
    await projects.change(work, project.id, ProjectChange(metadata={"a": True}, status="active"))
    assert (await trail(work))[1:] == [("project.changed", {"fields": ["metadata", "status"]})]


async def test_a_private_project_begins_like_any_other(sessions: Sessions) -> None:
    heard = Sessions(sessions.engines, [listen])
    id = await made(heard, caller(Role.MEMBER), visibility="private")
    async with open_work(sessions, Access.system(ACME), read_only=True) as work:
        assert (await get(work, id)).visibility is Visibility.PRIVATE
        query = select(Experiment.name).where(Experiment.project_id == id)
        assert (await work.session.scalars(query)).all() == ["Default"]


async def test_alike_names_at_once_get_slugs_of_their_own(sessions: Sessions) -> None:
    ids = await asyncio.gather(*(made(sessions, caller(), f"churn{'!' * n}") for n in range(8)))
    async with open_work(sessions, caller(), read_only=True) as work:
        slugs = {(await get(work, id)).slug for id in ids}
    assert slugs == {"churn", *(f"churn-{n}" for n in range(2, 9))}


async def test_a_delete_gives_the_slot_back_once(sessions: Sessions) -> None:
    id = await made(sessions, caller())

    async def one() -> bool:
        try:
            async with open_work(sessions, caller()) as work:
                await projects.delete(work, id, confirm="churn")
        except ProjectNotFound:
            return False
        return True

    done = await asyncio.gather(*(one() for _ in range(5)))
    assert (done.count(True), await used(sessions)) == (1, 1)


async def test_creates_and_deletes_at_once_keep_the_count(sessions: Sessions) -> None:
    await limit(sessions, 4)
    old = [await made(sessions, caller(), f"old-{n}") for n in range(3)]

    async def drop(number: int) -> None:
        async with open_work(sessions, caller()) as work:
            await projects.delete(work, old[number], confirm=f"old-{number}")

    async def make(number: int) -> None:
        try:
            await made(sessions, caller(), f"new-{number}")
        except QuotaExceeded:
            return

    await asyncio.gather(*(drop(n) for n in range(3)), *(make(n) for n in range(10)))
    async with open_work(sessions, caller(), read_only=True) as work:
        left = len((await work.session.scalars(select(Project.id))).all())
    assert left == await used(sessions)
    assert left <= 4


async def test_two_last_maintainers_cannot_leave_at_once(sessions: Sessions) -> None:
    id = await made(sessions, caller(), visibility="private")
    team = {id: Role.MAINTAINER}
    async with open_work(sessions, replace(caller(), project_roles=team)) as work:
        await teams.add(work, id, MemberAdd(user_id=MEMBER, role=Role.MAINTAINER))

    async def leave(access: Access) -> bool:
        try:
            async with open_work(sessions, replace(access, project_roles=team)) as work:
                await teams.remove(work, id, access.actor_id)
        except LastMaintainer:
            return False
        return True

    left = await asyncio.gather(leave(caller()), leave(caller(Role.MEMBER)))
    assert sorted(left) == [False, True]


async def test_a_private_project_keeps_a_maintainer(sessions: Sessions) -> None:
    id = await made(sessions, caller(Role.MEMBER), visibility="private")
    access = replace(caller(Role.MEMBER), project_roles={id: Role.MAINTAINER})
    async with open_work(sessions, access) as work:
        with pytest.raises(LastMaintainer):
            await teams.remove(work, id, MEMBER)
        with pytest.raises(LastMaintainer):
            await teams.change(work, id, MEMBER, MemberChange(role=Role.VIEWER))
        await teams.add(work, id, MemberAdd(user_id=VIEWER, role=Role.MAINTAINER))
        assert (
            await teams.change(work, id, MEMBER, MemberChange(role=Role.VIEWER))
        ).role == "viewer"


async def test_closing_a_project_takes_the_caller_into_its_team(sessions: Sessions) -> None:
    async with open_work(sessions, caller(Role.MAINTAINER)) as work:
        await teams.add(work, LAB, MemberAdd(user_id=VIEWER, role=Role.VIEWER))
        closed = await projects.change(work, LAB, ProjectChange(visibility="private"))
        assert closed.visibility is Visibility.PRIVATE
        assert [action for action, _ in await trail(work)] == [
            "project-member.added",
            "project.changed",
            "project-member.added",
        ]
    async with open_work(sessions, Access.system(ACME), read_only=True) as work:
        team = await teams.members(work, LAB, PageRequest())
        assert {(m.user_id, m.role) for m in team.items} == {
            (VIEWER, "viewer"),
            (MAINTAINER, "maintainer"),
        }


async def test_closing_a_project_raises_the_caller_if_nobody_else_maintains(
    sessions: Sessions,
) -> None:
    async with open_work(sessions, caller(Role.MAINTAINER)) as work:
        await teams.add(work, LAB, MemberAdd(user_id=MAINTAINER, role=Role.VIEWER))
        await projects.change(work, LAB, ProjectChange(visibility="private"))
    async with open_work(sessions, Access.system(ACME), read_only=True) as work:
        (only,) = (await teams.members(work, LAB, PageRequest())).items
        assert only.role == "maintainer"


async def test_the_platform_closes_no_project_that_nobody_maintains(sessions: Sessions) -> None:
    async with open_work(sessions, Access.system(ACME)) as work:
        with pytest.raises(Conflict):
            await projects.change(work, LAB, ProjectChange(visibility="private"))


async def test_a_keys_scope_and_project_list_bound_it(sessions: Sessions) -> None:
    id = await made(sessions, caller())
    listed = replace(caller(), only_projects=frozenset({LAB}))
    async with open_work(sessions, listed) as work:
        with pytest.raises(Forbidden):
            await a_project(work, "Another")
        with pytest.raises(ProjectNotFound):
            await get(work, id)
        with pytest.raises(ProjectNotFound):
            await projects.change(work, id, ProjectChange(name="x"))
        assert (await find(work, "lab")).id == LAB
        found = await projects.search(work, ProjectFilter(), PageRequest(), ProjectOrder.NAME)
        assert [project.id for project in found.items] == [LAB]
    reading = replace(caller(), scopes=frozenset({Scope.READ}))
    async with open_work(sessions, reading) as work:
        with pytest.raises(Forbidden):
            await projects.change(work, id, ProjectChange(name="x"))


async def test_a_project_is_found_by_slug_or_id(work: Work) -> None:
    for word in ("lab", str(LAB), LAB.hex):
        assert (await find(work, word)).id == LAB
    for word in ("", "shop", str(SHOP), str(new_id()), "LAB", "l%", "lab\x00", "\ud800", "x" * 999):
        with pytest.raises(ProjectNotFound):
            await find(work, word)


async def test_the_default_project_is_the_keys_then_the_own_then_the_oldest(
    sessions: Sessions,
) -> None:
    own = await made(sessions, caller(Role.MEMBER), "Own")
    nothing = replace(caller(Role.MEMBER), default_project_id=None)

    async def usual(access: Access) -> UUID:
        async with open_work(sessions, access, read_only=True) as work:
            return (await default_project(work)).id

    assert await usual(caller(Role.MEMBER)) == LAB
    assert await usual(nothing) == LAB
    team = replace(nothing, project_roles={own: Role.MAINTAINER})
    assert await usual(team) == own
    assert await usual(replace(team, default_project_id=own)) == own
    with pytest.raises(DefaultProjectGone):  # and no other: its runs would be read there
        await usual(replace(team, default_project_id=SHOP))
    assert await usual(replace(team, only_projects=frozenset({LAB}))) == LAB
    async with open_work(sessions, caller()) as work:
        await projects.archive(work, own)
    assert await usual(team) == LAB
    with pytest.raises(NoProject):
        await usual(replace(nothing, only_projects=frozenset()))


async def test_another_tenant_reaches_no_project(sessions: Sessions) -> None:
    async with open_work(sessions, caller(tenant=OTHER)) as work:
        for attempt in (
            get(work, LAB),
            find(work, "lab"),
            projects.change(work, LAB, ProjectChange(name="x")),
            projects.archive(work, LAB),
            projects.restore(work, LAB),
            projects.delete(work, LAB, confirm="lab"),
            teams.members(work, LAB, PageRequest()),
            teams.add(work, LAB, MemberAdd(user_id=USERS[OTHER, Role.ADMIN], role=Role.VIEWER)),
            teams.change(work, LAB, ADMIN, MemberChange(role=Role.VIEWER)),
            teams.remove(work, LAB, ADMIN),
        ):
            with pytest.raises(ProjectNotFound):
                await attempt
        word = ProjectFilter(q="lab")
        assert (await projects.search(work, word, PageRequest(), ProjectOrder.NAME)).items == []
        team = ProjectFilter(member=ADMIN)
        assert (await projects.search(work, team, PageRequest(), ProjectOrder.NAME)).items == []


async def test_a_person_of_another_tenant_joins_no_team(work: Work) -> None:
    outsider = USERS[OTHER, Role.MEMBER]
    for who in ({"user_id": outsider}, {"user_id": new_id()}, {"email": "member@other.test"}):
        with pytest.raises(MaestroError) as refused:
            await teams.add(work, LAB, MemberAdd(role=Role.VIEWER, **who))
        assert (refused.value.code, refused.value.facts) == ("person-not-found", {})
    assert (await work.session.scalars(select(ProjectMember))).all() == []


async def test_a_deleted_project_takes_everything_along(sessions: Sessions) -> None:
    heard = Sessions(sessions.engines, [listen])
    id = await made(heard, caller())
    async with open_work(sessions, caller()) as work:
        await projects.delete(work, id, confirm="churn")
    async with open_work(sessions, caller(), read_only=True) as work:
        for owned in (ProjectMember, Experiment):
            query = select(owned).where(owned.project_id == id)
            assert (await work.session.scalars(query)).all() == []
        assert (await trail(work))[-1] == ("project.deleted", {"name": "Churn", "slug": "churn"})
