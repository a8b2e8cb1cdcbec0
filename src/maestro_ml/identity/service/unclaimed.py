"""Accounts whose address nobody has proved: they were registered, and never signed in to. Whoever
registers with made-up addresses keeps the default tenant's seats for no longer than this."""

from datetime import timedelta

from sqlalchemy import ColumnElement, delete, exists, select

from maestro_ml.audit.service import record_for
from maestro_ml.db.work import SystemWork
from maestro_ml.identity.models import AccountToken, Membership, Purpose, User
from maestro_ml.tenancy import service as tenancy
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID

KEPT = timedelta(days=7)
BATCH = 100


async def forget(work: SystemWork) -> int:
    """Delete some of them, and give their seats back. Gives how many; those that somebody holds
    are left for the next time."""
    # In the order of decision 0008: places, accounts, the tenant.
    places = await work.session.scalars(
        select(Membership.user_id)
        .join(User, User.id == Membership.user_id)
        .where(Membership.tenant_id == DEFAULT_TENANT_ID, *_unclaimed(work))
        .order_by(Membership.id)
        .limit(BATCH)
        .with_for_update(of=Membership, skip_locked=True)
    )
    held = select(User.id).where(User.id.in_(places.all()), *_unclaimed(work)).order_by(User.id)
    ids = (await work.session.scalars(held.with_for_update(skip_locked=True))).all()
    for id in ids:
        await tenancy.give_back_user_seat(work, DEFAULT_TENANT_ID)
        record_for(work, DEFAULT_TENANT_ID, "user.forgotten", "user", id)
    await work.session.execute(
        delete(User).where(User.id.in_(ids)).execution_options(synchronize_session=False)
    )
    return len(ids)


def _unclaimed(work: SystemWork) -> tuple[ColumnElement[bool], ...]:
    return (
        ~User.verified,
        ~User.platform_admin,
        User.last_login_at.is_(None),
        User.created_at < work.now - KEPT,
        exists().where(AccountToken.user_id == User.id, AccountToken.purpose == Purpose.EMAIL),
        ~exists()
        .where(Membership.user_id == User.id, Membership.tenant_id != DEFAULT_TENANT_ID)
        .correlate(User),
    )
