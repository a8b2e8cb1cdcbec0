"""What can be told apart, or held up, by time: whether an address has an account, how long the
longest passwords occupy the server, and who reads while a hundred sign in."""

import asyncio
import http.client
import json
import random
import threading
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from statistics import median
from typing import Any

from argon2 import PasswordHasher
from sqlalchemy import update

from benchmarks import report
from benchmarks.databases import database, kinds
from benchmarks.guessing import LOGIN
from benchmarks.load import Client, closed_loop, open_loop, post, request
from benchmarks.seed import seed
from benchmarks.server import Server, maestro
from maestro_ml.db.engine import make_engines
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import User
from maestro_ml.identity.passwords import SLOTS

FORGOT = "/api/v1/auth/password/forgot"
PASSWORD = "four words of one benchmark"
WRONG = "a guess among very many"
HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
PEOPLE = 330
PAIRS, EACH, WARM = 200, 8, 1  # pairs; those on one connection: 20 wrong ones slow an address
SIZES = {"0.9 MB": 900_000, "1 MB": 2**20, "10 MB": 10 * 2**20}
SENT = 5
AT_ONCE, WAVES, PAUSE = 100, 3, 1.5
READS_PER_SECOND = 20.0
GOAL_MEDIANS, GOAL_AUC = 5, 0.10
GOAL_LONG, GOAL_LONG_CPU, GOAL_READ = 200, 50, 200
GOAL_MEMORY = 19 * SLOTS + 50
GOAL_ANY, GOAL_LOGIN = 2000, 5000


def main() -> None:
    found = {kind: measure(kind) for kind in kinds()}
    rows = [
        (f"{what}, {kind}", f"{x:.2f}") for kind, one in found.items() for what, x in one.items()
    ]
    report.table("By time", ("what", "figure"), rows)
    goals = []
    for kind, one in found.items():
        for what, goal, unit in _goals():
            goals.append(report.verdict(f"{what}, {kind}", one[what], goal, unit))
    report.save("timing", {**found, "goals": goals})


def _goals() -> Iterator[tuple[str, float, str]]:
    for what in ("sign-in", "forgotten password"):
        yield f"{what}, known beside unknown: medians apart", GOAL_MEDIANS, "ms"
        yield f"{what}, known beside unknown: AUC from 0.5", GOAL_AUC, ""
    for size in SIZES:
        yield f"password of {size} answered", GOAL_LONG, "ms"
        yield f"password of {size}, server CPU", GOAL_LONG_CPU, "ms"
    yield f"read p95 during {AT_ONCE} sign-ins at once", GOAL_READ, "ms"
    yield f"read p99 during {AT_ONCE} sign-ins at once", GOAL_ANY, "ms"
    yield f"sign-in p99, {AT_ONCE} at once", GOAL_LOGIN, "ms"
    yield f"memory more during {AT_ONCE} sign-ins at once", GOAL_MEMORY, "MB"


def measure(kind: str) -> dict[str, float]:
    with database(kind) as data:
        with maestro(data):
            pass  # the first start makes the schema
        keys = asyncio.run(seed(data.url, tenants=1, projects=50, people=PEOPLE)).keys
        asyncio.run(_give_password(data.url))
        with maestro(data) as server:
            done = _long(server)
            done |= _pairs(server, "forgotten password", FORGOT, {})
            done |= _pairs(server, "sign-in", LOGIN, {"password": WRONG})
            done |= _at_once(server, keys[0])
    return done


async def _give_password(url: str) -> None:
    engines = make_engines(url)
    async with Sessions(engines).begin(SYSTEM) as session:
        await session.execute(update(User).values(password_hash=HASHER.hash(PASSWORD)))
    await engines.dispose()


def _person(number: int) -> str:
    return f"person{number}@tenant0.test"


def _pairs(server: Server, what: str, path: str, more: dict[str, str]) -> dict[str, float]:
    """Pairs of one address that is known and one that is not, in an order of chance, a few on each
    connection, which is warm."""
    dice, answered = random.Random(7), Counter[int]()
    known: list[float] = []
    unknown: list[float] = []
    people = count()
    for n in range(PAIRS // EACH):
        with _connection(server, f"127.3.{n}.1") as asked:
            for turn in range(EACH + WARM):
                person = next(people) % PEOPLE
                pair = [(known, _person(person)), (unknown, f"nobody{person}.{n}@tenant0.test")]
                dice.shuffle(pair)
                for took, email in pair:
                    milliseconds, status = _timed(asked, path, {"email": email} | more)
                    answered[status] += 1
                    if turn >= WARM:
                        took.append(milliseconds)
    if len(answered) != 1 or 429 in answered:
        raise SystemExit(f"{path} was answered with {answered}")
    return {
        f"{what}, known ms": median(known),
        f"{what}, unknown ms": median(unknown),
        f"{what}, known beside unknown: medians apart": abs(median(known) - median(unknown)),
        f"{what}, known beside unknown: AUC from 0.5": abs(auc(known, unknown) - 0.5),
    }


def auc(first: Sequence[float], second: Sequence[float]) -> float:
    """How often one of the first is the greater of two; 0.5: nothing tells them apart."""
    ordered = sorted(second)
    below = sum(bisect_left(ordered, one) + bisect_right(ordered, one) for one in first)
    return below / (2 * len(first) * len(second))


def _long(server: Server) -> dict[str, float]:
    """Passwords of megabytes, on a connection each: how long for the answer, and how much CPU."""
    found: dict[str, float] = {}
    for name, size in SIZES.items():
        body = {"email": _person(0), "password": "x" * size}
        took = []
        used = server.cpu_seconds()
        for n in range(SENT):
            with _connection(server, f"127.4.{n}.1") as asked:
                milliseconds, status = _timed(asked, LOGIN, body)
                if status not in {413, 422}:
                    raise SystemExit(f"a password of {name} was answered {status}")
                took.append(milliseconds)
        found[f"password of {name} answered"] = median(took)
        used = server.cpu_seconds() - used
        found[f"password of {name}, server CPU"] = used * 1000 / SENT
    return found


@contextmanager
def _connection(server: Server, source: str) -> Iterator[http.client.HTTPConnection]:
    asked = http.client.HTTPConnection(
        "127.0.0.1", server.port, timeout=60, source_address=(source, 0)
    )
    try:
        asked.connect()
        yield asked
    finally:
        asked.close()


def _timed(asked: http.client.HTTPConnection, path: str, body: dict[str, str]) -> tuple[float, int]:
    sent = json.dumps(body).encode()
    began = time.perf_counter()
    with suppress(ConnectionError):  # what is too large is answered before all of it was sent
        asked.request("POST", path, sent, {"Content-Type": "application/json"})
    answer = asked.getresponse()
    answer.read()
    return (time.perf_counter() - began) * 1000, answer.status


def _at_once(server: Server, key: str) -> dict[str, float]:
    """Waves of sign-ins, right and wrong mixed, beside one reader at a steady pace."""
    before, most = _resident(server), [0.0]
    logins: list[float] = []
    statuses: Counter[int] = Counter()
    over = threading.Event()

    def waves() -> None:
        for wave in range(WAVES):
            done = closed_loop(server.port, [_login(wave, n) for n in range(AT_ONCE)], seconds=0)
            logins.extend(done.milliseconds)
            statuses.update(done.statuses)
            time.sleep(PAUSE)

    def watch() -> None:
        while not over.wait(0.05):
            most[0] = max(most[0], _resident(server))

    threads = [threading.Thread(target=waves), threading.Thread(target=watch)]
    for thread in threads:
        thread.start()
    heads = [request("/api/v1/projects", key)]
    asked = open_loop(
        server.port, heads, rate=READS_PER_SECOND, seconds=WAVES * (PAUSE + 2), timeout=30
    )
    threads[0].join()
    over.set()
    threads[1].join()
    if asked.failures:
        raise SystemExit(f"{len(asked.failures)} reads failed: {asked.failures[0]}")
    if set(statuses) - {200, 401, 429, 503} or not statuses[200] or not statuses[401]:
        raise SystemExit(f"signing in at once was answered with {statuses}")
    reads = report.spread(asked.milliseconds)
    print(f"  {AT_ONCE} at once, {WAVES} times, were answered {dict(statuses)}")
    return {
        f"read p95 during {AT_ONCE} sign-ins at once": reads["p95"],
        f"read p99 during {AT_ONCE} sign-ins at once": reads["p99"],
        f"sign-in p99, {AT_ONCE} at once": report.spread(logins)["p99"],
        f"memory more during {AT_ONCE} sign-ins at once": max(0.0, most[0] - before),
    }


def _resident(server: Server) -> float:
    """Of the process alone, in MB: it hashes itself, and to look for others takes long."""
    return float(server.process.memory_info().rss) / 2**20


def _login(wave: int, number: int) -> Client:
    """Somebody who has not been tried yet, from one of many addresses; every other one is wrong."""
    person = (wave * AT_ONCE + number) % PEOPLE
    body: dict[str, Any] = {"email": _person(person), "password": PASSWORD if number % 2 else WRONG}
    return Client(lambda: post(LOGIN, body), source=f"127.5.{number}.{wave + 1}")


if __name__ == "__main__":
    main()
