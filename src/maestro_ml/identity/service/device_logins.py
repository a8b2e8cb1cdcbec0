"""Terminals that wait for somebody to approve them in a browser (RFC 8628)."""

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from uuid import UUID

from sqlalchemy import select, update

from maestro_ml.audit.service import record_for
from maestro_ml.core.access import Permission
from maestro_ml.core.context import origin
from maestro_ml.db.work import AccountWork, SystemWork
from maestro_ml.identity import tokens
from maestro_ml.identity.errors_sso import DeviceLoginNotFound
from maestro_ml.identity.models import DeviceLogin, DeviceState, Session, User, UserKind
from maestro_ml.identity.service import accounts, sessions
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID

LIFETIME = timedelta(minutes=10)
INTERVAL = 5
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # no vowels: no words; no Y, which is read as one
_CODE = 8
_HALF = _CODE // 2


class Wait(StrEnum):
    """Why a terminal gets no session now, in the words of RFC 8628."""

    PENDING = "authorization-pending"
    SLOW_DOWN = "slow-down"
    DENIED = "access-denied"
    EXPIRED = "expired-token"


@dataclass(frozen=True, slots=True)
class Approved:
    """Whose session the terminal gets, where, and how that one had been proved."""

    user: User
    tenant_id: UUID | None
    amr: list[str]
    auth_time: datetime


@dataclass(frozen=True, slots=True)
class Started:
    device_code: str
    user_code: str


async def start(work: SystemWork, key: bytes, client: str | None) -> Started:
    """Let a terminal wait. Both of its codes are in this answer and nowhere else."""
    device_code = tokens.mint(tokens.DEVICE)
    letters = "".join(secrets.choice(_LETTERS) for _ in range(_CODE))
    here = origin.get()
    work.session.add(
        DeviceLogin(
            device_hash=tokens.digest(device_code),
            user_code_hash=_keyed(key, letters),
            client=client,
            ip=here.ip if here else None,
            user_agent=here.user_agent if here else None,
            created_at=work.now,
            expires_at=work.now + LIFETIME,
            interval=INTERVAL,
        )
    )
    await work.session.flush()
    return Started(device_code, f"{letters[:_HALF]}-{letters[_HALF:]}")


async def read(work: AccountWork, key: bytes, user_code: str) -> DeviceLogin:
    """The terminal that waits under a code.

    Raises:
        DeviceLoginNotFound: none does.
    """
    work.require(Permission.DEVICE_APPROVE)
    query = select(DeviceLogin).where(
        DeviceLogin.user_code_hash == _keyed(key, user_code),
        DeviceLogin.state == DeviceState.PENDING,
        DeviceLogin.expires_at > work.now,
    )
    waiting = await work.session.scalar(query)
    if waiting is None:
        raise DeviceLoginNotFound
    return waiting


async def decide(work: AccountWork, key: bytes, user_code: str, decision: DeviceState) -> None:
    """Approve or deny a terminal, once. Approved, it gets a session of the caller's in the tenant
    that the caller acts in.

    Raises:
        DeviceLoginNotFound: none waits under the code.
        Unauthenticated: the caller's session has ended in the meantime.
    """
    work.require(Permission.DEVICE_APPROVE)
    await sessions.hold(work)
    decided = await work.session.scalar(
        update(DeviceLogin)
        .where(
            DeviceLogin.user_code_hash == _keyed(key, user_code),
            DeviceLogin.state == DeviceState.PENDING,
            DeviceLogin.expires_at > work.now,
        )
        .values(state=decision, session_id=work.access.session_id)
        .returning(DeviceLogin.id)
    )
    if decided is None:
        raise DeviceLoginNotFound
    tenant_id = work.access.tenant_id or DEFAULT_TENANT_ID
    record_for(work, tenant_id, f"device.{decision}", "device_login", decided, access=work.access)


async def poll(work: SystemWork, device_code: str) -> Approved | Wait:
    """What a terminal gets that asks: an approval is used up by it, by one question of many."""
    now, ours = work.now, DeviceLogin.device_hash == tokens.digest(device_code)
    # The account before the terminal, as whoever ends its sessions does (decision 0008).
    approver = select(Session.user_id).join(DeviceLogin, DeviceLogin.session_id == Session.id)
    held = await work.session.scalar(
        select(User.id).where(User.id.in_(approver.where(ours))).with_for_update()
    )
    row = await work.session.scalar(select(DeviceLogin).where(ours).with_for_update())
    if row is None or row.expires_at <= now or row.used_at is not None:
        return Wait.EXPIRED
    if row.polled_at is not None and now < row.polled_at + timedelta(seconds=row.interval):
        row.polled_at, row.interval = now, min(row.interval + INTERVAL, 60)
        return Wait.SLOW_DOWN
    row.polled_at = now
    if row.state is DeviceState.DENIED:
        return Wait.DENIED
    if row.state is DeviceState.PENDING or held is None:  # approved at this moment: it asks again
        return Wait.PENDING
    used = await work.session.scalar(
        update(DeviceLogin)
        .where(ours, DeviceLogin.used_at.is_(None))
        .values(used_at=now)
        .returning(DeviceLogin.session_id)
    )
    return Wait.DENIED if used is None else await _approver(work, used)


async def _approver(work: SystemWork, session_id: UUID) -> Approved | Wait:
    """As they are now. Who has only left the browser meanwhile still means it."""
    session = await work.session.get_one(Session, session_id)
    user = await work.session.get_one(User, session.user_id)
    ended = session.revoked_at is not None and session.revoke_reason != "logout"
    if ended or not user.active or user.kind is not UserKind.PERSON:
        return Wait.DENIED
    tenant_id = session.tenant_id
    if tenant_id is not None and not await accounts.belongs(work, user, tenant_id):
        return Wait.DENIED
    return Approved(user, tenant_id, session.amr, session.auth_time)


def _keyed(key: bytes, user_code: str) -> bytes:
    """As people type it: small letters and spaces are forgiven."""
    letters = "".join(c for c in user_code.upper() if c.isalnum())
    return hmac.new(key, letters.encode(), sha256).digest()
