"""No row, session or reference leaves its tenant."""

from typing import Any, cast

import pytest
from sqlalchemy import CursorResult, create_engine, delete, insert, inspect, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from maestro_ml.core.access import Role
from maestro_ml.db.guard import TenantViolation
from maestro_ml.db.tenants import SYSTEM, TenantSession
from maestro_ml.db.work import Sessions, open_system_work, open_work
from maestro_ml.identity.models import Membership
from maestro_ml.jobs.models import Job
from maestro_ml.projects.models import Project, ProjectMember
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID, Tenant
from support import ACME, LAB, OTHER, USERS, caller
from support.rows import some_rows


@pytest.fixture(autouse=True)
async def rows(sessions: Sessions) -> None:
    await some_rows(sessions)


async def test_get_update_and_delete_touch_nothing(sessions: Sessions) -> None:
    async with open_work(sessions, caller()) as mine:
        id = (await mine.session.scalars(select(Job.id))).one()
    async with open_work(sessions, caller(tenant=OTHER)) as theirs:
        assert await theirs.session.get(Job, id) is None
        for statement in (update(Job).values(kind="x"), delete(Job)):
            result = await theirs.session.execute(statement)
            assert cast(CursorResult[Any], result).rowcount == 0


async def test_rows_are_stamped_and_foreign_rows_refused(sessions: Sessions) -> None:
    async with open_work(sessions, caller(tenant=OTHER)) as theirs:
        new = Project(name="new", slug="new", created_at=theirs.now, updated_at=theirs.now)
        theirs.session.add(new)
        assert new.tenant_id == OTHER
        foreign = Project(name="x", slug="xx", created_at=theirs.now, updated_at=theirs.now)
        foreign.tenant_id = ACME
        with pytest.raises(TenantViolation):
            theirs.session.add(foreign)
        await theirs.session.flush()
        new.tenant_id = ACME
        with pytest.raises(TenantViolation):
            await theirs.session.flush()
        theirs.session.expunge(new)


async def test_raw_connections_and_legacy_bulk_calls_are_refused(sessions: Sessions) -> None:
    async with open_work(sessions, caller()) as work:
        session = work.session.sync_session
        names = "connection bulk_save_objects bulk_insert_mappings bulk_update_mappings"
        for name in names.split():
            with pytest.raises(TenantViolation):
                getattr(session, name)()


@pytest.mark.parametrize("tenant", [None, "", "acme"])
def test_a_session_without_a_tenant_does_not_open(tenant: Any) -> None:
    with pytest.raises(TenantViolation):
        TenantSession(tenant=tenant)


async def test_our_rows_refuse_a_session_that_is_not_ours(sessions: Sessions) -> None:
    async with sessions.engines.reading.connect() as connection:

        def load(sync: Any) -> None:
            Session(sync).scalars(select(Job)).all()

        with pytest.raises(TenantViolation):
            await connection.run_sync(load)


def test_a_foreign_orm_in_the_same_process_is_untouched() -> None:
    class Theirs(DeclarativeBase):
        pass

    class Study(Theirs):
        __tablename__ = "studies"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    engine = create_engine("sqlite://")
    Theirs.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Study(name="one"))
        session.execute(insert(Study), [{"name": "two"}])
        session.flush()
        assert session.scalars(select(Study.__table__.c.name)).all() == ["one", "two"]
        assert session.scalar(text("SELECT count(*) FROM studies")) == 2
        assert session.connection()
    engine.dispose()


async def test_a_reference_cannot_leave_the_tenant(sessions: Sessions) -> None:
    with pytest.raises(IntegrityError):
        async with open_work(sessions, caller(tenant=OTHER)) as theirs:
            theirs.session.add(
                ProjectMember(
                    project_id=LAB,
                    user_id=USERS[OTHER, Role.ADMIN],
                    role=Role.ADMIN,
                    created_at=theirs.now,
                )
            )


async def test_a_tenant_takes_its_rows_with_it(sessions: Sessions) -> None:
    async with open_system_work(sessions) as work:
        await work.session.execute(delete(Tenant).where(Tenant.id == ACME))
    async with sessions.begin(SYSTEM) as session:
        assert set(await session.scalars(select(Project.tenant_id))) == {OTHER}
        assert set(await session.scalars(select(Membership.tenant_id))) == {OTHER}
        assert (await session.scalars(select(Job))).all() == []


async def test_a_row_never_changes_its_tenant_even_above_tenants(sessions: Sessions) -> None:
    if sessions.engines.dialect != "sqlite":
        pytest.skip("PostgreSQL: no role of a tenant can, which tests/postgres shows")
    with pytest.raises(IntegrityError, match="never changes its tenant"):
        async with open_system_work(sessions) as work:
            await work.session.execute(update(Job).values(tenant_id=OTHER))


async def test_the_default_tenant_is_there_from_the_start(sessions: Sessions) -> None:
    async with open_system_work(sessions) as work:
        default = await work.session.get_one(Tenant, DEFAULT_TENANT_ID)
        assert (default.slug, default.n_users, default.max_users) == ("default", 0, 50)


@pytest.mark.parametrize("model", [Project, ProjectMember, Job])
def test_the_mixin_brings_its_keys_and_indexes(model: type[Any]) -> None:
    shape = inspect(model).local_table
    uniques = [list(u.columns.keys()) for u in shape.constraints if hasattr(u, "columns")]
    indexes = [i.columns.keys() for i in shape.indexes]
    assert ["tenant_id", "id"] in uniques
    assert ["tenant_id", "created_at"] in indexes
    assert ["tenant_id"] not in indexes
