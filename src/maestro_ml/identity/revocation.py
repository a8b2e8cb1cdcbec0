"""What Redis is told of ended sessions, so that the dead tokens cost the database nothing.

The database is the truth and is asked for every token that Redis does not know as dead. So Redis
can only refuse, never let in; and if it is gone, nothing changes but the cost.
"""

import asyncio
from datetime import datetime
from uuid import UUID

from maestro_ml.db.redis import RedisOrNot
from maestro_ml.identity.keys import LEEWAY, LIFETIME

KEPT_SECONDS = int((LIFETIME + LEEWAY).total_seconds())


class Revocations:
    def __init__(self, redis: RedisOrNot) -> None:
        self._redis = redis
        self._telling: set[asyncio.Task[None]] = set()

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
        if not self._redis.there:
            return False
        names = (f"revoked:sid:{session}", f"epoch:user:{user}")
        revoked, epoch = await self._redis.ask(lambda redis: redis.mget(*names)) or (None, None)
        # Clocks differ a little: what was issued about then is the database's to judge.
        before = issued_at + LEEWAY.total_seconds()
        return revoked is not None or (epoch is not None and before < int(epoch))

    def _tell(self, key: str, value: str) -> None:
        if not self._redis.there:
            return
        task = asyncio.get_running_loop().create_task(self._set(key, value))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _set(self, key: str, value: str) -> None:
        await self._redis.ask(lambda redis: redis.set(key, value, ex=KEPT_SECONDS))
