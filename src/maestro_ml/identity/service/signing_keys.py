"""The signing keys in the database, which every process of the installation shares."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, select, update

from maestro_ml.audit.service import record_for
from maestro_ml.db.installation import Installation
from maestro_ml.db.work import SystemWork
from maestro_ml.identity.keys import LEEWAY, LIFETIME, new_key
from maestro_ml.identity.models import KeyState, SigningKey
from maestro_ml.identity.secret import Secret
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID

GRACE = LIFETIME + LEEWAY
_OLDEST_ACTIVE = (
    select(SigningKey)
    .where(SigningKey.state == KeyState.ACTIVE)
    .order_by(SigningKey.created_at, SigningKey.kid)
    .limit(1)
)
# For a statement that asks for more: the key that signs, by its id.
ACTIVE_KID = _OLDEST_ACTIVE.with_only_columns(SigningKey.kid).scalar_subquery()


async def every(work: SystemWork) -> Sequence[SigningKey]:
    """All there are, whatever their state."""
    return (await work.session.scalars(select(SigningKey))).all()


async def active(work: SystemWork) -> SigningKey:
    """The one that signs, as of this moment, in every process."""
    return (await work.session.scalars(_OLDEST_ACTIVE)).one()


async def ensure(work: SystemWork, secret: Secret) -> None:
    """At the first start, make the key that signs and the one after it."""
    await _alone(work)
    states = {row.state for row in await every(work)}
    for state in (KeyState.ACTIVE, KeyState.NEXT):
        if state not in states:
            work.session.add(new_key(secret, state, work.now))
    await work.session.flush()


async def rotate(work: SystemWork, secret: Secret, *, grace: timedelta = GRACE) -> SigningKey:
    """Sign with the next key from now on. Tokens of the old one live out their time in `grace`;
    none is for a key that was stolen. Gives the key that signs now."""
    await _alone(work)
    await work.session.execute(delete(SigningKey).where(SigningKey.retires_at < work.now))
    await work.session.execute(
        update(SigningKey)
        .where(SigningKey.state == KeyState.ACTIVE)
        .values(state=KeyState.RETIRED, retires_at=work.now + grace)
    )
    await work.session.execute(
        update(SigningKey).where(SigningKey.state == KeyState.NEXT).values(state=KeyState.ACTIVE)
    )
    await ensure(work, secret)
    now_active = await active(work)
    record_for(work, DEFAULT_TENANT_ID, "signing_key.rotated", "signing_key", now_active.kid)
    return now_active


async def _alone(work: SystemWork) -> None:
    """Two processes that start, or rotate, at once do it one after the other."""
    await work.session.scalar(select(Installation).with_for_update())
