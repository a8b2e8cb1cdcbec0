"""`/api/v1/accounts`: whole accounts, for the platform's admin."""

from fastapi import APIRouter

from maestro_ml.http.deps import Account
from maestro_ml.identity.runtime import TheIdentity
from maestro_ml.identity.schemas_members import AccountNamed
from maestro_ml.identity.service import blocking

router = APIRouter(prefix="/accounts", tags=["accounts"])


@router.post("/disable", status_code=204)
async def disable_account(work: Account, identity: TheIdentity, body: AccountNamed) -> None:
    """Take all access away from an account, in every tenant: its sessions end, its API keys sleep.
    A tenant's last admin stays; suspend the tenant instead. For platform admins, in a session."""
    await blocking.disable(work, identity, body.email)


@router.post("/enable", status_code=204)
async def enable_account(work: Account, body: AccountNamed) -> None:
    """Give a disabled account its access back. For platform admins, in a session."""
    await blocking.enable(work, body.email)
