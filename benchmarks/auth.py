"""Signing in beside the bare hash, everybody else while passwords are guessed, refreshing, and
knowing a caller among many."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import cycle
from statistics import median
from typing import Any

from argon2 import PasswordHasher
from fastapi import FastAPI
from sqlalchemy import update

from benchmarks import report
from benchmarks.auth_overhead import PATH, access_tokens, ask, nothing
from benchmarks.databases import Database, database, kinds
from benchmarks.guessing import LOGIN
from benchmarks.load import Answered, Client, closed_loop, fetch, open_loop, post, request
from benchmarks.seed import seed
from benchmarks.server import Server, maestro
from maestro_ml.api.main import create_app
from maestro_ml.core.settings import Settings
from maestro_ml.core.settings_groups import Database as DatabaseSettings
from maestro_ml.core.settings_groups import Log
from maestro_ml.db.engine import make_engines
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import User
from maestro_ml.identity.passwords import SLOTS
from maestro_ml.migrations.run import upgrade

PASSWORD = "four words of one benchmark"
HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
ROUNDS, SECONDS = 4, 4.0
SIGNING_IN = 2 * SLOTS  # clients, so that no slot waits for one
# So many that none has the twenty sessions at which each sign-in ends another.
PEOPLE = 400
GUESSERS = 50
READS_PER_SECOND = 20.0
REFRESHING = 4
# A browser renews its tokens every 15 minutes: so many a second are 18,000 people at work.
PACED, REFRESHES_PER_SECOND = 10, 20.0
FEW, MANY = (1, 10), (200, 50)  # tenants, people in each
ASKED, TURNS = 200, 15
PROJECTS = "/api/v1/projects"
GOAL_SHARE, GOAL_READ, GOAL_REFRESH, GOAL_RATIO = 0.8, 100, 20, 1.15


def main() -> None:
    found = {kind: measure(kind) for kind in kinds()}
    rows = [
        (f"{what}, {kind}", f"{value:.2f}")
        for kind, one in found.items()
        for what, value in one.items()
        if isinstance(value, float)
    ]
    report.table(f"{SLOTS} slots for hashes", ("what", "figure"), rows)
    goals = []
    for kind, one in found.items():
        loss = (1 - one["share of the bare limit"]) * 100
        goals += [
            report.verdict(f"logins below the limit, {kind}", loss, (1 - GOAL_SHARE) * 100, "%"),
            report.verdict(f"read p95, {kind}", one["read p95 ms, guessed"], GOAL_READ, "ms"),
            report.verdict(f"refresh p95, {kind}", one["refresh p95 ms"], GOAL_REFRESH, "ms"),
            report.verdict(f"many : few, {kind}", one["CPU, many : few"], GOAL_RATIO, "x"),
        ]
    report.save("auth", {**found, "goals": goals})


def measure(kind: str) -> dict[str, Any]:
    with database(kind) as data:
        with maestro(data):
            pass  # the first start makes the schema
        keys = asyncio.run(seed(data.url, tenants=1, projects=50, people=PEOPLE)).keys
        asyncio.run(_give_password(data.url))
        with maestro(data) as server:
            done: dict[str, Any] = _logins(server)
            done |= _refreshes(server)
            done |= _reads(server, keys[0])
    with database(kind) as few, database(kind) as many:
        return done | asyncio.run(_many_and_few(few, many))


async def _give_password(url: str) -> None:
    engines = make_engines(url)
    async with Sessions(engines).begin(SYSTEM) as session:
        await session.execute(update(User).values(password_hash=HASHER.hash(PASSWORD)))
    await engines.dispose()


def _logins(server: Server) -> dict[str, float]:
    """In turns with threads that do nothing but hash. What the clients' process took of the cores
    is taken off the limit: it stands for people's own machines."""
    people = [f"person{n}@tenant0.test" for n in range(PEOPLE)]
    bodies = cycle([post(LOGIN, {"email": email, "password": PASSWORD}) for email in people])
    clients = [Client(lambda: next(bodies))] * SIGNING_IN
    closed_loop(server.port, clients, seconds=1)
    shares, rates, limits, hashes, cpu, took = [], [], [], [], [], []
    for _ in range(ROUNDS):
        limit, hash_cpu = _bare(SECONDS)
        served, ours = server.cpu_seconds(), time.process_time()
        done = closed_loop(server.port, clients, seconds=SECONDS)
        ours, served = time.process_time() - ours, server.cpu_seconds() - served
        if set(done.statuses) != {200}:
            raise SystemExit(f"signing in was answered with {done.statuses}")
        rate = done.statuses[200] / done.seconds
        left = 1 - ours / (done.seconds * SLOTS)
        shares.append(rate / (limit * left))
        rates.append(rate)
        limits.append(limit)
        hashes.append(hash_cpu)
        cpu.append(served * 1000 / done.statuses[200])
        took += done.milliseconds
    return {
        "bare hashes per second": median(limits),
        "logins per second": median(rates),
        "share of the bare limit": median(shares),
        "server CPU per login, ms": median(cpu),
        "CPU per bare hash, ms": median(hashes),
        "login p95 ms": report.spread(took)["p95"],
    }


def _bare(seconds: float) -> tuple[float, float]:
    """Hashes per second of as many threads as there are slots, and the CPU of one, in ms."""
    hashed = HASHER.hash(PASSWORD)
    done = [0] * SLOTS
    began, used = time.perf_counter(), time.process_time()

    def run(slot: int) -> None:
        while time.perf_counter() - began < seconds:
            HASHER.verify(hashed, PASSWORD)
            done[slot] += 1

    threads = [threading.Thread(target=run, args=(slot,)) for slot in range(SLOTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    used = time.process_time() - used
    return sum(done) / (time.perf_counter() - began), used * 1000 / sum(done)


def _refreshes(server: Server) -> dict[str, float]:
    """Sessions that renew their tokens: many at a steady pace, then a few as fast as they can."""
    even = _renewing(server, PACED, PACED / REFRESHES_PER_SECOND)
    full = _renewing(server, REFRESHING, 0.0)
    return {
        "refresh p50 ms": report.spread(even.milliseconds)["p50"],
        "refresh p95 ms": report.spread(even.milliseconds)["p95"],
        "refreshes per second at most": len(full.milliseconds) / full.seconds,
        "refresh p95 ms at most": report.spread(full.milliseconds)["p95"],
    }


def _renewing(server: Server, many: int, every: float) -> Answered:
    tokens = [_signed_in(server, number) for number in range(many)]

    def session(number: int) -> Client:
        def next_one() -> bytes:
            return post("/api/v1/auth/refresh", {"refresh_token": tokens[number]})

        def answered(status: int, body: bytes) -> None:
            if status != 200:
                raise SystemExit(f"refreshing was answered {status}: {body!r}")
            tokens[number] = json.loads(body)["refresh_token"]

        return Client(next_one, answered=answered, every=every)

    sessions = [session(number) for number in range(many)]
    return closed_loop(server.port, sessions, seconds=2 * SECONDS)


def _signed_in(server: Server, number: int) -> str:
    body = {"email": f"person{number}@tenant0.test", "password": PASSWORD}
    token: str = json.loads(fetch(server.port, post(LOGIN, body)))["refresh_token"]
    return token


def _reads(server: Server, key: str) -> dict[str, float]:
    """One reader at a steady pace: alone, while many guess from one address, and from many."""
    heads = [request(PROJECTS, key)]
    found: dict[str, float] = {}
    for name, addresses in (("alone", 0), ("guessed", GUESSERS), ("guessed from one address", 1)):
        with _guessing(server.port, addresses):
            asked = open_loop(server.port, heads, rate=READS_PER_SECOND, seconds=2 * SECONDS)
        if asked.failures:
            raise SystemExit(f"{len(asked.failures)} reads failed: {asked.failures[0]}")
        found[f"read p95 ms, {name}"] = report.spread(asked.milliseconds)["p95"]
    return found


@contextmanager
def _guessing(port: int, addresses: int) -> Iterator[None]:
    if not addresses:
        yield
        return
    words = [port, 2 * SECONDS + 2, GUESSERS, addresses]
    command = [sys.executable, "-m", "benchmarks.guessing", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        time.sleep(1)
        yield
        told, _ = process.communicate()
    print(f"  guesses from {addresses}: {told.decode().strip()}")


@asynccontextmanager
async def _app(
    data: Database, tenants: int, people: int
) -> AsyncIterator[tuple[FastAPI, Iterator[str]]]:
    """The application in this process, and its caller's proofs."""
    await upgrade(data.url)
    seeded = await seed(data.url, tenants=tenants, projects=tenants, people=people)
    settings = Settings(
        data=data.folder / "data", database=DatabaseSettings(url=data.url), log=Log(level="error")
    )
    settings.data.mkdir(mode=0o700)
    app = create_app(settings, greet=False)
    app.add_api_route(PATH, nothing)
    async with app.router.lifespan_context(app):
        proofs = [(await access_tokens(app, key, 1))[0] for key in seeded.keys[:20]]
        yield app, cycle(proofs)


async def _many_and_few(few: Database, many: Database) -> dict[str, float]:
    """CPU for a trivial request of somebody known, with a few accounts and with very many."""
    took: dict[str, list[float]] = {"few": [], "many": []}
    async with _app(few, *FEW) as small, _app(many, *MANY) as large:
        for turn in range(TURNS + 1):
            for name, (app, proofs) in (("few", small), ("many", large)):
                began = time.process_time()
                for _ in range(ASKED):
                    await ask(app, next(proofs))
                if turn:  # the first one warms up
                    took[name].append((time.process_time() - began) * 1000 / ASKED)
    middle = {name: median(one) for name, one in took.items()}
    return {
        "CPU ms, few": middle["few"],
        "CPU ms, many": middle["many"],
        "CPU, many : few": middle["many"] / middle["few"],
    }
