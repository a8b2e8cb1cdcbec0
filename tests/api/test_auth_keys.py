"""The keys that sign: made once, shared by every process, replaced without anybody noticing."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from maestro_ml.db.installation import claim_mode
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity import runtime
from maestro_ml.identity.errors import SecretKeyRefused
from maestro_ml.identity.models import KeyState, SigningKey
from maestro_ml.identity.service import signing_keys
from support.forgery import unpack
from support.signin import SignInServer, a_signin_server


@pytest.fixture
async def server(sessions: Sessions, tmp_path: Path) -> AsyncIterator[SignInServer]:
    async with a_signin_server(sessions, tmp_path) as server:
        yield server


async def rotate(server: SignInServer, grace: timedelta = signing_keys.GRACE) -> None:
    identity = server.identity
    async with open_system_work(identity.sessions, clock=server.clock) as work:
        await signing_keys.rotate(work, identity.secret, grace=grace)


async def published(server: SignInServer) -> list[str]:
    answer = await server.http.get("/.well-known/jwks.json")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=300"
    return [key["kid"] for key in answer.json()["keys"]]


def kid_of(token: str) -> str:
    kid: str = unpack(token)[0]["kid"]
    return kid


async def test_a_rotation_is_seen_by_nobody(server: SignInServer) -> None:
    made = await server.register()
    old = kid_of(made["access_token"])
    assert await published(server) == [old]
    await rotate(server)
    again = await server.login(made)
    new = kid_of(again["access_token"])
    assert new != old
    for token in (made["access_token"], again["access_token"]):
        assert (await server.me(token)).status_code == 200
    server.clock.move(seconds=11)
    assert await published(server) == [new, old]
    server.clock.move(minutes=16)
    assert await published(server) == [new]
    assert (await server.me(made["access_token"])).status_code == 401


async def test_a_stolen_key_is_worth_nothing_at_once(server: SignInServer) -> None:
    made = await server.register()
    await rotate(server, timedelta(0))
    await server.identity.reload_keys()
    assert (await server.me(made["access_token"])).status_code == 401
    pair = (await server.post("refresh", {"refresh_token": made["refresh_token"]})).json()
    assert (await server.me(pair["access_token"])).status_code == 200


async def test_another_process_soon_hears_that_a_key_was_stolen(
    server: SignInServer, sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "RELOAD_AFTER", timedelta(milliseconds=50))
    async with a_signin_server(sessions, tmp_path) as other:
        token = (await server.register())["access_token"]
        assert (await other.me(token)).status_code == 200
        await rotate(server, timedelta(0))
        for _ in range(200):  # no longer than the other process takes to look
            if (await other.me(token)).status_code == 401:
                break
            await asyncio.sleep(0.05)
        assert (await other.me(token)).status_code == 401


async def test_ten_rotations_refuse_no_valid_token(server: SignInServer) -> None:
    made = await server.register()
    tokens = [made["access_token"]]
    for _ in range(10):
        await rotate(server)
        tokens.append((await server.login(made))["access_token"])
        for token in tokens:
            assert (await server.me(token)).status_code == 200
    assert len({kid_of(token) for token in tokens}) == 11


async def test_keys_that_count_no_more_are_deleted_at_the_next_rotation(
    server: SignInServer, sessions: Sessions
) -> None:
    await rotate(server)
    server.clock.move(minutes=16)
    await rotate(server)
    async with sessions.begin(SYSTEM) as session:
        states = list(await session.scalars(select(SigningKey.state)))
    assert sorted(states) == [KeyState.ACTIVE, KeyState.NEXT, KeyState.RETIRED]


async def test_a_restart_forgets_nothing(
    server: SignInServer, sessions: Sessions, tmp_path: Path
) -> None:
    live, ended = await server.register(), await server.register()
    await server.post("logout", authorization=f"Bearer {ended['access_token']}")
    async with a_signin_server(sessions, tmp_path) as restarted:
        assert (await restarted.me(live["access_token"])).status_code == 200
        assert (await restarted.me(ended["access_token"])).status_code == 401
        assert kid_of((await restarted.login(live))["access_token"]) == kid_of(live["access_token"])


async def test_processes_that_start_at_once_make_one_key(
    sessions: Sessions, tmp_path: Path
) -> None:
    await claim_mode(sessions, dev=False)

    async def started() -> list[str]:
        async with a_signin_server(sessions, tmp_path) as server:
            return await published(server)

    seen = await asyncio.gather(*(started() for _ in range(4)))
    assert len({tuple(kids) for kids in seen}) == 1
    async with sessions.begin(SYSTEM) as session:
        assert len((await session.scalars(select(SigningKey))).all()) == 2


async def test_another_secret_key_is_refused_at_the_start(
    server: SignInServer, sessions: Sessions, tmp_path: Path
) -> None:
    with pytest.raises(SecretKeyRefused, match="another secret key"):
        async with a_signin_server(sessions, tmp_path / "elsewhere"):
            raise AssertionError


async def test_the_private_half_is_never_kept_open(sessions: Sessions, tmp_path: Path) -> None:
    async with a_signin_server(sessions, tmp_path), sessions.begin(SYSTEM) as session:
        rows = (await session.scalars(select(SigningKey))).all()
    for row in rows:
        assert b"PRIVATE" not in row.private_sealed
        assert "d" not in row.public_jwk
