"""The way to an identity provider and back: good once, for ten minutes, in one browser."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import ExternalIdentity, OidcFlow
from support.issuer import HOST, Issuer, a_person, an_issuer
from support.people import People, a_people_server
from support.sso import FLOW, Browser, code_of, ours

START = "/api/v1/auth/oidc/acme/ours/start"


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path, outbound={"allow": [HOST]}) as people:
        yield people


@pytest.fixture
def issuer(people: People) -> Iterator[Issuer]:
    with an_issuer(people.clock) as issuer:
        yield issuer


@pytest.fixture
def browser(people: People) -> Browser:
    return Browser(people.http)


async def test_a_way_is_good_for_ten_minutes_and_once(
    people: People, issuer: Issuer, browser: Browser
) -> None:
    await ours(people, issuer)
    issuer.person = a_person()
    await browser.start(START)
    back = await browser.consent()
    people.clock.move(minutes=10, seconds=1)
    assert code_of(await browser.get(back)) == (401, "single-sign-on-refused")
    await browser.start(START)
    back = await browser.consent()
    cookie = browser.cookies[FLOW]
    assert (await browser.get(back)).status_code == 303
    browser.cookies[FLOW] = cookie
    assert code_of(await browser.get(back)) == (401, "single-sign-on-refused")


async def test_of_forty_who_come_back_with_one_state_one_is_let_in(
    people: People, issuer: Issuer, browser: Browser
) -> None:
    await ours(people, issuer)
    issuer.person = a_person()
    for _ in range(5):
        await browser.start(START)
        back, cookie = await browser.consent(), browser.cookies[FLOW]
        racing = [Browser(people.http, {FLOW: cookie}) for _ in range(40)]
        done = await asyncio.gather(*(one.get(back) for one in racing))
        told = Counter(answer.status_code for answer in done)
        assert (told[303], told[401] + told[429]) == (1, 39)  # few refusals are spelt out


async def test_of_many_first_sign_ins_one_makes_the_account(
    people: People, issuer: Issuer, sessions: Sessions
) -> None:
    await ours(people, issuer)
    issuer.person = a_person()
    browsers = [Browser(people.http) for _ in range(8)]
    ways = []
    for browser in browsers:
        await browser.start(START)
        ways.append(await browser.consent())
    done = await asyncio.gather(*(b.get(way) for b, way in zip(browsers, ways, strict=True)))
    assert {answer.status_code for answer in done} <= {303, 401, 409}
    assert any(answer.status_code == 303 for answer in done)
    async with sessions.begin(SYSTEM) as session:
        count = select(func.count()).select_from(ExternalIdentity)
        assert await session.scalar(count) == 1


async def test_a_new_key_of_the_issuers_is_asked_for_at_most_once_in_ten_seconds(
    people: People, issuer: Issuer, browser: Browser
) -> None:
    await ours(people, issuer)
    issuer.person = a_person()
    await browser.sign_in(START)
    issuer.rotate()
    assert code_of(await browser.sign_in(START)) == (401, "single-sign-on-refused")
    assert issuer.requests.count("/keys") == 1
    people.clock.move(seconds=11)
    assert (await browser.sign_in(START)).status_code == 303
    assert issuer.requests.count("/keys") == 2
    assert issuer.requests.count("/.well-known/openid-configuration") == 1


async def test_what_is_kept_opens_nothing(
    people: People, issuer: Issuer, browser: Browser, sessions: Sessions
) -> None:
    await ours(people, issuer)
    await browser.start(START)
    async with sessions.begin(SYSTEM) as session:
        flow = (await session.scalars(select(OidcFlow))).one()
    kept = repr(flow)
    assert browser.cookies[FLOW] not in kept
    for part in ("state", "nonce", "code_challenge"):
        assert (
            dict(p.split("=") for p in browser.last.partition("?")[2].split("&"))[part] not in kept
        )
