"""What a tenant asks of its people: a second factor, shorter sessions, certain mail domains."""

from sqlalchemy import select

from maestro_ml.audit.service import record
from maestro_ml.core.access import Permission
from maestro_ml.db.work import AccountWork, Work
from maestro_ml.identity.amr import SECOND_FACTORS
from maestro_ml.identity.errors_admin import SecondFactorMissing
from maestro_ml.identity.models import Session
from maestro_ml.identity.schemas_tenants import PolicyChange
from maestro_ml.identity.service import admins
from maestro_ml.identity.service.factors import has_factor
from maestro_ml.tenancy.models import Tenant


async def get(work: Work) -> Tenant:
    """The policy of the caller's tenant."""
    work.require(Permission.TENANT_READ)
    return await work.session.get_one(Tenant, work.tenant_id)


async def change(work: AccountWork, command: PolicyChange) -> Tenant:
    """Change what was sent, for sign-ins and invitations from now on.

    Raises:
        SecondFactorMissing: the caller asks for what they have not done themselves.
    """
    work.require(Permission.TENANT_WRITE)
    await admins.stay(work)
    tenant = await work.session.get_one(Tenant, work.tenant_id, with_for_update={"key_share": True})
    sent = command.model_dump()
    if "allowed_domains" in sent:
        sent["allowed_domains"] = sorted(set(sent["allowed_domains"]))
    before = {name: getattr(tenant, name) for name in sent}
    changed = {name: value for name, value in sent.items() if value != before[name]}
    if changed.get("mfa_required") and not await _proved_twice(work):
        raise SecondFactorMissing
    if changed:
        for name, value in changed.items():
            setattr(tenant, name, value)
        await work.session.flush()
        told = {name: {"before": before[name], "now": value} for name, value in changed.items()}
        record(work, "tenant.policy_changed", "tenant", tenant.id, **told)
    return tenant


async def _proved_twice(work: AccountWork) -> bool:
    """The caller has a second factor, or came in with one, so the policy lets them in again."""
    if await has_factor(work, work.access.actor_id):
        return True
    query = select(Session.amr).where(Session.id == work.access.session_id)
    return bool(SECOND_FACTORS & set(await work.session.scalar(query) or ()))
