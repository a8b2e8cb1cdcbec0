"""Whole accounts, which the platform's admin disables and enables: in every tenant at once."""

from uuid import UUID

from sqlalchemy import or_, select

from maestro_ml.audit.service import record_for
from maestro_ml.core.access import Permission, Role
from maestro_ml.core.errors import Unauthenticated
from maestro_ml.db.work import AccountWork
from maestro_ml.identity import emails
from maestro_ml.identity.errors import LastAdmin
from maestro_ml.identity.errors_admin import AccountNotFound, OwnAccountKept
from maestro_ml.identity.models import Membership, User, UserKind
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.service import sessions
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID


async def disable(work: AccountWork, identity: Identity, email: str) -> None:
    """Take all access away: sessions end, and API keys sleep until the account is enabled.

    Raises:
        AccountNotFound: nobody has the address.
        OwnAccountKept: it is the caller's.
        LastAdmin: a tenant would be left without an admin; suspend the tenant instead.
    """
    work.require(Permission.ACCOUNT_MANAGE)
    user = await _find(work, email)
    if user.id == work.access.actor_id:
        raise OwnAccountKept
    await _check_tenants(work, user.id)
    # Of two platform admins who disable each other, the second finds that they are none.
    held = await work.session.scalars(
        select(User)
        .where(or_(User.platform_admin, User.id == user.id))
        .order_by(User.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    admins = {one.id: one for one in held}
    caller = admins.get(work.access.actor_id)
    if caller is None or not caller.active:
        raise Unauthenticated
    if user.id not in admins:  # deleted at this moment, with their tenant
        raise AccountNotFound
    if user.active:
        user.active, user.updated_at = False, work.now
        await sessions.end_all(work, identity, user.id, "disabled")
        _note(work, "user.disabled", user)
    await work.session.flush()


async def enable(work: AccountWork, email: str) -> None:
    """Give the access back that `disable` took. The sessions of before stay ended.

    Raises:
        AccountNotFound: nobody has the address.
    """
    work.require(Permission.ACCOUNT_MANAGE)
    user = await _find(work, email)
    if not user.active:
        user.active, user.updated_at = True, work.now
        _note(work, "user.enabled", user)
    await work.session.flush()


async def _find(work: AccountWork, email: str) -> User:
    query = select(User).where(
        User.email_norm == emails.normal(email), User.kind == UserKind.PERSON
    )
    user = (await work.session.scalars(query)).one_or_none()
    if user is None:
        raise AccountNotFound
    return user


async def _check_tenants(work: AccountWork, id: UUID) -> None:
    """Where they are an admin, another one can sign in."""
    theirs = select(Membership.tenant_id).where(
        Membership.user_id == id, Membership.role == Role.ADMIN, Membership.active
    )
    held = await work.session.scalars(
        select(Membership)
        .where(Membership.tenant_id.in_(theirs), Membership.role == Role.ADMIN)
        .order_by(Membership.id)
        .with_for_update(key_share=True)
    )
    admins = [one for one in held if one.active]
    running = await work.session.scalars(
        select(User.id).where(
            User.id.in_({one.user_id for one in admins} - {id}),
            User.active,
            User.kind == UserKind.PERSON,
        )
    )
    able = set(running.all())
    run_by = {one.tenant_id for one in admins if one.user_id in able}
    if {one.tenant_id for one in admins if one.user_id == id} - run_by:
        raise LastAdmin


def _note(work: AccountWork, action: str, user: User) -> None:
    record_for(work, DEFAULT_TENANT_ID, action, "user", user.id, access=work.access)
