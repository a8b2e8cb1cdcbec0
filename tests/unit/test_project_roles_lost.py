"""Whose role was enough when their request began, and is not when it is its turn, changes nothing
about a project."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from maestro_ml.core.access import Role
from maestro_ml.core.errors import Forbidden
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, Work, open_work
from maestro_ml.identity.models import Membership
from maestro_ml.projects.errors import ProjectNotFound
from maestro_ml.projects.models import Visibility
from maestro_ml.projects.schemas import MemberAdd, MemberChange, ProjectChange, ProjectCreate
from maestro_ml.projects.service import projects, teams
from support import ACME, LAB, USERS, caller

CALLER = caller(Role.MAINTAINER)
SOMEBODY = USERS[ACME, Role.MEMBER]


async def nothing_in_it(*_: object) -> bool:
    return False


IN_IT: dict[str, Callable[[Work], Awaitable[object]]] = {
    "rename": lambda work: projects.change(work, LAB, ProjectChange(name="x")),
    "open or close": lambda work: projects.change(
        work, LAB, ProjectChange(visibility=Visibility.PRIVATE)
    ),
    "archive": lambda work: projects.archive(work, LAB),
    "restore": lambda work: projects.restore(work, LAB),
    "delete": lambda work: projects.delete(work, LAB, confirm="lab"),
    "delete empty": lambda work: projects.delete_empty(work, LAB, holds=nothing_in_it),
    "add": lambda work: teams.add(work, LAB, MemberAdd(user_id=SOMEBODY, role=Role.VIEWER)),
    "change": lambda work: teams.change(work, LAB, SOMEBODY, MemberChange(role=Role.MEMBER)),
    "remove": lambda work: teams.remove(work, LAB, SOMEBODY),
}
VERBS = IN_IT | {"begin": lambda work: projects.create(work, ProjectCreate(name="x"))}
ENDS = [{"role": Role.MEMBER}, {"active": False}]


def my_place(change: dict[str, Any]) -> Any:
    return update(Membership).where(Membership.user_id == CALLER.actor_id).values(change)


@pytest.mark.parametrize("change", ENDS, ids=str)
@pytest.mark.parametrize("verb", VERBS)
async def test_nothing_is_done_after_a_demotion_in_the_tenant(
    sessions: Sessions, verb: str, change: dict[str, Any]
) -> None:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(my_place(change))
    with pytest.raises(Forbidden, match="until a moment ago"):
        async with open_work(sessions, CALLER) as work:
            await VERBS[verb](work)


@pytest.mark.parametrize("role", [Role.MEMBER, None], ids=str)
@pytest.mark.parametrize("verb", IN_IT)
async def test_nothing_is_done_after_a_demotion_in_the_team(
    sessions: Sessions, verb: str, role: Role | None
) -> None:
    member = caller(Role.MEMBER)
    if role is not None:
        async with open_work(sessions, caller()) as work:
            await teams.add(work, LAB, MemberAdd(user_id=member.actor_id, role=role))
    with pytest.raises(ProjectNotFound):
        async with open_work(
            sessions, replace(member, project_roles={LAB: Role.MAINTAINER})
        ) as work:
            await IN_IT[verb](work)


async def test_who_waits_behind_their_own_demotion_opens_no_project(sessions: Sessions) -> None:
    async def close() -> None:
        async with open_work(sessions, CALLER) as work:
            await VERBS["open or close"](work)

    async with sessions.begin(SYSTEM) as session:
        await session.execute(my_place({"role": Role.MEMBER}))
        waiting = asyncio.create_task(close())
        await asyncio.sleep(0.2)
        assert not waiting.done()
    with pytest.raises(Forbidden, match="until a moment ago"):
        await waiting


async def test_whose_role_has_grown_meanwhile_goes_on(sessions: Sessions) -> None:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(my_place({"role": Role.ADMIN}))
    async with open_work(sessions, CALLER) as work:
        await teams.add(work, LAB, MemberAdd(user_id=SOMEBODY, role=Role.VIEWER))
