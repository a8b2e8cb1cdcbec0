"""Sign-ins that are half done: the first factor was right, the second is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select, update

from maestro_ml.audit.service import record_for
from maestro_ml.core.access import Access
from maestro_ml.db.work import SystemWork
from maestro_ml.identity import tokens
from maestro_ml.identity.errors_mfa import MfaTokenInvalid
from maestro_ml.identity.models import MfaChallenge, User
from maestro_ml.identity.schemas_mfa import Method, MfaRequired
from maestro_ml.identity.service import accounts, factors
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID

LIFETIME = timedelta(minutes=5)
MOST_TRIES = 5
_FIELDS = (
    MfaChallenge.id,
    MfaChallenge.user_id,
    MfaChallenge.tenant_id,
    MfaChallenge.web,
    MfaChallenge.amr,
)


@dataclass(frozen=True, slots=True)
class Challenge:
    """Who wants in, where, and what they have proved."""

    id: UUID
    user_id: UUID
    tenant_id: UUID | None
    web: bool
    amr: list[str]

    @property
    def who(self) -> Access:
        """Whom the audit trail names."""
        return Access(actor_id=self.user_id, tenant_id=self.tenant_id, role=None)


async def issue(
    work: SystemWork, user: User, tenant_id: UUID | None, *, web: bool, amr: Sequence[str]
) -> MfaRequired:
    """A token for the next step, in place of a session."""
    methods: list[Method] = ["enrol"]
    if await factors.has_factor(work, user.id):
        left = await factors.codes_left(work, user.id)
        methods = ["totp", "recovery_code"] if left else ["totp"]
    await work.session.execute(
        delete(MfaChallenge).where(
            MfaChallenge.user_id == user.id, MfaChallenge.expires_at <= work.now
        )
    )
    token = tokens.mint(tokens.MFA)
    challenge = MfaChallenge(
        user_id=user.id,
        tenant_id=tenant_id,
        hash=tokens.digest(token),
        web=web,
        amr=list(amr),
        created_at=work.now,
        expires_at=work.now + LIFETIME,
    )
    work.session.add(challenge)
    await work.session.flush()
    record_for(
        work,
        tenant_id or DEFAULT_TENANT_ID,
        "mfa.asked",
        "user",
        user.id,
        access=accounts.as_caller(work, user, tenant_id),
        methods=list(methods),
    )
    return MfaRequired(mfa_token=token, expires_in=int(LIFETIME.total_seconds()), methods=methods)


async def look(work: SystemWork, token: str) -> Challenge:
    """Raises:
    MfaTokenInvalid: it is none of ours, or not good any more.
    """
    query = select(*_FIELDS).where(*_open(work, token))
    return _found((await work.session.execute(query)).one_or_none())


async def count_try(work: SystemWork, token: str) -> Challenge:
    """One try less, before anybody looks at the code: of many at once, no more are looked at.

    Raises:
        MfaTokenInvalid: it is none of ours, not good any more, or was tried too often.
    """
    counted = await work.session.execute(
        update(MfaChallenge)
        .where(*_open(work, token))
        .values(tries=MfaChallenge.tries + 1)
        .returning(*_FIELDS)
        .execution_options(synchronize_session=False)
    )
    return _found(counted.one_or_none())


async def finish(work: SystemWork, challenge: Challenge) -> User:
    """Use the challenge up, for the person who may still go where they were going.

    Raises:
        MfaTokenInvalid: it was used, or the account or its place in the tenant is gone.
    """
    # The user's row first, as in every way in: whoever ends their sessions waits, or has done it.
    user = await work.session.get(User, challenge.user_id, with_for_update=True)
    used = await work.session.scalar(
        update(MfaChallenge)
        .where(
            MfaChallenge.id == challenge.id,
            MfaChallenge.used_at.is_(None),
            MfaChallenge.expires_at > work.now,
        )
        .values(used_at=work.now)
        .returning(MfaChallenge.id)
        .execution_options(synchronize_session=False)
    )
    if used is None or user is None or not user.active:
        raise MfaTokenInvalid
    if challenge.tenant_id is None:
        if not user.platform_admin:
            raise MfaTokenInvalid
    elif not await accounts.belongs(work, user, challenge.tenant_id):
        raise MfaTokenInvalid
    return user


def _open(work: SystemWork, token: str) -> tuple[ColumnElement[bool], ...]:
    if not tokens.well_formed(token, tokens.MFA):
        raise MfaTokenInvalid
    return (
        MfaChallenge.hash == tokens.digest(token),
        MfaChallenge.used_at.is_(None),
        MfaChallenge.expires_at > work.now,
        MfaChallenge.tries < MOST_TRIES,
    )


def _found(row: Any) -> Challenge:
    if row is None:
        raise MfaTokenInvalid
    return Challenge(*row)
