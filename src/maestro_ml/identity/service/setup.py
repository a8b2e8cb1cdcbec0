"""How the platform gets its first admin: by a secret that the first start prints."""

from sqlalchemy import delete, select, update

from maestro_ml.audit.service import record_for
from maestro_ml.core.access import Role
from maestro_ml.db.installation import Installation
from maestro_ml.db.work import SystemWork
from maestro_ml.identity import tokens
from maestro_ml.identity.errors import SetupRefused
from maestro_ml.identity.models import SetupSecret, User
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.service import accounts
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID

DEV_EMAIL, DEV_PASSWORD = "admin@maestro.ml", "admin123"


async def issue_secret(work: SystemWork) -> str | None:
    """A new one-time secret, in place of an older one that was not used. None: there is a
    platform admin, and no secret will do any more."""
    await work.session.scalar(select(Installation).with_for_update())  # starts take turns
    if await _has_admin(work):
        return None
    await work.session.execute(delete(SetupSecret).where(SetupSecret.spent_at.is_(None)))
    secret = tokens.mint(tokens.SETUP)
    row = SetupSecret(hash=tokens.digest(secret), created_at=work.now)
    work.session.add(row)
    await work.session.flush()
    record_for(work, DEFAULT_TENANT_ID, "setup_secret.issued", "setup_secret", row.id)
    return secret


async def check(work: SystemWork, secret: str) -> None:
    """Whether the secret would do, before a password is hashed for it.

    Raises:
        SetupRefused: it is wrong or used.
    """
    unspent = select(SetupSecret.id).where(
        SetupSecret.hash == tokens.digest(secret), SetupSecret.spent_at.is_(None)
    )
    if await work.session.scalar(unspent) is None or await _has_admin(work):
        raise SetupRefused


async def spend(
    work: SystemWork, *, secret: str, email: str, name: str, password_hash: str
) -> User:
    """Use the secret up for the platform's first admin, who runs the default tenant as well.

    Raises:
        SetupRefused: the secret is wrong or used; of many at once, one is not refused.
        EmailTaken: the address has an account.
        QuotaExceeded: the default tenant is full.
    """
    spent = await work.session.scalar(
        update(SetupSecret)
        .where(SetupSecret.hash == tokens.digest(secret), SetupSecret.spent_at.is_(None))
        .values(spent_at=work.now)
        .returning(SetupSecret.id)
    )
    if spent is None or await _has_admin(work):
        raise SetupRefused
    user = await _make_admin(work, email=email, name=name, password_hash=password_hash)
    record_for(
        work,
        DEFAULT_TENANT_ID,
        "setup_secret.spent",
        "setup_secret",
        spent,
        access=accounts.as_caller(work, user, DEFAULT_TENANT_ID),
    )
    return user


async def create_dev_admin(work: SystemWork, identity: Identity) -> None:
    """The specification's account, with a password that everybody knows. Made once.

    It hashes inside the transaction: at the start of dev mode nobody waits.

    Raises:
        ValueError: this is not dev mode.
    """
    if not identity.settings.dev:
        raise ValueError("a well-known password outside of dev mode")
    if await accounts.find(work, DEV_EMAIL) is None:
        hashed = await identity.passwords.hash(DEV_PASSWORD)
        await _make_admin(work, email=DEV_EMAIL, name="Admin", password_hash=hashed)


async def _make_admin(work: SystemWork, *, email: str, name: str, password_hash: str) -> User:
    return await accounts.create_user(
        work,
        email=email,
        name=name,
        password_hash=password_hash,
        tenant_id=DEFAULT_TENANT_ID,
        role=Role.ADMIN,
        platform_admin=True,
    )


async def _has_admin(work: SystemWork) -> bool:
    query = select(User.id).where(User.platform_admin).limit(1)
    return await work.session.scalar(query) is not None
