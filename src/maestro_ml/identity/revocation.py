"""What Redis is told of ended sessions, so that the dead tokens cost the database nothing.

The database is the truth and is asked for every token that Redis does not know as dead. So Redis
can only refuse, never let in; and if it is gone, nothing changes but the cost.
"""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from maestro_ml.core.clock import Clock
from maestro_ml.core.errors import Unavailable
from maestro_ml.identity.keys import LEEWAY, LIFETIME

log = structlog.get_logger()
KEPT_SECONDS = int((LIFETIME + LEEWAY).total_seconds())
_PATIENCE = 0.5  # seconds for an answer
_PAUSE = timedelta(seconds=5)  # after none, the database alone is asked


class Revocations:
    def __init__(self, url: str | None, clock: Clock) -> None:
        self._clock = clock
        self._redis: Redis | None = None
        if url is not None:
            self._redis = Redis.from_url(
                url,
                socket_timeout=_PATIENCE,
                socket_connect_timeout=_PATIENCE,
                retry=Retry(NoBackoff(), 0),
            )
        self._paused_until: datetime | None = None
        self._telling: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        if self._redis is not None:
            await self.settled()
            await self._redis.aclose()

    async def check(self) -> None:
        """Raises:
        Unavailable: Redis does not answer.
        """
        if self._redis is None:
            return
        try:
            await self._redis.get("maestro:check")
        except (RedisError, OSError):
            raise Unavailable("Redis does not answer.") from None

    async def settled(self) -> None:
        """Until Redis was told all there is to tell."""
        while self._telling:
            await asyncio.wait(self._telling)

    def session_ended(self, session: UUID) -> None:
        self._tell(f"revoked:sid:{session}", "1")

    def user_ended(self, user: UUID, now: datetime) -> None:
        """Every session of the user that there was until now."""
        self._tell(f"epoch:user:{user}", str(int(now.timestamp())))

    async def ended(self, session: UUID, user: UUID, issued_at: int) -> bool:
        """Whether Redis knows this token as dead. False says nothing: ask the database."""
        if self._redis is None or self._is_paused():
            return False
        try:
            revoked, epoch = await self._redis.mget(f"revoked:sid:{session}", f"epoch:user:{user}")
        except (RedisError, OSError) as gone:
            self._pause(gone)
            return False
        # Clocks differ a little: what was issued about then is the database's to judge.
        before = issued_at + LEEWAY.total_seconds()
        return revoked is not None or (epoch is not None and before < int(epoch))

    def _tell(self, key: str, value: str) -> None:
        if self._redis is None or self._is_paused():
            return
        task = asyncio.get_running_loop().create_task(self._set(self._redis, key, value))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _set(self, redis: Redis, key: str, value: str) -> None:
        try:
            await redis.set(key, value, ex=KEPT_SECONDS)
        except (RedisError, OSError) as gone:
            self._pause(gone)

    def _is_paused(self) -> bool:
        return self._paused_until is not None and self._clock() < self._paused_until

    def _pause(self, gone: Exception) -> None:
        self._paused_until = self._clock() + _PAUSE
        log.warning("identity.redis_gone", reason=type(gone).__name__)
