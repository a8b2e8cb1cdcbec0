"""What going back to an older schema takes away, and that it says so before."""

from sqlalchemy import select, update

from maestro_ml.core.access import Role
from maestro_ml.db.engine import make_engines
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.identity.models import ApiKey, Membership
from maestro_ml.migrations.run import downgrade, loss, upgrade
from maestro_ml.projects.models import ProjectMember
from maestro_ml.tenancy.models import Tenant
from support.databases import PostgresDatabases, SqliteDatabases
from support.signin import an_api_key
from support.world import ACME, LAB, OTHER, USERS, caller


async def test_whoever_is_on_hold_is_not_let_in_by_going_back(
    databases: PostgresDatabases | SqliteDatabases,
) -> None:
    """The older schema knows no members on hold: they lose their place, and it is said before."""
    ann, bob = USERS[ACME, Role.ADMIN], USERS[ACME, Role.MEMBER]
    async with databases.copy() as url:
        engines = make_engines(url)
        async with Sessions(engines).begin(SYSTEM) as session:
            place = (Membership.tenant_id == ACME) & (Membership.user_id == bob)
            await session.execute(update(Membership).where(place).values(active=False))
        for user in (ann, bob):
            await an_api_key(Sessions(engines), str(user), ACME)
        async with open_work(Sessions(engines), caller()) as work:
            for user in (ann, bob):
                member = ProjectMember(
                    project_id=LAB, user_id=user, role=Role.VIEWER, created_at=work.now
                )
                work.session.add(member)
        await engines.dispose()
        lost = await loss(url, "0010")
        assert {"audit_seals", "service_accounts"} <= set(lost.tables)
        assert not any(lost.tables.values())
        assert lost.rows == {"api_keys": 1, "memberships": 1, "project_members": 1}
        await downgrade(url, "0010")
        assert (await upgrade(url)).up_to_date
        engines = make_engines(url)
        async with Sessions(engines).begin(SYSTEM) as session:
            places = await session.scalars(
                select(Membership.user_id).where(Membership.tenant_id == ACME)
            )
            assert set(places) == {USERS[ACME, role] for role in Role} - {bob}
            assert (await session.get_one(Tenant, ACME)).n_users == len(Role) - 1
            assert (await session.get_one(Tenant, OTHER)).n_users == len(Role)
            assert list(await session.scalars(select(ApiKey.user_id))) == [ann]
            assert list(await session.scalars(select(ProjectMember.user_id))) == [ann]
        await engines.dispose()
