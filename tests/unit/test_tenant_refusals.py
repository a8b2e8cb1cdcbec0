"""What the tenant cannot be added to is refused, unless it carries the tenant itself."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import (
    Executable,
    column,
    delete,
    exists,
    func,
    insert,
    join,
    literal,
    literal_column,
    or_,
    select,
    table,
    text,
    true,
    update,
)
from sqlalchemy.orm import aliased

from maestro_ml.core.clock import utc_now
from maestro_ml.db.guard import TenantViolation
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.identity.models import ApiKey, SigningKey, User
from maestro_ml.jobs.models import Job, JobState, Schedule
from maestro_ml.projects.models import ProjectMember
from maestro_ml.tenancy.models import Tenant
from support import ACME, OTHER, caller
from support.rows import some_rows

CORE: Any = Job.__table__
USERS: Any = User.__table__
ALIAS = aliased(Job)
NOW = utc_now()
VALUES = {
    "id": uuid4(),
    "kind": "bulk",
    "payload": {},
    "run_at": NOW,
    "created_at": NOW,
    "state": JobState.QUEUED,
    "attempts": 0,
    "max_attempts": 5,
    "progress": 0.0,
    "cancel_requested": False,
}


@pytest.fixture(autouse=True)
async def rows(sessions: Sessions) -> None:
    await some_rows(sessions)


REFUSED: dict[str, Executable] = {
    "core select": select(CORE),
    "core count": select(func.count()).select_from(CORE),
    "core inside orm": select(ProjectMember.id).where(ProjectMember.role.in_(select(CORE.c.kind))),
    "core joined to orm": select(ProjectMember.id).join(CORE, CORE.c.kind == ProjectMember.role),
    "core alias": select(CORE.alias()),
    "core table by name": select(table("jobs", column("kind"))),
    "core held by an OR": select(CORE).where(or_(CORE.c.tenant_id == OTHER, true())),
    "core of another tenant": select(CORE).where(CORE.c.tenant_id == ACME),
    "core self-join held once": select(CORE, CORE.alias()).where(CORE.c.tenant_id == OTHER),
    "core update": update(CORE).values(kind="x"),
    "core delete": delete(CORE),
    "core beside an alias": select(ALIAS.kind).where(CORE.c.kind == "viewer"),
    "core subquery of its entity": select(Job.kind).where(Job.id.in_(select(CORE.c.id))),
    "text": text("SELECT * FROM jobs"),
    "text as a condition": select(Job).where(text("1 = 1 OR 1 = 1")),
    "text as an entity": select(Job).from_statement(text("SELECT * FROM jobs")),
    "literal column": select(literal_column("(SELECT count(*) FROM jobs)")),
    "two entities in one column": select(func.coalesce(Job.kind, ProjectMember.role)),
    "join without an entity": select(literal(1)).select_from(
        join(Job, ProjectMember, Job.kind == ProjectMember.role)
    ),
    "window without a from": select(func.row_number().over(order_by=Job.id)),
    "entity hidden in a condition": select(Job.id).where(
        func.lower(ProjectMember.role) == "viewer"
    ),
    "implicit from": select(Job.id).where(Job.kind == ProjectMember.role),
    "bare exists": select(Job.id).where(exists().where(Job.kind == "viewer")),
    "update from": update(Job).values(kind="x").where(Job.kind == ProjectMember.role),
    "update to another tenant": update(Job).values(tenant_id=OTHER),
    "core write inside a cte": select(delete(CORE).returning(CORE.c.id).cte()),
    "orm bulk insert": insert(Job).values([VALUES]),
    "core bulk insert": insert(CORE).values(VALUES),
    "bulk insert for another": insert(Job).values(VALUES | {"tenant_id": ACME}),
    "insert from select": insert(Job).from_select(["kind"], select(ProjectMember.role)),
    # Rows above tenants.
    "keys": select(ApiKey),
    "a signing key": select(SigningKey.private_sealed),
    "schedules": select(func.count()).select_from(Schedule),
    "keys in a condition": select(Job.id).where(Job.created_by.in_(select(ApiKey.user_id))),
    "users by their table": select(USERS.c.password_hash),
    "users by name": select(table("users", column("email"))),
    "change of users": update(User).values(name="x"),
    "end of users": delete(User),
    "new user": insert(User).values(name="x"),
    "limit of the tenant": update(Tenant).values(max_users=10_000, n_users=0),
    "end of the tenant": delete(Tenant),
    "change of keys": update(ApiKey).values(name="x"),
}


@pytest.mark.parametrize("statement", REFUSED.values(), ids=REFUSED.keys())
async def test_what_cannot_be_filtered_is_refused(
    sessions: Sessions, statement: Executable
) -> None:
    async with open_work(sessions, caller(tenant=OTHER)) as theirs:
        with pytest.raises(TenantViolation):
            await theirs.session.execute(statement)


@pytest.mark.parametrize("statement", [insert(Job), insert(CORE), update(Job)], ids=str)
async def test_many_parameters_are_refused(sessions: Sessions, statement: Executable) -> None:
    async with open_work(sessions, caller(tenant=OTHER)) as theirs:
        with pytest.raises(TenantViolation):
            await theirs.session.execute(statement, [VALUES, VALUES])


async def test_what_carries_the_tenant_passes(sessions: Sessions) -> None:
    async with open_work(sessions, caller()) as mine:
        session = mine.session
        await session.execute(insert(Job), [VALUES | {"tenant_id": ACME}])
        held = select(CORE.c.kind).where(CORE.c.tenant_id == ACME, CORE.c.attempts == 0)
        assert set(await session.scalars(held)) == {"viewer", "bulk"}
        dialect = session.get_bind().dialect.name
        tenant = ACME.hex if dialect == "sqlite" else str(ACME)
        counted = text("SELECT count(*) FROM jobs WHERE CAST(tenant_id AS TEXT) = :tenant_id")
        assert await session.scalar(counted, {"tenant_id": tenant}) == 2
