"""Somebody with an authenticator app, in front of a server whose clock the test moves."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pyotp
from sqlalchemy import select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Role
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import Membership
from maestro_ml.tenancy.models import Tenant
from support import leaks
from support.people import People
from support.signin import a_registration

STEP = 30


def code_at(secret: str, moment: datetime) -> str:
    """What the app shows then."""
    return pyotp.TOTP(leaks.secret(secret)).at(moment)


@dataclass
class Somebody:
    """An account, its session, and the telephone beside it."""

    server: People
    email: str
    password: str
    token: str
    refresh: str
    id: str
    secret: str = ""
    recovery: list[str] = field(default_factory=list)

    def code(self, steps: int = 0) -> str:
        return code_at(self.secret, self.server.clock() + timedelta(seconds=steps * STEP))

    def next_code(self) -> str:
        """Of the next half minute: each works once."""
        self.server.clock.move(seconds=STEP)
        return self.code()

    async def enables(self) -> "Somebody":
        body = {"current_password": self.password}
        begun = await self.server.ok(self.token, "POST", "/auth/mfa/totp", body)
        self.secret = begun["secret"]
        code = {"code": self.next_code()}
        shown = await self.server.ok(self.token, "POST", "/auth/mfa/totp/confirm", code)
        self.recovery = shown["recovery_codes"]
        return self

    async def logs_in(self, **more: Any) -> Any:
        body = {"email": self.email, "password": self.password} | more
        return await self.server.ok(None, "POST", "/auth/login", body)

    async def half_way(self, **more: Any) -> str:
        """The token of a sign-in that waits for a code."""
        answer = await self.logs_in(**more)
        assert answer["mfa_required"] is True
        return str(answer["mfa_token"])


async def somebody(server: People) -> Somebody:
    """Who has registered, and so is in the default tenant."""
    body = a_registration()
    made = await server.made(None, "/auth/register", body)
    return Somebody(
        server,
        body["email"],
        body["password"],
        made["access_token"],
        made["refresh_token"],
        made["user"]["id"],
    )


async def policy(sessions: Sessions, tenant: UUID, **changes: Any) -> None:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(Tenant).where(Tenant.id == tenant).values(**changes))


async def joins(sessions: Sessions, user: str, tenant: UUID, moment: datetime) -> None:
    async with sessions.begin(tenant) as session:
        session.add(Membership(user_id=UUID(user), role=Role.MEMBER, created_at=moment))


async def audited(sessions: Sessions, prefix: str = "mfa.") -> list[str]:
    async with sessions.begin(SYSTEM) as session:
        found = await session.scalars(select(AuditEvent.action).order_by(AuditEvent.id))
        return [action for action in found if action.startswith(prefix)]
