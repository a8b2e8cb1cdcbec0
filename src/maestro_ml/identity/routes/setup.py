"""The platform's first admin."""

from typing import Any

from fastapi import APIRouter, Response

from maestro_ml.identity import joining
from maestro_ml.identity.routes.cookies import Client, answer_of
from maestro_ml.identity.runtime import TheIdentity
from maestro_ml.identity.schemas import SignedIn, SignedInWeb
from maestro_ml.identity.schemas_members import Setup
from maestro_ml.identity.schemas_mfa import MfaRequired

router = APIRouter(prefix="/auth", tags=["auth"])


@router.post("/setup", status_code=201, response_model=SignedIn | SignedInWeb | MfaRequired)
async def set_up_platform(
    identity: TheIdentity, body: Setup, response: Response, client: Client = None
) -> Any:
    """Become the platform's first admin, and the default tenant's, with the one-time secret that
    the first start printed."""
    entered = await joining.set_up(identity, body, web=client == "web")
    return answer_of(response, identity.settings, entered)
