"""Passwords: which ones are taken, and how they are kept.

The rules are NIST SP 800-63B-4's: long enough, not well known, not made of what an attacker tries
first, and nothing about which kinds of characters there must be.
"""

import asyncio
import os
import re
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import TypeVar

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from zxcvbn_rs_py import zxcvbn

from maestro_ml.core.settings import Settings
from maestro_ml.identity.errors import PasswordRefused, TooManyPasswords

T = TypeVar("T")
MAX_POINTS, MAX_BYTES = 128, 1024
DEV_MIN_LENGTH = 6
SLOTS = os.cpu_count() or 1
QUEUE = 20
_NICE = 10
_HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
_SCORED = 64  # the estimate is quadratic, and 64 characters say enough
_LEAST_SCORE = 3
_PRODUCT = ("maestro", "maestroml", "maestro-ml")
# What people put beside a name to make a password of it.
_FILLERS = ("administrator", "admin", "root", "user", "password", "passwort", "login", "welcome")
_LEET = str.maketrans("@4301!5$7", "aaeoiisst")
_YEAR = re.compile(r"(19|20)\d\d")
WITH_SECOND_FACTOR = 8  # characters, where a password is not all there is (NIST SP 800-63B-4)
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "1234567890", "qwertzuiop", "azertyuiop")
_STEPS = {pair for row in _ROWS for text in (row, row[::-1]) for pair in pairwise(text)}


def normal(password: str) -> str:
    """The same text typed on another keyboard is the same password."""
    return unicodedata.normalize("NFC", password)


class Passwords:
    def __init__(self, settings: Settings) -> None:
        self._dev = settings.dev
        self.min_length = DEV_MIN_LENGTH if settings.dev else settings.auth.password_min_length
        self._dummy = _dummy()
        self._slots = asyncio.Semaphore(SLOTS)
        self._threads = ThreadPoolExecutor(SLOTS, "passwords", initializer=_give_way)
        self._under_way = 0
        self.hashed = 0

    def check(self, password: str, *, words: Iterable[str] = (), least: int | None = None) -> None:
        """Whether this may become a password; `words` is what is known of its owner, `least` how
        long it has to be if not as long as elsewhere.

        Raises:
            PasswordRefused: it may not; the detail names the rule.
        """
        if not _fits(password):
            raise PasswordRefused(
                "long", f"A password has at most {MAX_POINTS} characters ({MAX_BYTES} bytes)."
            )
        password = normal(password)
        least = self.min_length if least is None else min(least, self.min_length)
        if len(password) < least:
            raise PasswordRefused(
                "length", f"A password has at least {least} characters; this is shorter."
            )
        if not self._dev:
            _check_guessable(password, [*_PRODUCT, *_parts(words)])

    def check_room(self) -> None:
        """Asked before anything is written down for somebody who would not get a turn.

        Raises:
            TooManyPasswords: too many are waiting already.
        """
        if self._under_way >= SLOTS + QUEUE:
            raise TooManyPasswords

    async def hash(self, password: str) -> str:
        """Raises:
        TooManyPasswords: too many are waiting already.
        """
        return await self._in_slot(lambda: _HASHER.hash(normal(password)))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether this is the password. It costs one hash, whoever is asked for.

        Raises:
            TooManyPasswords: too many are waiting already.
        """
        if not _fits(password):
            return False
        return await self._in_slot(lambda: self._matches(normal(password), stored))

    def needs_rehash(self, stored: str) -> bool:
        try:
            return _HASHER.check_needs_rehash(stored)
        except InvalidHashError:
            return True

    def _matches(self, password: str, stored: str | None) -> bool:
        if stored is not None and stored.startswith("$2"):
            try:
                # bcrypt never looked further than that, and now refuses to be given more
                return bcrypt.checkpw(password.encode()[:72], stored.encode())
            except ValueError:
                stored = None
        known = stored is not None and stored.startswith("$argon2id$")
        try:
            right = _HASHER.verify(stored if known and stored else self._dummy, password)
        except VerifyMismatchError:
            return False
        except VerificationError:  # junk is seen at once: it must not answer faster
            return self._matches(password, None)
        return right and known

    async def _in_slot(self, run: Callable[[], T]) -> T:
        self.check_room()
        self._under_way += 1
        try:
            async with self._slots:
                self.hashed += 1
                return await asyncio.get_running_loop().run_in_executor(self._threads, run)
        finally:
            self._under_way -= 1


def _give_way() -> None:
    """Hashing takes whole cores, so it gets what the rest of the server leaves: who is signed in
    does not wait for people who guess. Elsewhere threads have no priority of their own."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        given = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, max(given, _NICE))  # only root may lower it


@cache
def _dummy() -> str:
    """What is compared for an account that does not exist, at the same cost."""
    return _HASHER.hash("nobody has this password")


def _fits(password: str) -> bool:
    """Asked before anything whose cost grows with the length."""
    return len(password) <= MAX_BYTES and (
        len(password.encode()) <= MAX_BYTES and len(normal(password)) <= MAX_POINTS
    )


def _check_guessable(password: str, words: list[str]) -> None:
    folded = password.casefold()
    if folded in _BLOCKED or _squeezed(folded) in _BLOCKED:
        raise PasswordRefused("common", "This password is well known: attackers try it first.")
    if len(set(folded)) < 5 or _unit(folded) < 8:
        raise PasswordRefused("repeated", "This password repeats the same few characters.")
    if _steps(folded) > 0.7:
        raise PasswordRefused(
            "sequence", "This password follows the keyboard, the alphabet or the numbers."
        )
    if any(_is_of(text, words) for text in (folded, _squeezed(folded.translate(_LEET)))):
        raise PasswordRefused(
            "context",
            "This password is made of your name, your e-mail address, your organisation's name or "
            "the product's name, and too little else.",
        )
    if _score(password, words) < _LEAST_SCORE:
        raise PasswordRefused(
            "weak", "This password is easy to guess: add a few words that do not belong together."
        )


def _parts(words: Iterable[str]) -> list[str]:
    """Each word, and the pieces of it."""
    return [
        piece
        for word in words
        for folded in [normal(word).casefold()]
        for piece in {folded, _squeezed(folded), *re.split(r"[\W_]+", folded)}
        if len(piece) >= 3
    ]


def _is_of(text: str, words: list[str]) -> bool:
    """Whether little is left of the text when the words and what goes with them are taken out."""
    rest = _without(text, words)
    if rest == text:
        return False
    return _score(_without(_YEAR.sub(" ", rest), _FILLERS), words) < _LEAST_SCORE


def _without(text: str, words: Iterable[str]) -> str:
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, " ")
    return text


def _score(password: str, words: list[str]) -> int:
    return int(zxcvbn(password[:_SCORED], [word[:_SCORED] for word in words]).score)


def _squeezed(folded: str) -> str:
    return "".join(char for char in folded if char.isalnum())


def _unit(text: str) -> int:
    """The length of the piece that the whole text repeats; its own length if it does not."""
    return (text + text).find(text, 1)


def _steps(text: str) -> float:
    """How much of the text goes on from one character to its neighbour."""
    pairs = list(pairwise(text))
    near = [pair in _STEPS or abs(ord(pair[1]) - ord(pair[0])) == 1 for pair in pairs]
    return sum(near) / max(len(pairs), 1)


_BLOCKED = frozenset((files(__package__) / "blocklist.txt").read_text("utf-8").splitlines())
