"""People who registered by themselves, and what they are and have at the moment."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from maestro_ml.audit.models import AuditEvent
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import User
from support.people import People
from support.signin import a_registration


async def a_person(people: People, **changes: Any) -> dict[str, Any]:
    """Signed in; beside the answer, their address, password and access token."""
    body = a_registration(**changes)
    made: dict[str, Any] = await people.made(None, "/auth/register", body)
    return made | {
        "email": body["email"],
        "password": body["password"],
        "token": made["access_token"],
    }


async def login(people: People, person: dict[str, Any], **changes: Any) -> Any:
    body = {"email": person["email"], "password": person["password"]} | changes
    return await people(None, "POST", "/auth/login", body)


async def signs_in(people: People, person: dict[str, Any], **changes: Any) -> str:
    """Their new access token."""
    answer = await login(people, person, **changes)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def stored(sessions: Sessions, person: dict[str, Any]) -> User:
    async with sessions.begin(SYSTEM, read_only=True) as session:
        return await session.get_one(User, UUID(person["user"]["id"]))


async def audited(sessions: Sessions, prefix: str = "user.") -> Sequence[str]:
    async with sessions.begin(SYSTEM, read_only=True) as session:
        found = await session.scalars(select(AuditEvent.action).order_by(AuditEvent.id))
        return [action for action in found if action.startswith(prefix)]
