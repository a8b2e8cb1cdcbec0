"""The tiny world that every test finds: two tenants, in each a user per role and a project."""

from uuid import UUID

from maestro_ml.core.access import Access, Role
from maestro_ml.core.clock import utc_now
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import Membership, User
from maestro_ml.projects.models import Project
from maestro_ml.tenancy.models import Tenant

ACME, OTHER, LAB, SHOP = new_id(), new_id(), new_id(), new_id()
PROJECTS = {ACME: LAB, OTHER: SHOP}
SLUGS = {ACME: ("acme", "lab"), OTHER: ("other", "shop")}
USERS: dict[tuple[UUID, Role], UUID] = {(t, r): new_id() for t in (ACME, OTHER) for r in Role}


def caller(role: Role = Role.ADMIN, tenant: UUID = ACME) -> Access:
    """Somebody signed in: the world's user of that role in that tenant."""
    return Access(
        actor_id=USERS[tenant, role],
        tenant_id=tenant,
        role=role,
        default_project_id=PROJECTS[tenant],
    )


async def a_world(sessions: Sessions) -> None:
    now = utc_now()
    async with sessions.begin(SYSTEM) as session:
        for tenant, (slug, _) in SLUGS.items():
            session.add(
                Tenant(
                    id=tenant, name=slug, slug=slug, created_at=now, n_users=len(Role), n_projects=1
                )
            )
        for (tenant, role), id in USERS.items():
            email = f"{role}@{SLUGS[tenant][0]}.test"
            session.add(
                User(
                    id=id, email=email, email_norm=email, name=role, created_at=now, updated_at=now
                )
            )
    for tenant, (_, slug) in SLUGS.items():
        async with sessions.begin(tenant) as session:
            for role in Role:
                user = USERS[tenant, role]
                session.add(Membership(user_id=user, role=role, created_at=now))
            session.add(
                Project(id=PROJECTS[tenant], name=slug, slug=slug, created_at=now, updated_at=now)
            )
