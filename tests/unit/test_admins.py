"""Who was an admin when their request began, and is none when it is its turn, changes nothing."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from maestro_ml.core.access import Role
from maestro_ml.core.errors import Forbidden
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_account_work, open_work
from maestro_ml.http.deps import Runtime
from maestro_ml.identity import key_making
from maestro_ml.identity.models import Membership
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.schemas_keys import ApiKeyCreate
from maestro_ml.identity.schemas_members import InvitationCreate, MemberChange
from maestro_ml.identity.schemas_services import ServiceAccountCreate
from maestro_ml.identity.schemas_sso import IdentityProviderChange, IdentityProviderCreate
from maestro_ml.identity.schemas_tenants import PolicyChange
from maestro_ml.identity.service import (
    identity_providers,
    invitations,
    policy,
    service_accounts,
    standing,
)
from maestro_ml.projects import service as projects
from support.people import People, a_people_server
from support.world import ACME, USERS, caller

ADMIN = caller()
SOMEBODY = USERS[ACME, Role.VIEWER]
ISSUER = {"name": "I", "slug": "i1", "issuer": "https://issuer.test", "client_id": "c"}
Verb = Callable[[Any, Identity], Awaitable[object]]


def sealed(*_: object) -> bytes:
    return b""


IN_TENANT: dict[str, Verb] = {
    "invite": lambda work, _: invitations.create(
        work, InvitationCreate(email="x@x.test", role=Role.VIEWER)
    ),
    "invite again": lambda work, _: invitations.renew(work, new_id()),
    "add a provider": lambda work, _: identity_providers.create(
        work, IdentityProviderCreate(**ISSUER), sealed
    ),
    "change a provider": lambda work, _: identity_providers.change(
        work, new_id(), IdentityProviderChange(name="J"), sealed
    ),
}
ABOVE: dict[str, Verb] = {
    "change": lambda work, identity: standing.change(
        work, identity, SOMEBODY, MemberChange(role=Role.MEMBER)
    ),
    "remove": lambda work, identity: standing.remove(work, identity, projects, SOMEBODY),
    "sign out": lambda work, identity: standing.sign_out(work, identity, SOMEBODY),
    "make a machine": lambda work, _: service_accounts.create(
        work, ServiceAccountCreate(name="bot")
    ),
    "ask for less": lambda work, _: policy.change(work, PolicyChange(allowed_domains=[])),
}
ENDS = [{"role": Role.MAINTAINER}, {"active": False}]


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path) as people:
        yield people


async def ended(sessions: Sessions, change: dict[str, Any]) -> None:
    mine = update(Membership).where(Membership.user_id == ADMIN.actor_id)
    async with sessions.begin(SYSTEM) as session:
        await session.execute(mine.values(change))


@pytest.mark.parametrize("change", ENDS, ids=str)
@pytest.mark.parametrize("verb", [*IN_TENANT, *ABOVE])
async def test_nothing_is_done(people: People, verb: str, change: dict[str, Any]) -> None:
    await ended(people.sessions, change)
    with pytest.raises(Forbidden, match="until a moment ago"):
        if verb in IN_TENANT:
            async with open_work(people.sessions, ADMIN) as work:
                await IN_TENANT[verb](work, people.identity)
        else:
            async with open_account_work(people.sessions, ADMIN) as account:
                await ABOVE[verb](account, people.identity)


async def test_no_machine_gets_a_key(people: People) -> None:
    async with open_account_work(people.sessions, ADMIN) as work:
        bot = await service_accounts.create(work, ServiceAccountCreate(name="bot"))
    await ended(people.sessions, {"role": Role.VIEWER})
    runtime = Runtime(people.identity.settings, people.sessions, people.identity.authenticate)
    wanted = ApiKeyCreate(name="k")
    with pytest.raises(Forbidden, match="until a moment ago"):
        await key_making.make_for(runtime, ADMIN, projects, bot.id, wanted)
