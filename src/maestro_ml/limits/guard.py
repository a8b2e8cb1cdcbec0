"""Who may try, and how often: the text of it is docs/guides/limits.md.

    async with limits.guess("user:...") as guess:        # a password or a code: few bits
        ...                                              # raise Unauthenticated: it was wrong
        await guess.passed(work)                         # it was right

    await limits.wrong("refresh")                        # a token, which nobody guesses, was none
    await limits.take("password-forgot", Rate(3, 3600), of=account)

`guess` tries nothing while there is a wait. `wrong` is asked only about what was wrong, so good
tokens work from an address that sends bad ones.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from weakref import WeakValueDictionary

from maestro_ml.core.access import Access
from maestro_ml.core.clock import Clock
from maestro_ml.core.errors import Unauthenticated
from maestro_ml.db.redis import RedisOrNot
from maestro_ml.db.work import Sessions, SystemWork
from maestro_ml.limits import counters
from maestro_ml.limits.counters import LONGEST, MOST_IN_A_ROW, Counters
from maestro_ml.limits.errors import AttemptsExhausted, RequestsExceeded, TooManyAttempts
from maestro_ml.limits.memory import MemoryMeters, Meters
from maestro_ml.limits.rates import Rate, Tap, address
from maestro_ml.limits.redis import RedisMeters

PER_ADDRESS = Rate(20, 5 * 60)
WHOLE_SERVER = Rate(1000, 5 * 60)
# Scripts with an old API key are many in an office, and each looks up one row.
LOOKUPS_PER_ADDRESS = Rate(100, 5 * 60)


class Guess:
    """One try at an account's password or code."""

    def __init__(self, key: str) -> None:
        self._key = key
        self.counted = 0  # failures in a row, this one included
        self.right = False

    @property
    def exhausts(self) -> bool:
        """Whether this failure was the last one that may be."""
        return self.counted == MOST_IN_A_ROW

    async def passed(self, work: SystemWork) -> None:
        """It was right: the account's failures are forgotten, when the work commits."""
        self.right = True
        if self.counted:
            await counters.forget(work, self._key)


class Limits:
    """Built once. `open` before the first request."""

    def __init__(self, sessions: Sessions, redis: RedisOrNot, clock: Clock) -> None:
        self._clock = clock
        self._redis = redis
        self._counters = Counters(sessions, clock)
        # Rates that outlive this process, and those that are not worth a write.
        self._lasting: Meters = self._counters
        self._quick: Meters = MemoryMeters()
        self._ahead: Counter[str] = Counter()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def open(self, installation: str) -> None:
        """From now on Redis, if there is one, counts for this installation."""
        if self._redis.there:
            space = f"limits:{installation}:"
            self._lasting = RedisMeters(self._redis, self._counters, space)
            self._quick = RedisMeters(self._redis, self._quick, space)

    async def close(self) -> None:
        await self._counters.close()

    @asynccontextmanager
    async def guess(self, account: str) -> AsyncIterator[Guess]:
        """Guard a try at something that could be guessed. `account` names whose it is, whether or
        not there is such an account.

        Raises:
            TooManyAttempts: nothing was tried; the account, the address or the server has to wait.
            AttemptsExhausted: nothing is tried any more, until `forget`.
        """
        guess = Guess(_key_of(account))
        taps = [Tap("guesses", WHOLE_SERVER), *_from_here("guesses", PER_ADDRESS)]
        # One after the other for each account, so that of forty at once five are tried.
        async with self._turn(guess._key), self._in_flight(taps):
            beforehand = await self._count_beforehand(guess)
            try:
                yield guess
            except (Unauthenticated, asyncio.CancelledError):
                await self._failed(guess, taps)
                raise
            except BaseException:
                if beforehand:
                    await self._counters.take_back(guess._key, self._now())
                raise
            if beforehand and not guess.right:
                await self._counters.take_back(guess._key, self._now())

    async def wrong(self, what: str, rate: Rate = PER_ADDRESS) -> None:
        """Count a token that was none. The caller then says what it says of those.

        Raises:
            TooManyAttempts: there were too many from this address: say this instead.
        """
        await self._take(self._lasting, _from_here(what, rate))

    async def wrong_lookup(self) -> None:
        """The same for what every request may carry: it is counted without a write.

        Raises:
            TooManyAttempts: there were too many from this address.
        """
        await self._take(self._quick, _from_here("lookups", LOOKUPS_PER_ADDRESS))

    async def take(self, what: str, rate: Rate, *, of: str) -> None:
        """Count one of something that has a rate of its own, for each `of`.

        Raises:
            TooManyAttempts: there were as many as may be.
        """
        await self._take(self._lasting, [Tap(f"{what}:{_hashed(of)}", rate)])

    @asynccontextmanager
    async def told(self, what: str, rate: Rate) -> AsyncIterator[None]:
        """Let an address learn something only so often: inside, `wrong` with the same words counts
        what was told. Beyond it nothing is looked up, for what is there and what is not alike.

        Raises:
            TooManyAttempts: this address has learned as much as it may.
        """
        taps = _from_here(what, rate)
        async with self._turn("".join(tap.key for tap in taps)):
            for tap in taps:
                wait = await self._lasting.wait(tap, self._now())
                if wait:
                    raise TooManyAttempts(wait)
            yield

    async def admit(self, access: Access) -> None:
        """Count a request of a tenant that has a limit on them.

        Raises:
            RequestsExceeded: it has sent as many as it may.
        """
        allowed = access.max_requests_per_minute
        if allowed is None:
            return
        tap = Tap(f"tenant:{access.tenant_id}", Rate(max(allowed, 1), 60))
        wait = await self._quick.take(tap, self._now())
        if wait:
            raise RequestsExceeded(allowed, wait)

    async def _take(self, meters: Meters, taps: list[Tap]) -> None:
        for tap in taps:
            wait = await meters.take(tap, self._now())
            if wait:
                raise TooManyAttempts(wait)

    def _turn(self, key: str) -> asyncio.Lock:
        return self._turns.setdefault(key, asyncio.Lock())

    @asynccontextmanager
    async def _in_flight(self, taps: list[Tap]) -> AsyncIterator[None]:
        """Whoever is trying now counts as if it were wrong, until that is known."""
        names = [tap.key for tap in taps]
        ahead = [self._ahead[name] for name in names]
        self._ahead.update(names)
        try:
            waits = [
                await self._lasting.wait(tap, self._now(), others)
                for tap, others in zip(taps, ahead, strict=True)
            ]
            if any(waits):
                raise TooManyAttempts(max(waits))
            yield
        finally:
            self._ahead.subtract(names)
            self._ahead += Counter()  # keeps none that are at 0

    async def _count_beforehand(self, guess: Guess) -> bool:
        """An account that has failed before is counted before anything is tried, which is exact for
        any number of processes. One that has not is counted when it fails, so that signing in
        rightly costs no write."""
        while found := await self._counters.failures(guess._key):
            if found.exhausted:
                raise AttemptsExhausted(LONGEST)
            now = self._now()
            if found.until > now + LONGEST:
                await self._counters.set_back(guess._key, now + LONGEST)
            if found.until > now:
                raise TooManyAttempts(min(found.until - now, LONGEST))
            counted = await self._counters.fail_once_more(guess._key, now)
            if counted is not None:
                guess.counted = counted
                return True
        return False

    async def _failed(self, guess: Guess, taps: list[Tap]) -> None:
        if not guess.counted:
            guess.counted = await self._counters.fail(guess._key, self._now())
        for tap in taps:
            await self._lasting.take(tap, self._now())

    def _now(self) -> float:
        return self._clock().timestamp()


async def forget(work: SystemWork, account: str) -> None:
    """Let an account be tried again, for instance after its password was reset."""
    await counters.forget(work, _key_of(account))


def _from_here(what: str, rate: Rate) -> list[Tap]:
    """Nobody's address, behind a Unix socket, has no limit of its own."""
    here = address()
    return [] if here is None else [Tap(f"{what}:{here}", rate)]


def _key_of(account: str) -> str:
    return f"failures:{_hashed(account)}"


def _hashed(text: str) -> str:
    """People type passwords where an e-mail address belongs: what they typed is not kept."""
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
