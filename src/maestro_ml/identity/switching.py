"""Going on in another tenant: the session ends, and one like it begins there."""

from maestro_ml.core.access import Permission
from maestro_ml.core.errors import Unauthenticated
from maestro_ml.db.work import AccountWork
from maestro_ml.identity.amr import MFA, SINGLE_SIGN_ON
from maestro_ml.identity.entering import Entered, begin
from maestro_ml.identity.errors_admin import TenantNotFound
from maestro_ml.identity.errors_mfa import MfaNeeded, SignInAgain
from maestro_ml.identity.models import Session, SessionKind, User
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.service import accounts, sessions
from maestro_ml.identity.service.places import place_of
from maestro_ml.tenancy.models import Tenant


async def switch(work: AccountWork, identity: Identity, slug: str) -> Entered:
    """The new session is as old as the old one, in what was proved and when: nobody stays signed in
    longer by going to and fro.

    Raises:
        TenantNotFound: the caller is in no such tenant, or it is suspended.
        SignInAgain: one tenant's identity provider says nothing about who they are in another.
        MfaNeeded: the tenant asks for a second factor, and the session was begun without one.
    """
    work.require(Permission.SESSION_SWITCH)
    user = await work.session.get(User, work.access.actor_id, with_for_update=True)
    old = await work.session.get(Session, work.access.session_id)
    if user is None or old is None:
        raise Unauthenticated
    tenant_id = await accounts.home(work, user, slug)
    if tenant_id is None:
        raise TenantNotFound
    if SINGLE_SIGN_ON in old.amr and tenant_id != old.tenant_id:
        raise SignInAgain(
            "You came in by your organisation's single sign-on, which counts there only: sign in "
            "to the other tenant in its own way."
        )
    if MFA not in old.amr and (await work.session.get_one(Tenant, tenant_id)).mfa_required:
        raise MfaNeeded(slug)
    if not await sessions.end(work, identity, old.id, "switched"):
        raise Unauthenticated
    return await begin(
        work,
        identity,
        await place_of(work, user.id, tenant_id),
        web=old.kind is SessionKind.WEB,
        amr=old.amr,
        auth_time=old.auth_time,
    )
