"""`/api/v1/tenants`. A new one comes with an invitation, so `identity` has the route for that."""

from fastapi import APIRouter

from maestro_ml.core.paging import Page
from maestro_ml.core.schemas import PageView
from maestro_ml.http.deps import AccountReading, Paging, Reading
from maestro_ml.tenancy import service
from maestro_ml.tenancy.models import Tenant
from maestro_ml.tenancy.schemas import TenantView

router = APIRouter(prefix="/tenants", tags=["tenants"])


@router.get("", response_model=PageView[TenantView])
async def list_tenants(work: AccountReading, paging: Paging) -> Page[Tenant]:
    """All tenants of the installation, the newest first. For platform admins, in a session."""
    return await service.search(work, paging)


@router.get("/current", response_model=TenantView)
async def read_current_tenant(work: Reading) -> Tenant:
    """The tenant you act in: its limits and what it uses of them."""
    return await service.current(work)
