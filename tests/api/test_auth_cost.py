"""What a sign-in asks the database: each statement is waited for, and keeps other writers out."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from maestro_ml.db.work import Sessions
from support.signin import SignInServer, a_signin_server
from support.statements import counted

# Lock the user, find the tenant, ask for the rest; the session, its token, the user, the record.
SIGN_IN = 7
REFRESH = 5
SIGNED_IN_BEFORE = {"user-agent": "Phone"}  # a new device is looked for among the old ones


@pytest.fixture
async def server(sessions: Sessions, tmp_path: Path) -> AsyncIterator[SignInServer]:
    async with a_signin_server(sessions, tmp_path) as server:
        yield server


def asked(sent: list[str]) -> list[str]:
    return [one for one in sent if not one.startswith("BEGIN")]


async def test_a_sign_in_asks_the_database_seven_times(
    server: SignInServer, sessions: Sessions
) -> None:
    ada = await server.register()
    await server.login(ada, **SIGNED_IN_BEFORE)
    with counted(sessions) as sent:
        await server.login(ada, **SIGNED_IN_BEFORE)
    assert len(asked(sent)) == SIGN_IN, sent


async def test_new_tokens_ask_the_database_five_times(
    server: SignInServer, sessions: Sessions
) -> None:
    token = (await server.register())["refresh_token"]
    for _ in range(2):
        with counted(sessions) as sent:
            answer = await server.post("refresh", {"refresh_token": token})
        token = answer.json()["refresh_token"]
    assert len(asked(sent)) == REFRESH, sent
