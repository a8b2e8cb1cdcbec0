"""Whatever the shape of a query, it sees one tenant."""

from typing import Any

import pytest
from sqlalchemy import Select, case, exists, func, literal, select, union
from sqlalchemy.orm import aliased

from maestro_ml.db.work import Sessions, open_work
from maestro_ml.identity.models import User
from maestro_ml.jobs.models import Job
from maestro_ml.projects.models import ProjectMember
from support import OTHER, caller
from support.rows import some_rows

CORE: Any = Job.__table__
ALIAS = aliased(Job)


@pytest.fixture(autouse=True)
async def rows(sessions: Sessions) -> None:
    await some_rows(sessions)


FILTERED: dict[str, Select[Any]] = {
    "entity": select(Job),
    "column": select(Job.kind),
    "alias": select(ALIAS),
    "alias column": select(ALIAS.kind),
    "expression": select(Job.kind + "x").select_from(Job),
    "case": select(case((Job.kind == "viewer", 1), else_=0)).select_from(Job),
    "only where": select(literal(1)).select_from(Job).where(Job.kind == "viewer"),
    "join": select(Job.id).join(ProjectMember, ProjectMember.role == Job.kind),
    "join to an entity above": select(Job.id).join(User, User.name == Job.kind),
    "subquery": select(select(Job.kind).subquery()),
    "cte": select(select(Job.kind).cte()),
    "union": select(union(select(Job.kind), select(ProjectMember.role)).subquery()),
    "in": select(Job.id).where(Job.kind.in_(select(ProjectMember.role))),
    "project's": select(ProjectMember),
    "project's alias": select(aliased(ProjectMember)),
    "entity from its own table": select(Job.kind).select_from(CORE).where(CORE.c.attempts == 0),
    "alias of a subquery": select(aliased(Job, select(Job).subquery())),
}
EMPTY: dict[str, Select[Any]] = {
    "count": select(func.count()).select_from(Job),
    "count of a column": select(func.count(Job.id)).select_from(Job),
    "count of a subquery": select(func.count()).select_from(select(Job.id).subquery()),
    "scalar subquery": select(
        select(func.count(ProjectMember.id)).select_from(ProjectMember).scalar_subquery()
    ),
    "exists": select(exists(select(Job.id))),
    "max": select(func.max(Job.kind)).select_from(Job),
}


@pytest.mark.parametrize("query", FILTERED.values(), ids=FILTERED.keys())
async def test_a_query_sees_only_its_tenant(sessions: Sessions, query: Select[Any]) -> None:
    async with open_work(sessions, caller(), read_only=True) as mine:
        assert (await mine.session.execute(query)).all()
    async with open_work(sessions, caller(tenant=OTHER), read_only=True) as theirs:
        assert (await theirs.session.execute(query)).all() == []


@pytest.mark.parametrize("query", EMPTY.values(), ids=EMPTY.keys())
async def test_an_aggregate_counts_only_its_tenant(sessions: Sessions, query: Select[Any]) -> None:
    async with open_work(sessions, caller(), read_only=True) as mine:
        assert await mine.session.scalar(query)
    async with open_work(sessions, caller(tenant=OTHER), read_only=True) as theirs:
        assert not await theirs.session.scalar(query)
