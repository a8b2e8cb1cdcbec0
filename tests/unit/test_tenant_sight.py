"""Inside a tenant: what a private project, a key's project list and a row above tenants show."""

from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import aliased

from maestro_ml.core.access import Access, Role
from maestro_ml.core.ids import new_id
from maestro_ml.db.guard import TenantViolation
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.identity.models import User
from maestro_ml.jobs.models import Job
from maestro_ml.projects.models import Project, ProjectMember, Visibility
from maestro_ml.tenancy.models import Tenant
from support import ACME, LAB, OTHER, USERS, caller

SECRET = new_id()
OUTSIDER = caller(Role.VIEWER)
INSIDER = replace(OUTSIDER, project_roles={SECRET: Role.VIEWER})


@pytest.fixture(autouse=True)
async def rows(sessions: Sessions) -> None:
    """A private project of ACME with a member, and a job in it, in LAB and in none."""
    async with open_work(sessions, Access.system(ACME)) as work:
        now = work.now
        project = Project(id=SECRET, name="secret", slug="secret", created_at=now, updated_at=now)
        project.visibility = Visibility.PRIVATE
        work.session.add(project)
        await work.session.flush()
        member = USERS[ACME, Role.VIEWER]
        work.session.add(
            ProjectMember(project_id=SECRET, user_id=member, role=Role.VIEWER, created_at=now)
        )
        for kind, id in (("secret", SECRET), ("lab", LAB), ("tenant", None)):
            work.session.add(Job(kind=kind, payload={}, run_at=now, project_id=id, created_at=now))


async def seen(sessions: Sessions, access: Access) -> tuple[set[str], set[str], set[UUID]]:
    """The names of projects, the kinds of jobs and the projects of members in sight."""
    async with open_work(sessions, access, read_only=True) as work:
        projects = set(await work.session.scalars(select(Project.name)))
        jobs = set(await work.session.scalars(select(Job.kind)))
        members = set(await work.session.scalars(select(ProjectMember.project_id)))
        return projects, jobs, members


async def test_a_private_project_is_its_teams(sessions: Sessions) -> None:
    assert await seen(sessions, OUTSIDER) == ({"lab"}, {"lab", "tenant"}, set())
    assert await seen(sessions, INSIDER) == (
        {"lab", "secret"},
        {"lab", "secret", "tenant"},
        {SECRET},
    )


async def test_an_admin_outside_the_team_sees_no_more(sessions: Sessions) -> None:
    assert await seen(sessions, caller(Role.ADMIN)) == ({"lab"}, {"lab", "tenant"}, set())


async def test_the_platform_itself_sees_all_of_a_tenant(sessions: Sessions) -> None:
    projects, jobs, _ = await seen(sessions, Access.system(ACME))
    assert (projects, jobs) == ({"lab", "secret"}, {"lab", "secret", "tenant"})


async def test_a_keys_project_list_narrows(sessions: Sessions) -> None:
    only_lab = replace(INSIDER, only_projects=frozenset({LAB}))
    assert await seen(sessions, only_lab) == ({"lab"}, {"lab"}, set())
    none = replace(INSIDER, only_projects=frozenset())
    assert await seen(sessions, none) == (set(), set(), set())


async def test_a_keys_project_list_opens_no_private_project(sessions: Sessions) -> None:
    listed = replace(OUTSIDER, only_projects=frozenset({SECRET}))
    assert await seen(sessions, listed) == (set(), set(), set())


async def test_no_shape_of_query_finds_what_is_out_of_sight(sessions: Sessions) -> None:
    other = aliased(Project)
    async with open_work(sessions, OUTSIDER) as work:
        session = work.session
        assert await session.get(Project, SECRET) is None
        queries = (
            select(other).where(other.name == "secret"),
            select(func.count())
            .select_from(Project)
            .where(Project.id == SECRET)
            .having(func.count() > 0),
            select(Job.id).join(Project, Project.id == Job.project_id).where(Project.id == SECRET),
            select(select(ProjectMember.id).subquery()),
            select(Job.kind).where(Job.id.in_(select(Job.id).where(Job.kind == "secret"))),
        )
        for query in queries:
            assert (await session.execute(query)).all() == []
        for model, values in ((Project, {"name": "mine"}), (Job, {"message": "mine"})):
            result = await session.execute(update(model).where(model.id == SECRET).values(values))
            assert result.rowcount == 0  # type: ignore[attr-defined]


async def test_two_callers_of_one_tenant_do_not_share_their_sight(sessions: Sessions) -> None:
    for _ in range(2):
        assert (await seen(sessions, INSIDER))[0] == {"lab", "secret"}
        assert (await seen(sessions, OUTSIDER))[0] == {"lab"}


async def test_a_tenant_sees_its_people_and_itself(sessions: Sessions) -> None:
    async with open_work(sessions, caller(), read_only=True) as work:
        people = set(await work.session.scalars(select(User.id)))
        assert people == {USERS[ACME, role] for role in Role}
        assert (await work.session.scalars(select(Tenant.id))).all() == [ACME]
        assert await work.session.get(User, USERS[OTHER, Role.ADMIN]) is None
        assert await work.session.get(Tenant, OTHER) is None


async def test_a_tenant_counts_its_own_users_and_projects(sessions: Sessions) -> None:
    async with open_work(sessions, caller()) as work:
        room = Tenant.n_projects < Tenant.max_projects
        more = update(Tenant).where(room).values(n_projects=Tenant.n_projects + 1)
        result = await work.session.execute(more)
        assert result.rowcount == 1  # type: ignore[attr-defined]
        own = await work.session.get_one(Tenant, ACME, with_for_update=True)
        own.n_users += 1
    async with open_work(sessions, caller(tenant=OTHER), read_only=True) as work:
        other = (await work.session.scalars(select(Tenant))).one()
        assert (other.n_users, other.n_projects) == (len(Role), 1)
    async with open_work(sessions, caller(), read_only=True) as work:
        own = (await work.session.scalars(select(Tenant))).one()
        assert (own.n_users, own.n_projects) == (len(Role) + 1, 2)


async def test_a_tenant_changes_nothing_else_above_it(sessions: Sessions) -> None:
    async with open_work(sessions, caller()) as work:
        now = work.now
        with pytest.raises(TenantViolation):
            work.session.add(
                User(email="x", email_norm="x", name="x", created_at=now, updated_at=now)
            )
        own = await work.session.get_one(Tenant, ACME)
        own.max_users = 10_000
        with pytest.raises(TenantViolation):
            await work.session.flush()
        work.session.expunge(own)
        admin = await work.session.get_one(User, USERS[ACME, Role.ADMIN])
        await work.session.delete(admin)
        with pytest.raises(TenantViolation):
            await work.session.flush()
        work.session.expunge(admin)
