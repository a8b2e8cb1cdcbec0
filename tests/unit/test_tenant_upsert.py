"""Writing over what is there stays inside the tenant."""

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from maestro_ml.core.access import Role
from maestro_ml.core.clock import utc_now
from maestro_ml.core.ids import new_id
from maestro_ml.db.guard import TenantViolation
from maestro_ml.db.upsert import insert_or_ignore, upsert
from maestro_ml.db.work import Sessions, Work, open_system_work, open_work
from maestro_ml.identity.models import Membership, User
from maestro_ml.projects.models import Project
from maestro_ml.tenancy.models import Tenant
from support import ACME, LAB, OTHER, USERS, caller

NOW = utc_now()


def a_row(slug: str, name: str = "x", **more: object) -> dict[str, object]:
    rest = {"description": "", "visibility": "internal", "status": "planned", "meta": {}}
    return {
        "id": new_id(),
        "slug": slug,
        "name": name,
        "created_at": NOW,
        "updated_at": NOW,
        **rest,
        **more,
    }


async def test_a_row_is_added_or_changed(work: Work) -> None:
    rows = [a_row("lab", "changed"), a_row("new", "new")]
    await upsert(work, Project, rows, key=("slug",), change=("name",))
    found = {p.slug: (p.id, p.name) for p in await work.session.scalars(select(Project))}
    assert found["lab"] == (LAB, "changed")
    assert found["new"][1] == "new"


async def test_a_row_that_is_there_stays(work: Work) -> None:
    await insert_or_ignore(work, Project, [a_row("lab", "changed")], key=("slug",))
    await insert_or_ignore(work, Project, [], key=("slug",))
    assert (await work.session.get_one(Project, LAB)).name == "lab"


async def test_what_is_pending_goes_first(work: Work) -> None:
    new = Project(name="mine", slug="mine", created_at=NOW, updated_at=NOW)
    work.session.add(new)
    await insert_or_ignore(work, Project, [a_row("mine", "second")], key=("slug",))
    assert (await work.session.scalars(select(Project.name).where(Project.slug == "mine"))).all()


async def test_another_tenants_row_is_never_met(sessions: Sessions) -> None:
    async with open_work(sessions, caller(tenant=OTHER)) as theirs:
        await upsert(theirs, Project, [a_row("lab", "theirs")], key=("slug",), change=("name",))
    async with open_work(sessions, caller()) as mine:
        assert (await mine.session.get_one(Project, LAB)).name == "lab"
    with pytest.raises(IntegrityError):  # by its key it would be met: the database refuses
        async with open_work(sessions, caller(tenant=OTHER)) as theirs:
            row = a_row("theirs", "other", id=LAB)
            await upsert(theirs, Project, [row], key=("slug",), change=("name",))


async def test_a_row_that_names_another_tenant_is_refused(work: Work) -> None:
    with pytest.raises(TenantViolation):
        await insert_or_ignore(work, Project, [a_row("x1", tenant_id=OTHER)], key=("slug",))
    with pytest.raises(TenantViolation):
        await upsert(work, Project, [a_row("x1")], key=("slug",), change=("tenant_id",))


async def test_rows_above_tenants_are_the_platforms(sessions: Sessions) -> None:
    row = {"id": new_id(), "slug": "x"}
    async with open_work(sessions, caller()) as work:
        with pytest.raises(TenantViolation):
            await insert_or_ignore(work, Tenant, [row], key=("slug",))
    async with open_system_work(sessions) as above:
        user = USERS[ACME, Role.VIEWER]
        held = await above.session.get_one(User, user)
        member = {
            "id": new_id(),
            "tenant_id": ACME,
            "user_id": held.id,
            "role": Role.MEMBER,
            "created_at": NOW,
        }
        await upsert(above, Membership, [member], key=("user_id",), change=("role",))
        count = select(func.count(Membership.id)).where(Membership.role == Role.MEMBER)
        assert await above.session.scalar(count.where(Membership.tenant_id == ACME)) == 2
