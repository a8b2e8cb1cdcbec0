"""What the worker runs of this package."""

from base64 import b64decode
from datetime import datetime, timedelta

import structlog

from maestro_ml.db import pruning
from maestro_ml.identity.models import (
    AccountToken,
    DeviceLogin,
    MfaChallenge,
    OidcFlow,
    RefreshToken,
    Session,
)
from maestro_ml.identity.service import password_changes, unclaimed
from maestro_ml.jobs.context import JobContext
from maestro_ml.limits import counters

log = structlog.get_logger()
KEPT = timedelta(days=30)  # ended sessions, for whoever looks into what happened


async def prune(job: JobContext) -> None:
    """Forget sessions that ended more than 30 days ago, with their refresh tokens, sign-ins that
    never got further than the password, mailed links, and accounts of the default tenant whose
    address was not proved within seven days."""
    before = job.clock() - KEPT
    count = 0
    for dead in (Session.expires_at < before, Session.revoked_at < before):  # an index for each
        count += await pruning.prune(job.open_system_work, Session, dead)
    for kind in (RefreshToken, MfaChallenge, AccountToken):
        await pruning.prune(job.open_system_work, kind, kind.expires_at < before)
    while True:
        async with job.open_system_work() as work:
            if not await unclaimed.forget(work):
                break
    log.info("identity.pruned", sessions=count)  # not in the result, which one tenant can read


async def send_reset(job: JobContext) -> None:
    """Mail the link for a new password, if the address that was given has an account."""
    sent = job.payload
    async with job.open_system_work() as work:
        await password_changes.offer_reset(
            work,
            email=sent["email"],
            hash=bytes.fromhex(sent["token_hash"]),
            link=b64decode(sent["link"]),
            asked_at=datetime.fromisoformat(sent["asked_at"]),
            ip=sent["ip"],
            by_admin=sent.get("by_admin", False),
        )


async def prune_limits(job: JobContext) -> None:
    """Forget rates that are whole again, and failed sign-ins of more than 30 days ago."""
    count = await counters.prune(job.open_system_work, job.clock())
    log.info("limits.pruned", counters=count)


async def prune_sign_ins(job: JobContext) -> None:
    """Forget sign-ins through a browser that were begun and expired a day ago."""
    before = job.clock() - timedelta(days=1)
    for kind in (OidcFlow, DeviceLogin):
        await pruning.prune(job.open_system_work, kind, kind.expires_at < before)
