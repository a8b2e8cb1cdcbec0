"""A person's second factor as it is kept: the app's secret, sealed, and recovery codes, hashed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import case, delete, func, literal, or_, select, update

from maestro_ml.core.access import Permission
from maestro_ml.db.base import UtcDateTime
from maestro_ml.db.work import AccountWork, SystemWork
from maestro_ml.identity import totp
from maestro_ml.identity.errors_mfa import MfaActive, MfaKept, MfaNotBegun, TooManyCodes
from maestro_ml.identity.models import Membership, RecoveryCode, Session, TotpFactor, User
from maestro_ml.identity.schemas_mfa import Enrolment, MfaState
from maestro_ml.identity.secret import Secret
from maestro_ml.identity.service import sessions
from maestro_ml.tenancy.models import Tenant, TenantStatus

PENDING = timedelta(minutes=15)  # from the secret to its first code
MOST_TRIES, TRIES_WINDOW = 10, timedelta(minutes=15)


async def has_factor(work: SystemWork, user_id: UUID) -> bool:
    """Whether a password alone does not let them in."""
    query = select(TotpFactor.user_id).where(
        TotpFactor.user_id == user_id, TotpFactor.sealed.is_not(None)
    )
    return await work.session.scalar(query) is not None


async def required_by(work: AccountWork) -> list[str]:
    """The slugs of the caller's tenants that ask for a second factor, as far as the session may
    know of them."""
    work.require(Permission.MFA_READ)
    only = await sessions.confined_to(work)
    return [slug for id, slug in await _asking(work) if only in {None, id}]


async def check_not_required(work: AccountWork) -> None:
    """Raises:
    MfaKept: a tenant of the caller's asks for it, whether or not the session may know which.
    """
    work.require(Permission.MFA_READ)
    if await _asking(work):
        raise MfaKept(await required_by(work))


async def _asking(work: AccountWork) -> list[tuple[UUID, str]]:
    query = (
        select(Tenant.id, Tenant.slug)
        .join(Membership, Membership.tenant_id == Tenant.id)
        .where(
            Membership.user_id == work.access.actor_id,
            Membership.active,
            Tenant.mfa_required,
            Tenant.status == TenantStatus.ACTIVE,
        )
        .order_by(Tenant.slug)
    )
    return [(id, slug) for id, slug in await work.session.execute(query)]


async def codes_left(work: SystemWork, user_id: UUID) -> int:
    query = select(func.count(RecoveryCode.id)).where(
        RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None)
    )
    return await work.session.scalar(query) or 0


async def state(work: AccountWork) -> MfaState:
    """The caller's own."""
    work.require(Permission.MFA_READ)
    mine = work.access.actor_id
    factor = await work.session.get(TotpFactor, mine)
    enabled = factor is not None and factor.sealed is not None
    return MfaState(
        enabled=enabled,
        since=factor.confirmed_at if factor and enabled else None,
        recovery_codes_left=await codes_left(work, mine),
        required_by=await required_by(work),
    )


async def begin(work: SystemWork, secret: Secret, user_id: UUID, *, proved: bool) -> Enrolment:
    """A new secret, which waits for its first code. What is in use stays until that comes.

    Raises:
        MfaActive: there is a factor, and nobody has `proved` to hold it.
    """
    # The user's row first: who begins twice takes turns.
    user = await work.session.get_one(User, user_id, with_for_update={"key_share": True})
    factor = await work.session.get(TotpFactor, user.id)
    if factor is None:
        factor = TotpFactor(user_id=user.id)
        work.session.add(factor)
    elif factor.sealed is not None and not proved:
        raise MfaActive
    key = totp.new_secret()
    factor.pending = secret.seal(key.encode(), _name(user.id))
    factor.pending_at = work.now
    await work.session.flush()
    uri = totp.uri(key, user.email)
    code = totp.qr(uri)
    return Enrolment(
        secret=key,
        otpauth_uri=uri,
        qr_svg=totp.svg(code),
        qr_rows=totp.rows(code),
        expires_in=int(PENDING.total_seconds()),
    )


@dataclass(frozen=True, slots=True)
class FirstCode:
    """Proof that the app holds the secret which waits."""

    pending: bytes
    step: int | None  # None: the code is not of that secret


async def first_code(work: SystemWork, secret: Secret, user_id: UUID, code: str) -> FirstCode:
    """Raises:
    MfaNotBegun: no secret waits, or it has waited too long.
    """
    factor = await work.session.get(TotpFactor, user_id)
    if factor is None or factor.pending is None or factor.pending_at is None:
        raise MfaNotBegun
    if factor.pending_at + PENDING < work.now:
        raise MfaNotBegun
    key = secret.unseal(factor.pending, _name(user_id)).decode()
    return FirstCode(factor.pending, totp.step_of(key, code, work.now))


async def activate(
    work: SystemWork, user_id: UUID, first: FirstCode, hashes: Mapping[str, str]
) -> None:
    """The secret that waited is the one in use from now on, and these are its recovery codes.

    Raises:
        MfaNotBegun: another took its place, or it was activated before.
    """
    done = await work.session.scalar(
        update(TotpFactor)
        .where(TotpFactor.user_id == user_id, TotpFactor.pending == first.pending)
        .values(
            sealed=TotpFactor.pending,
            confirmed_at=work.now,
            last_step=first.step,
            pending=None,
            pending_at=None,
        )
        .returning(TotpFactor.user_id)
        .execution_options(synchronize_session=False)
    )
    if done is None:
        raise MfaNotBegun
    await keep_codes(work, user_id, hashes)


async def count_try(work: SystemWork, user_id: UUID) -> None:
    """One more look at a code of theirs, counted before the look: of many at once, no more than
    there may be are looked at. Whoever guesses knows the password, or holds a session, already.

    Raises:
        TooManyCodes: ten were wrong within a quarter of an hour.
    """
    fresh = or_(TotpFactor.tries_from.is_(None), TotpFactor.tries_from <= work.now - TRIES_WINDOW)
    counted = await work.session.scalar(
        update(TotpFactor)
        .where(TotpFactor.user_id == user_id, or_(fresh, TotpFactor.tries < MOST_TRIES))
        .values(
            tries=case((fresh, 1), else_=TotpFactor.tries + 1),
            tries_from=case((fresh, literal(work.now, UtcDateTime())), else_=TotpFactor.tries_from),
        )
        .returning(TotpFactor.user_id)
        .execution_options(synchronize_session=False)
    )
    factor = await work.session.get(TotpFactor, user_id) if counted is None else None
    if factor is not None and factor.tries_from is not None:
        left = factor.tries_from + TRIES_WINDOW - work.now
        raise TooManyCodes(max(1, int(left.total_seconds())))


async def forgive(work: SystemWork, user_id: UUID) -> None:
    """A code was right: the wrong ones before it do not count."""
    await work.session.execute(
        update(TotpFactor)
        .where(TotpFactor.user_id == user_id)
        .values(tries=0, tries_from=None)
        .execution_options(synchronize_session=False)
    )


async def use_code(work: SystemWork, secret: Secret, user_id: UUID, code: str) -> bool:
    """Whether the code is right. It, and every older one, will not do again: of many at once, one
    gets past the update."""
    factor = await work.session.get(TotpFactor, user_id)
    if factor is None or factor.sealed is None:
        return False
    step = totp.step_of(secret.unseal(factor.sealed, _name(user_id)).decode(), code, work.now)
    if step is None:
        return False
    used = await work.session.scalar(
        update(TotpFactor)
        .where(
            TotpFactor.user_id == user_id,
            TotpFactor.sealed == factor.sealed,
            TotpFactor.last_step < step,
        )
        .values(last_step=step)
        .returning(TotpFactor.user_id)
        .execution_options(synchronize_session=False)
    )
    return used is not None


async def find_recovery(
    work: SystemWork, user_id: UUID, selector: str
) -> tuple[UUID | None, str | None]:
    """The id and hash of the unused code that begins so; neither, if there is none."""
    query = select(RecoveryCode.id, RecoveryCode.hash).where(
        RecoveryCode.user_id == user_id,
        RecoveryCode.selector == selector,
        RecoveryCode.used_at.is_(None),
    )
    row = (await work.session.execute(query)).one_or_none()
    return (None, None) if row is None else (row[0], row[1])


async def use_recovery(work: SystemWork, id: UUID) -> bool:
    """Use a code up. False: it was used, or replaced, in the meantime."""
    used = await work.session.scalar(
        update(RecoveryCode)
        .where(RecoveryCode.id == id, RecoveryCode.used_at.is_(None))
        .values(used_at=work.now)
        .returning(RecoveryCode.id)
    )
    return used is not None


async def keep_codes(work: SystemWork, user_id: UUID, hashes: Mapping[str, str]) -> None:
    """These, by what finds each, in place of all that there were."""
    await work.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    for selector, hashed in hashes.items():
        work.session.add(
            RecoveryCode(user_id=user_id, selector=selector, hash=hashed, created_at=work.now)
        )
    await work.session.flush()


async def remove(work: SystemWork, user_id: UUID) -> bool:
    """Take the factor away. False: there was none."""
    await work.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    gone = await work.session.scalar(
        delete(TotpFactor).where(TotpFactor.user_id == user_id).returning(TotpFactor.sealed)
    )
    return gone is not None


async def vouch(work: SystemWork, session_id: UUID, more: Sequence[str]) -> None:
    """Note that the person in the session has proved more than they began it with."""
    session = await work.session.get_one(Session, session_id)
    session.amr = list(dict.fromkeys([*session.amr, *more]))
    await work.session.flush()


def _name(user_id: UUID) -> str:
    return f"totp {user_id}"
