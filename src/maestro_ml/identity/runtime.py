"""What identity keeps for as long as the server runs, and how a request becomes a caller."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import count
from typing import Annotated, NoReturn
from uuid import UUID

import structlog
from fastapi import Depends, Request

from maestro_ml.core.access import Access
from maestro_ml.core.clock import Clock, utc_now
from maestro_ml.core.errors import MaestroError, Unauthenticated
from maestro_ml.core.settings import Settings
from maestro_ml.db.redis import RedisOrNot
from maestro_ml.db.work import Sessions, SystemWork, open_system_work
from maestro_ml.identity import credentials, tokens
from maestro_ml.identity.credentials import AccessToken, ApiKeySecret
from maestro_ml.identity.issuers import Issuers
from maestro_ml.identity.keys import Claims, KeyRing, UnknownKey
from maestro_ml.identity.lookup import Lookup
from maestro_ml.identity.passwords import Passwords
from maestro_ml.identity.revocation import Revocations
from maestro_ml.identity.secret import Secret, load_secret
from maestro_ml.identity.service import activity, signing_keys
from maestro_ml.limits.guard import Limits
from maestro_ml.outbound.client import Outbound

log = structlog.get_logger()
RELOAD_AFTER = timedelta(seconds=10)
RELOADS = 6  # to one time that is written down what was used


class Identity:
    """Built once. Between `start` and `stop` it knows callers."""

    secret: Secret
    ring: KeyRing

    def __init__(self, settings: Settings, sessions: Sessions, clock: Clock) -> None:
        self.settings = settings
        self.sessions = sessions
        self.clock = clock
        self.passwords = Passwords(settings)
        self.lookup = Lookup(sessions.engines)
        url = settings.redis.url
        self.redis = RedisOrNot(url.get_secret_value() if url else None, clock)
        self.revocations = Revocations(self.redis)
        self.limits = Limits(sessions, self.redis, clock)
        self.outbound = Outbound(settings.outbound)
        self.issuers = Issuers(self.outbound, clock)
        self._csrf_key = b""
        self._loaded_at: datetime | None = None
        self._loading = asyncio.Lock()
        self._seen: dict[UUID, datetime] = {}
        self._used: dict[UUID, datetime] = {}
        self._keeping: asyncio.Task[None] | None = None

    @classmethod
    def build(cls, settings: Settings, sessions: Sessions, clock: Clock = utc_now) -> "Identity":
        """Touches neither disk nor network."""
        return cls(settings, sessions, clock)

    async def start(self) -> None:
        """Read, or make, the secret and the signing keys.

        Raises:
            SecretKeyRefused: the secret is weak, or not the one the keys were sealed with.
        """
        self.secret = await asyncio.to_thread(load_secret, self.settings)
        self._csrf_key = self.secret.derive("csrf")
        self.ring = KeyRing(self.secret)
        self.limits.open(self.ring.issuer)
        async with open_system_work(self.sessions, clock=self.clock) as work:
            await signing_keys.ensure(work, self.secret)
        await self.reload_keys()
        self._keeping = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeping
            await self._tidy(self.flush)
        await self.revocations.settled()
        await self.redis.close()
        await self.limits.close()
        await self.lookup.close()

    async def authenticate(self, request: Request) -> Access:
        """Who calls, as the database knows them at this moment.

        Raises:
            Unauthenticated: nobody that we know.
            TooManyAttempts: nor were many others from the same address.
            CsrfRefused: a change that a page of another site may have asked for.
            Unavailable: the database does not answer.
        """
        now = self.clock()
        credential = credentials.credential_of(request, self.settings)
        if isinstance(credential, ApiKeySecret):
            return await self._by_key(credential.text, now)
        if isinstance(credential, AccessToken):
            return await self._by_token(credential.text, now)
        found = await self.lookup.cookie(tokens.digest(credential.text), now)
        if found is None or found.access.session_id is None:
            await self._refuse(tokens.COOKIE, credential.text)
        credentials.check_origin(request, self.settings, self.csrf_token(found.access.session_id))
        self._seen[found.access.session_id] = now
        return found.access

    async def anew(self, access: Access) -> Access:
        """The same caller in the same session, as the database knows them at this moment.

        Raises:
            Unauthenticated: the session has ended.
        """
        session = access.session_id
        found = session and await self.lookup.session(session, self.clock())
        if not found:
            raise Unauthenticated
        return found.access

    async def recall(self, credential: UUID) -> Access:
        """Whoever has that session or API key, as the database knows them at this moment.

        Raises:
            Unauthenticated: it has ended.
        """
        now = self.clock()
        session = await self.lookup.session(credential, now)
        if session is not None:
            self._seen[credential] = now
            return session.access
        access = await self.lookup.key(credential, now)
        if access is None:
            raise Unauthenticated
        self._used[credential] = now
        return access

    def csrf_token(self, session: UUID) -> str:
        return credentials.csrf_token(self._csrf_key, session)

    async def signing_kid(self, work: SystemWork, kid: str | None = None) -> str:
        """The key that signs, as the database says inside this unit of work. `kid`: it was read
        there before, and is read whole if this process has not met it."""
        if kid is not None and self.ring.signs_with(kid):
            return kid
        row = await signing_keys.active(work)
        self.ring.learn(row)
        return row.kid

    async def reload_keys(self) -> None:
        async with open_system_work(self.sessions, read_only=True, clock=self.clock) as work:
            self.ring.take(await signing_keys.every(work))
        self._loaded_at = self.clock()

    async def fresh_keys(self) -> None:
        """As they were at most ten seconds ago."""
        async with self._loading:
            # Never mind which way: the clock may have been set back.
            if self._loaded_at is None or abs(self.clock() - self._loaded_at) >= RELOAD_AFTER:
                await self.reload_keys()

    async def flush(self) -> None:
        """Write down when sessions and keys were last used.

        Raises:
            Unavailable: the database does not answer; it is kept for the next time.
        """
        seen, self._seen = self._seen, {}
        used, self._used = self._used, {}
        if not seen and not used:
            return
        try:
            async with open_system_work(self.sessions, clock=self.clock) as work:
                await activity.note(work, seen, used)
        except BaseException:
            self._seen, self._used = seen | self._seen, used | self._used
            raise

    async def _by_key(self, text: str, now: datetime) -> Access:
        access = await self.lookup.api_key(tokens.digest(text), now)
        if access is None or access.api_key_id is None:
            await self._refuse(tokens.API_KEY, text)
        self._used[access.api_key_id] = now
        return access

    async def _refuse(self, kind: str, text: str) -> NoReturn:
        if await self.lookup.is_made_up(kind, tokens.digest(text)):
            await self.limits.wrong_lookup()
        raise Unauthenticated

    async def _by_token(self, text: str, now: datetime) -> Access:
        claims = await self._claims(text, now)
        if claims is None or await self.revocations.ended(claims.sid, claims.sub, claims.iat):
            raise Unauthenticated
        found = await self.lookup.session(claims.sid, now)
        if found is None or found.access.actor_id != claims.sub:
            raise Unauthenticated
        self._seen[claims.sid] = now
        return found.access

    async def _claims(self, text: str, now: datetime) -> Claims | None:
        try:
            return self.ring.verify(text, now)
        except UnknownKey:
            await self.fresh_keys()
        try:
            return self.ring.verify(text, now)
        except UnknownKey:
            return None

    async def _keep(self) -> None:
        """The keys are read every ten seconds: one that was stolen is trusted for no longer, in
        whichever process it is taken back. Once a minute, what was used is written down."""
        for turn in count(1):
            await asyncio.sleep(RELOAD_AFTER.total_seconds())
            await self._tidy(self.reload_keys)
            if turn % RELOADS == 0:
                await self._tidy(self.flush)

    async def _tidy(self, deed: Callable[[], Awaitable[None]]) -> None:
        try:
            await deed()
        except MaestroError as failed:
            log.warning("identity.keeping_failed", reason=failed.code)
        except Exception:  # a loop like the worker's: it outlives its own mistakes
            log.exception("identity.broken_loop")


async def _identity(request: Request) -> Identity:
    identity: Identity = request.app.state.identity
    return identity


TheIdentity = Annotated[Identity, Depends(_identity)]
