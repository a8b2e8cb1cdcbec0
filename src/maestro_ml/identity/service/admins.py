"""That an admin still is one when it is their turn to write.

Who asks is read when a request begins, and a write may wait behind the very one that takes the
role away. Whoever sends many at once has some that wait, and they would undo it.
"""

from collections.abc import Iterable

from sqlalchemy import select

from maestro_ml.core.access import Permission, Role
from maestro_ml.core.errors import Forbidden
from maestro_ml.db.work import AccountWork, Work
from maestro_ml.identity.models import Membership


async def stay(work: Work | AccountWork) -> None:
    """Nobody takes the caller's role before this unit of work ends. Asked before anything else is
    locked (decision 0008).

    Raises:
        Forbidden: somebody has.
    """
    work.require(Permission.USER_READ)
    mine = select(Membership).where(
        Membership.tenant_id == work.tenant_id, Membership.user_id == work.access.actor_id
    )
    check(work, await work.session.scalars(mine.with_for_update(read=True)))


def check(work: Work | AccountWork, held: Iterable[Membership]) -> None:
    """Whether the caller is an admin by these places, which nobody changes meanwhile.

    Raises:
        Forbidden: not any more.
    """
    caller = work.access.actor_id
    if not any(one.user_id == caller and is_admin(one) for one in held):
        raise Forbidden("You were an admin of this tenant until a moment ago.")


def is_admin(membership: Membership) -> bool:
    return membership.role is Role.ADMIN and membership.active
