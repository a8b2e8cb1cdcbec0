"""Group C: whatever could be guessed, or would fill a mailbox, is slowed; `docs/guides/limits.md`
says how."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select

from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity import tokens
from maestro_ml.jobs.models import Job, JobState
from maestro_ml.mail.models import Mail
from support.live import Cast, a_password
from support.sources import transport_from

PER_ADDRESS, PATIENCE = 20, 30
MAILS = 3  # an hour, to one address


def from_one_address(cast: Cast) -> httpx2.Client:
    return httpx2.Client(base_url=f"{cast.url}/api/v1/auth", timeout=60, transport=transport_from())


Ask = Callable[[httpx2.Client], httpx2.Response]
GUESSES: dict[str, tuple[int, Ask]] = {
    "a reset": (
        401,
        lambda http: http.post(
            "/password/reset",
            json={"token": tokens.mint(tokens.LINK), "new_password": a_password()},
        ),
    ),
    "the proof of an address": (
        401,
        lambda http: http.post("/email/verify", json={"token": tokens.mint(tokens.LINK)}),
    ),
    "an answer of single sign-on": (
        401,
        lambda http: http.get(f"/oidc/callback/{secrets.token_hex(16)}?code=x&state=x"),
    ),
    "a terminal's code": (
        400,
        lambda http: http.post("/device/token", json={"device_code": tokens.mint(tokens.DEVICE)}),
    ),
    "half a sign-in": (
        401,
        lambda http: http.post(
            "/login/mfa", json={"mfa_token": tokens.mint(tokens.MFA), "code": "000000"}
        ),
    ),
}


@pytest.mark.rows(50)
@pytest.mark.parametrize("what", GUESSES)
def test_what_was_never_issued_is_slowed_by_address(cast: Cast, what: str) -> None:
    refusal, ask = GUESSES[what]
    with from_one_address(cast) as http:
        answers = [ask(http) for _ in range(PER_ADDRESS + 15)]
        statuses = Counter(answer.status_code for answer in answers)
        assert set(statuses) == {refusal, 429}, answers[0].text
        assert PER_ADDRESS <= statuses[refusal] <= PER_ADDRESS + 3  # one each 15 seconds
    with from_one_address(cast) as elsewhere:
        assert ask(elsewhere).status_code == refusal


async def waiting(truth: Sessions) -> int:
    unsent = Job.state.in_([JobState.QUEUED, JobState.RUNNING])
    async with truth.begin(SYSTEM, read_only=True) as session:
        which = (Job.kind == "identity.send_reset") & unsent
        return int(await session.scalar(select(func.count()).select_from(Job).where(which)) or 0)


@pytest.mark.rows(50)
async def test_three_reset_mails_an_hour_and_not_a_word_of_it(cast: Cast, truth: Sessions) -> None:
    known = cast.somebody().email
    said: set[tuple[int, Any]] = set()
    for n in range(MAILS + 4):
        with from_one_address(cast) as http:  # each from another
            email = known.upper() if n % 2 else known
            answer = http.post("/password/forgot", json={"email": email})
            said.add((answer.status_code, answer.content))
    assert len(said) == 1
    assert said.pop()[0] == 202
    async with asyncio.timeout(PATIENCE):
        while True:
            if not await waiting(truth):
                break
            await asyncio.sleep(0.1)
    async with truth.begin(SYSTEM, read_only=True) as session:
        theirs = (Mail.recipient == known) & (Mail.kind == "password.forgot")
        sent = await session.scalar(select(func.count()).select_from(Mail).where(theirs))
    assert sent == MAILS
