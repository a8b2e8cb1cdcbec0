"""Rates that every process of an installation counts together, as long as Redis answers."""

from math import ceil

from redis.asyncio import Redis

from maestro_ml.db.redis import RedisOrNot
from maestro_ml.limits.memory import MemoryMeters, Meters
from maestro_ml.limits.rates import Tap

# A script runs alone. It does what `Rate.wait` says, and moves the time on if that says 0.
_TAKE = """
local now, step, slack = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local latest = tonumber(ARGV[4])
local till = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
if till > latest then
  till = latest
  redis.call('SET', KEYS[1], string.format('%.6f', till), 'EX', math.ceil(till - now))
end
if till - now > slack then return string.format('%.6f', till - now - slack) end
local moved = till + step
redis.call('SET', KEYS[1], string.format('%.6f', moved), 'EX', math.ceil(moved - now))
return '0'
"""


class RedisMeters:
    """`instead` counts while Redis is away: nothing opens then. `space` is the installation's own
    beginning of every key, for a Redis that serves several.

    What this process let through it counts for itself as well. So the change from one to the other
    gives nobody a second allowance, and whoever has used theirs up here is refused without asking.
    """

    def __init__(self, redis: RedisOrNot, instead: Meters, space: str) -> None:
        self._redis = redis
        self._instead = instead
        self._own = MemoryMeters()
        self._space = space

    async def wait(self, tap: Tap, now: float, ahead: int = 0) -> float:
        wait = await self._own.wait(tap, now, ahead)
        if wait:
            return wait
        found = await self._redis.ask(lambda redis: redis.mget(self._space + tap.key))
        if found is None:
            return await self._instead.wait(tap, now, ahead)
        until, latest = float(found[0] or 0), tap.rate.latest(now)
        if until > latest:
            await self._redis.ask(
                lambda redis: redis.set(
                    self._space + tap.key, f"{latest:.6f}", ex=ceil(latest - now)
                )
            )
        return tap.rate.wait(min(until, latest), now, ahead)

    async def take(self, tap: Tap, now: float) -> float:
        async def run(redis: Redis) -> bytes:
            rate = tap.rate
            arguments = (self._space + tap.key, now, rate.step, rate.slack, rate.latest(now))
            wait: bytes = await redis.eval(_TAKE, 1, *arguments)
            return wait

        wait = await self._own.wait(tap, now)
        if wait:
            return wait
        answer = await self._redis.ask(run)
        wait = await self._instead.take(tap, now) if answer is None else float(answer)
        return wait or await self._own.take(tap, now)
