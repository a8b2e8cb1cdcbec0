"""Races: forty at once, round after round, and what each round has to end with."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpx2

from support.proof import record, scale

AT_ONCE = 40
ROUNDS = scale(5, 25)
EACH = range(AT_ONCE)


async def race(attempts: Iterable[Awaitable[Any]]) -> Counter[Any]:
    """All of them at once: how many ended how, an answer being its status."""
    done = await asyncio.gather(*attempts)
    return Counter(one.status_code if isinstance(one, httpx2.Response) else one for one in done)


async def rounds(one: Callable[[int], Awaitable[None]]) -> None:
    """Every round by its number, also after one that failed: a race is lost now and then, and how
    often is part of what is said of it."""
    lost: dict[int, AssertionError] = {}
    for number in range(ROUNDS):
        try:
            await one(number)
        except AssertionError as failure:
            lost[number] = failure
    record("rounds of races", ROUNDS)
    said = "\n".join(f"round {number}: {failure}" for number, failure in lost.items())
    assert not lost, f"{len(lost)} of {ROUNDS} rounds were lost\n{said}"
