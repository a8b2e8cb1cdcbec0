"""New tenants, and the counters that limits are enforced on."""

from uuid import UUID

from sqlalchemy import update

from maestro_ml.audit.service import record_for
from maestro_ml.core.access import Permission
from maestro_ml.core.errors import QuotaExceeded
from maestro_ml.db.work import AccountWork, SystemWork, Work
from maestro_ml.tenancy.errors import TenantSlugTaken
from maestro_ml.tenancy.models import Tenant
from maestro_ml.tenancy.schemas import TenantCreate

QUOTA_REACHED = "quota.reached"
_PARTS = (100, 90)  # per cent


async def create(work: AccountWork, command: TenantCreate) -> Tenant:
    """Make an organisation. Nobody is in it yet, not even who makes it.

    Raises:
        TenantSlugTaken: another one has the slug.
    """
    work.require(Permission.TENANT_CREATE)
    tenant = Tenant(name=command.name, slug=command.slug, created_at=work.now)
    work.session.add(tenant)
    await work.flush_or(TenantSlugTaken(command.slug))
    record_for(
        work,
        tenant.id,
        "tenant.created",
        "tenant",
        tenant.id,
        access=work.access,
        name=tenant.name,
        slug=tenant.slug,
    )
    return tenant


async def take_user_seat(work: SystemWork, tenant_id: UUID) -> None:
    """Count one more user in a tenant.

    Raises:
        QuotaExceeded: the tenant has as many users as it may.
    """
    taken = await work.session.execute(
        update(Tenant)
        .where(Tenant.id == tenant_id, Tenant.n_users < Tenant.max_users)
        .values(n_users=Tenant.n_users + 1)
        .returning(Tenant.n_users, Tenant.max_users)
    )
    row = taken.one_or_none()
    if row is None:
        raise _too_many_users(await work.session.get_one(Tenant, tenant_id))
    if facts := reached("max_users", *row):
        await work.tell(tenant_id, QUOTA_REACHED, **facts)


def reached(limit: str, used: int, allowed: int, more: int = 1) -> dict[str, object] | None:
    """What there is to tell when `more` of something have just filled a limit, or all but a tenth
    of it; None: they have not."""
    for part in _PARTS:
        if (used - more) * 100 < allowed * part <= used * 100:
            return {"limit": limit, "allowed": allowed, "used": used, "percent": part}
    return None


def check_user_seat(tenant: Tenant) -> None:
    """Raises:
    QuotaExceeded: the tenant has as many users as it may, as it was read.
    """
    if tenant.n_users >= tenant.max_users:
        raise _too_many_users(tenant)


def _too_many_users(tenant: Tenant) -> QuotaExceeded:
    return QuotaExceeded(
        f"This tenant has {tenant.n_users} users, and may have {tenant.max_users}.",
        limit="max_users",
        allowed=tenant.max_users,
        used=tenant.n_users,
    )


async def give_back_user_seat(work: SystemWork, tenant_id: UUID) -> None:
    """Count one user less in a tenant."""
    await work.session.execute(
        update(Tenant)
        .where(Tenant.id == tenant_id, Tenant.n_users > 0)
        .values(n_users=Tenant.n_users - 1)
    )


async def take_project_slot(work: Work) -> None:
    """Count one more project in the caller's tenant.

    Raises:
        QuotaExceeded: the tenant has as many projects as it may.
    """
    work.require(Permission.PROJECT_CREATE)
    taken = await work.session.execute(
        update(Tenant)
        .where(Tenant.id == work.tenant_id, Tenant.n_projects < Tenant.max_projects)
        .values(n_projects=Tenant.n_projects + 1)
        .returning(Tenant.n_projects, Tenant.max_projects)
    )
    row = taken.one_or_none()
    if row is None:
        tenant = await work.session.get_one(Tenant, work.tenant_id)
        raise QuotaExceeded(
            f"Your tenant has {tenant.n_projects} projects, and may have {tenant.max_projects}. "
            "Delete one, or ask the platform's admin for more.",
            limit="max_projects",
            allowed=tenant.max_projects,
            used=tenant.n_projects,
        )
    if facts := reached("max_projects", *row):
        await work.tell(QUOTA_REACHED, **facts)


async def give_back_project_slot(work: Work) -> None:
    """Count one project less; whether the caller may destroy it is for its own verb to ask."""
    work.require(Permission.TENANT_READ)
    await work.session.execute(
        update(Tenant)
        .where(Tenant.id == work.tenant_id, Tenant.n_projects > 0)
        .values(n_projects=Tenant.n_projects - 1)
    )
