"""The last step of every way in: who has proved who they are gets a session, or is asked for a
second factor."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from maestro_ml.db.work import SystemWork
from maestro_ml.identity.amr import MFA, PASSWORD
from maestro_ml.identity.models import User
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.schemas_mfa import Answer
from maestro_ml.identity.service import challenges, sessions
from maestro_ml.identity.service.places import Place, place_of


@dataclass(frozen=True, slots=True)
class Entered:
    """The answer to a sign-in; with a cookie when a browser asked and is in."""

    answer: Answer
    cookie: str | None = None


async def enter(
    work: SystemWork,
    identity: Identity,
    user: User,
    tenant_id: UUID | None,
    *,
    web: bool,
    amr: Sequence[str] = (PASSWORD,),
    auth_time: datetime | None = None,
) -> Entered:
    """Start a session of a user in a tenant. `amr` says how they proved themselves (RFC 8176), and
    `auth_time` when, if not now: with one factor, where the account has a second or the tenant
    asks for one, that comes first."""
    place = await place_of(work, user.id, tenant_id)
    if MFA not in amr and place.asks_second_factor:
        return Entered(await challenges.issue(work, user, tenant_id, web=web, amr=amr))
    return await begin(work, identity, place, web=web, amr=amr, auth_time=auth_time)


async def begin(
    work: SystemWork,
    identity: Identity,
    place: Place,
    *,
    web: bool,
    amr: Sequence[str],
    auth_time: datetime | None = None,
) -> Entered:
    """The session itself, of somebody who has proved all that is asked for."""
    if web:
        return Entered(*await sessions.sign_in_web(work, identity, place, amr, auth_time=auth_time))
    return Entered(await sessions.sign_in(work, identity, place, amr, auth_time=auth_time))
