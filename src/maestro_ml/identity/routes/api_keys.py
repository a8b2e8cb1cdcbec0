"""`/api/v1/api-keys`."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request

from maestro_ml.core.paging import Page
from maestro_ml.core.schemas import PageView
from maestro_ml.http.deps import Account, AccountReading, Caller, Paging, Running
from maestro_ml.identity import key_making
from maestro_ml.identity.models import ApiKey
from maestro_ml.identity.ports import Projects
from maestro_ml.identity.schemas_keys import ApiKeyCreate, ApiKeyView, NewApiKey
from maestro_ml.identity.service import api_keys

router = APIRouter(prefix="/api-keys", tags=["api keys"])


async def _projects(request: Request) -> Projects:
    projects: Projects = request.app.state.projects
    return projects


TheProjects = Annotated[Projects, Depends(_projects)]


@router.post("", status_code=201, response_model=NewApiKey)
async def create_api_key(
    runtime: Running, caller: Caller, projects: TheProjects, body: ApiKeyCreate
) -> NewApiKey:
    """Make a key for a machine or the MLflow client. The secret is shown in this answer only.
    Needs a session: a key makes no keys."""
    return await key_making.make(runtime, caller, projects, body)


@router.get("", response_model=PageView[ApiKeyView])
async def list_api_keys(work: AccountReading, paging: Paging) -> Page[ApiKey]:
    """Your own keys for the tenant you act in, the newest first; expired ones too, revoked ones
    not. Needs a session."""
    return await api_keys.search(work, paging)


@router.delete("/{id}", status_code=204)
async def revoke_api_key(work: Account, id: UUID) -> None:
    """End one of your own keys: it is refused from the next request on. Needs a session."""
    await api_keys.revoke(work, id)
