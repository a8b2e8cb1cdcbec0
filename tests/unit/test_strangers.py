"""Strangers come in one by one, so that those who are known are not behind all of them."""

import asyncio
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from maestro_ml.http.entry import Entry

LOGIN = "/api/v1/auth/login"
MANY = 50


class Inside:
    """What stands behind the door; nobody leaves before they are told to."""

    def __init__(self) -> None:
        self.entered = 0
        self.leave = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.entered += 1
        await self.leave.wait()


async def nothing() -> Message:
    return {"type": "http.disconnect"}


async def nowhere(_: Message) -> None: ...


def come(door: Entry, method: str = "POST") -> asyncio.Task[Any]:
    scope: Scope = {"type": "http", "method": method, "path": LOGIN, "http_version": "1.0"}
    scope.update(raw_path=LOGIN.encode(), query_string=b"", headers=[])

    async def ask() -> None:
        await door(scope, nothing, nowhere)

    return asyncio.create_task(ask())


async def test_of_many_one_comes_in_while_everybody_else_has_a_turn() -> None:
    inside = Inside()
    door = Entry(inside)
    strangers = [come(door) for _ in range(MANY)]
    for _ in range(4 * MANY):
        before = inside.entered
        await asyncio.sleep(0)
        assert inside.entered <= before + 1
    assert inside.entered == MANY  # though none of them has left
    inside.leave.set()
    await asyncio.gather(*strangers)


async def test_who_gives_up_at_the_door_holds_nobody_up() -> None:
    inside = Inside()
    door = Entry(inside)
    strangers = [come(door) for _ in range(MANY)]
    await asyncio.sleep(0)
    for one in strangers[: MANY // 2]:
        one.cancel()
    inside.leave.set()
    async with asyncio.timeout(20):
        await asyncio.gather(*strangers, return_exceptions=True)
    assert inside.entered >= MANY // 2


async def test_who_asks_for_a_page_does_not_stand_in_line() -> None:
    inside = Inside()
    door = Entry(inside)
    readers = [come(door, "GET") for _ in range(MANY)]
    await asyncio.sleep(0)
    assert inside.entered == MANY
    inside.leave.set()
    await asyncio.gather(*readers)
