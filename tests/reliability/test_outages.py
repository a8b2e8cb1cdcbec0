"""What a server says while what it needs is away, and that it goes on by itself when it is back:
under load, over real sockets, with nothing acknowledged lost and nobody let in who was not."""

import asyncio
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import event

from maestro_ml.api.main import create_app
from maestro_ml.core.settings import Settings
from support.crash_load import AWAY, WELL, load
from support.crash_postgres import a_postgres
from support.crash_server import Loaded, QuickServer
from support.live import a_cast, a_password, ok
from support.proof import record, scale
from support.served import served
from support.servers import a_redis
from support.signin import MovingClock, a_registration

pytestmark = [pytest.mark.rows(77), pytest.mark.timeout(scale(240, 1800))]
TIMES = scale(1, 10)
FULL = 4096  # bytes that a file may grow to when there is no room


@pytest.fixture(scope="module")
def loaded() -> Iterator[Loaded]:
    with Loaded() as loaded:
        yield loaded


@contextmanager
def a_server(loaded: Loaded, folder: Path, **env: str) -> Iterator[QuickServer]:
    server = QuickServer(folder / "data", env, loaded=loaded)
    with server:
        yield server
    assert "Traceback" not in server.logged.read_text()


@contextmanager
def no_room(server: QuickServer) -> Iterator[None]:
    """No file of the server's takes another byte, its log included."""
    assert server.process is not None
    _, most = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (FULL, most))
    try:
        yield
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (most, most))


async def test_postgres_that_is_restarted_is_waited_for(loaded: Loaded, tmp_path: Path) -> None:
    """First in words, then as it would crash."""
    with (
        a_postgres() as postgres,
        a_server(loaded, tmp_path, MAESTRO_DATABASE__URL=postgres.url) as server,
    ):
        async with load(a_cast(server)) as clients:
            for turn in range(2 * TIMES):
                await clients.until_well()
                await asyncio.to_thread(postgres.stop, ("fast", "immediate")[turn % 2])
                found = await clients.more()
                assert all(found[kind] <= AWAY[kind] for kind in found), found
                assert httpx2.get(f"{server.url}/health").status_code == 200
                assert httpx2.get(f"{server.url}/health/ready").status_code == 503
                await asyncio.to_thread(postgres.start)
            await clients.until_well()
            record("outages: restarts of PostgreSQL", 2 * TIMES)
            record("outages: writes acknowledged around them, none lost", len(clients.made))


async def test_redis_that_goes_and_comes_is_not_missed(loaded: Loaded, tmp_path: Path) -> None:
    with (
        a_redis(tmp_path) as redis,
        a_server(loaded, tmp_path, MAESTRO_REDIS__URL=redis.url) as server,
    ):
        async with load(a_cast(server)) as clients:
            for _ in range(TIMES):
                assert await clients.more() == WELL
                redis.stop()
                assert await clients.more(10) == WELL
                redis.start()
                assert await clients.more(10) == WELL


async def test_a_full_disk_is_told_and_reading_goes_on(loaded: Loaded, tmp_path: Path) -> None:
    with a_server(loaded, tmp_path) as server:
        async with load(a_cast(server)) as clients:
            for _ in range(TIMES):
                await clients.until_well()
                with no_room(server):
                    await clients.more()  # until what was under way is answered
                    assert await clients.more() == WELL | {"write": {503}, "sign in": {503}}
            await clients.until_well()
    with closing(sqlite3.connect(server.data / "maestro.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []


async def test_a_file_that_cannot_be_written_is_told_and_reading_goes_on(tmp_path: Path) -> None:
    """SQLite itself refuses, as it does for a file on a disk that was mounted read-only: the file
    of a running server stays open for writing, whatever its mode says from then on."""
    settings = Settings(data=tmp_path)
    app = create_app(settings, greet=False)
    engine = app.state.runtime.sessions.engines.writing.sync_engine
    only = "OFF"

    @event.listens_for(engine, "checkout")
    def before_it_begins(dbapi: Any, _: Any, __: Any) -> None:
        dbapi.execute(f"PRAGMA query_only = {only}")

    with served(app) as url:
        async with httpx2.AsyncClient(base_url=f"{url}/api/v1", timeout=60) as http:
            made = ok(await http.post("/auth/register", json=a_registration()))
            bearer = {"Authorization": f"Bearer {made['access_token']}"}
            body = {"refresh_token": made["refresh_token"]}
            only = "ON"
            for path in ("/auth/logout", "/auth/refresh"):
                answer = await http.post(path, json=body, headers=bearer)
                assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
            assert (await http.get("/auth/me", headers=bearer)).status_code == 200
            only = "OFF"
            assert (await http.post("/auth/refresh", json=body)).status_code == 200
            assert (await http.post("/auth/logout", headers=bearer)).status_code == 204
            assert (await http.get("/auth/me", headers=bearer)).status_code == 401


async def test_a_clock_that_jumps_lets_nobody_in_and_stops_nobody_for_long(tmp_path: Path) -> None:
    clock = MovingClock()
    app = create_app(Settings(data=tmp_path), clock=clock, greet=False)
    with served(app) as url:
        async with httpx2.AsyncClient(base_url=f"{url}/api/v1", timeout=60) as http:

            async def me(signed_in: Any) -> int:
                bearer = {"Authorization": f"Bearer {signed_in['access_token']}"}
                return (await http.get("/auth/me", headers=bearer)).status_code

            async def refresh(signed_in: Any) -> httpx2.Response:
                body = {"refresh_token": signed_in["refresh_token"]}
                return await http.post("/auth/refresh", json=body)

            person, guessed = a_registration(), a_registration()
            login = {name: person[name] for name in ("email", "password")}
            wrong = {"email": guessed["email"], "password": a_password()}
            first = ok(await http.post("/auth/register", json=person))
            ok(await http.post("/auth/register", json=guessed))
            ended = ok(await http.post("/auth/login", json=login))
            bearer = {"Authorization": f"Bearer {ended['access_token']}"}
            ok(await http.post("/auth/logout", headers=bearer))

            clock.move(minutes=16)  # forward
            assert (await me(first), await me(ended)) == (401, 401)
            second = ok(await refresh(first))
            assert await me(second) == 200
            for _ in range(5):
                assert (await http.post("/auth/login", json=wrong)).status_code == 401
            assert (await http.post("/auth/login", json=wrong)).status_code == 429

            clock.move(hours=-1)  # back: before any of them signed in
            assert await me(second) == 401, "a token from the future"
            assert (await me(ended), (await refresh(ended)).status_code) == (401, 401)
            assert (await http.post("/auth/login", json=wrong)).status_code == 429
            assert (await http.post("/auth/login", json=login)).status_code == 429
            clock.move(seconds=16)  # an address waits for one share of its five minutes, no longer
            third = ok(await http.post("/auth/login", json=login))
            assert await me(third) == 200
            fourth = ok(await refresh(second))
            assert await me(fourth) == 200
            assert (await refresh(second)).status_code == 401, "each is good once, by any clock"
            assert (await me(fourth), await me(third)) == (401, 200)
            assert (await http.post("/auth/login", json=wrong)).status_code == 429
            clock.move(minutes=15)  # and an account for its longest wait
            assert (await http.post("/auth/login", json=wrong)).status_code == 401
            third = ok(await http.post("/auth/login", json=login))

            clock.move(days=31)  # forward, beyond all that a session may last
            assert (await me(third), (await refresh(third)).status_code) == (401, 401)
            fifth = ok(await http.post("/auth/login", json=login))
            clock.move(days=-31)
            assert await me(fifth) == 401
            assert await me(third) == 200, "as long as its time, by the clock, is not over"
            clock.move(minutes=16)
            assert await me(third) == 401
