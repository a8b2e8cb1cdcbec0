"""Signing in at a terminal through a browser (RFC 8628), step by step."""

from maestro_ml.db.work import AccountWork, SystemWork, open_system_work
from maestro_ml.identity import tokens
from maestro_ml.identity.entering import Entered, enter
from maestro_ml.identity.models import DeviceLogin, DeviceState
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.schemas_device import DeviceStarted
from maestro_ml.identity.service import device_logins
from maestro_ml.identity.service.device_logins import INTERVAL, LIFETIME, Wait

PAGE = "/device"


async def start(work: SystemWork, identity: Identity, client: str | None) -> DeviceStarted:
    """Let a terminal wait for somebody's approval."""
    started = await device_logins.start(work, _key(identity), client)
    page = identity.settings.url + PAGE
    return DeviceStarted(
        device_code=started.device_code,
        user_code=started.user_code,
        verification_uri=page,
        # After the #, so that no server or proxy on the way writes it down.
        verification_uri_complete=f"{page}#{started.user_code}",
        expires_in=int(LIFETIME.total_seconds()),
        interval=INTERVAL,
    )


async def poll(identity: Identity, device_code: str) -> Entered | Wait:
    """Sign in, if somebody has approved. What keeps it from that is written down, too.

    Raises:
        TooManyAttempts: it is made up or too old, as were many others from the same address.
    """
    if not tokens.well_formed(device_code, tokens.DEVICE):
        return Wait.EXPIRED
    async with open_system_work(identity.sessions, clock=identity.clock) as work:
        found = await device_logins.poll(work, device_code)
        if not isinstance(found, Wait):
            return await enter(
                work,
                identity,
                found.user,
                found.tenant_id,
                web=False,
                amr=found.amr,
                auth_time=found.auth_time,  # approving proves nothing anew
            )
    if found is Wait.EXPIRED:
        await identity.limits.wrong("device-code")
    return found


async def read(work: AccountWork, identity: Identity, user_code: str) -> DeviceLogin:
    """Raises:
    DeviceLoginNotFound: no terminal waits under the code.
    """
    return await device_logins.read(work, _key(identity), user_code)


async def decide(
    work: AccountWork, identity: Identity, user_code: str, decision: DeviceState
) -> None:
    """Raises:
    DeviceLoginNotFound: no terminal waits under the code.
    """
    await device_logins.decide(work, _key(identity), user_code, decision)


def _key(identity: Identity) -> bytes:
    return identity.secret.derive("user code")
