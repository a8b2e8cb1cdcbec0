"""Redis, which may be away: then the answer is None, and for a moment it is not asked again."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from maestro_ml.core.clock import Clock
from maestro_ml.core.errors import Unavailable

T = TypeVar("T")
log = structlog.get_logger()
_PATIENCE = 1.0  # seconds for an answer
_CONNECTIONS = 8  # many at once wait for their turn, which is quicker than connecting
_PAUSE = timedelta(seconds=5)  # after none, it is left alone


class RedisOrNot:
    """Without an address there is none, and every answer is None."""

    def __init__(self, url: str | None, clock: Clock) -> None:
        self._clock = clock
        self._redis: Redis | None = None
        if url is not None:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=_CONNECTIONS,
                timeout=_PATIENCE,
                socket_timeout=_PATIENCE,
                socket_connect_timeout=_PATIENCE,
                retry=Retry(NoBackoff(), 0),
            )
            self._redis = Redis.from_pool(pool)
        self._paused_until: datetime | None = None

    @property
    def there(self) -> bool:
        """Whether it is worth asking."""
        paused = self._paused_until is not None and self._clock() < self._paused_until
        return self._redis is not None and not paused

    async def ask(self, question: Callable[[Redis], Awaitable[T]]) -> T | None:
        if self._redis is None or not self.there:
            return None
        try:
            return await question(self._redis)
        except (RedisError, OSError) as gone:
            self._paused_until = self._clock() + _PAUSE
            log.warning("redis.gone", reason=type(gone).__name__)
            return None

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

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()
