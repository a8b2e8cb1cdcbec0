"""Single sign-on where a second factor is asked for: set up on the way, given, or vouched for."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urldefrag

import pytest
from sqlalchemy import select, update

from maestro_ml.core.access import Role
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import Session, User
from support.issuer import HOST, Issuer, a_person, an_issuer
from support.mfa import code_at, joins, policy
from support.people import People, a_people_server
from support.sso import SESSION, Browser, ours
from support.world import ACME, OTHER, USERS

START = "/api/v1/auth/oidc/acme/ours/start"
STEP = "/auth/login/mfa"


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path, outbound={"allow": [HOST]}) as people:
        await policy(sessions, ACME, mfa_required=True)
        yield people


@pytest.fixture
def issuer(people: People) -> Iterator[Issuer]:
    with an_issuer(people.clock) as issuer:
        issuer.person = a_person()
        yield issuer


@pytest.fixture
def browser(people: People) -> Browser:
    return Browser(people.http)


async def halfway(browser: Browser, then: str = "/device") -> dict[str, str]:
    """What the page is sent that asks for the second step."""
    answer = await browser.sign_in(START, then)
    assert answer.status_code == 303
    assert set(browser.cookies) <= {SESSION}
    page, sent = urldefrag(browser.last)
    assert page == "/device"
    return {name: value for name, (value,) in parse_qs(sent, strict_parsing=True).items()}


async def enrolled(people: People, token: str) -> str:
    """The secret of the app that was set up with that token."""
    begun = await people.ok(None, "POST", f"{STEP}/enrol", {"mfa_token": token})
    body = {"mfa_token": token, "code": code_at(begun["secret"], people.clock())}
    entered = await people(None, "POST", f"{STEP}/confirm", body)
    assert entered.status_code == 200, entered.text
    assert len(entered.json()["recovery_codes"]) == 10
    assert entered.headers["set-cookie"].startswith(f"{SESSION}=")
    return str(begun["secret"])


async def amr_of_newest(sessions: Sessions) -> list[str]:
    async with sessions.begin(SYSTEM) as session:
        newest = select(Session.amr).order_by(Session.id.desc()).limit(1)
        return list((await session.scalars(newest)).one())


async def test_who_has_no_second_factor_is_told_to_set_one_up_and_gets_in(
    people: People, issuer: Issuer, browser: Browser, sessions: Sessions
) -> None:
    await ours(people, issuer)
    asked = await halfway(browser)
    assert asked["methods"] == "enrol"
    assert SESSION not in browser.cookies
    secret = await enrolled(people, asked["mfa_token"])
    assert await amr_of_newest(sessions) == ["oidc", "otp", "mfa"]
    asked = await halfway(browser)
    assert set(asked) == {"mfa_token", "methods"}
    assert asked["methods"] == "totp,recovery_code"
    people.clock.move(seconds=30)
    body = {"mfa_token": asked["mfa_token"], "code": code_at(secret, people.clock())}
    assert "csrf_token" in await people.ok(None, "POST", STEP, body)


@pytest.mark.parametrize(
    "then", ["/docs", "/a?next=//evil.test#b&mfa_token=c", "/device#ABCD-EFGH"]
)
async def test_the_page_that_asks_for_it_is_told_where_the_sign_in_ends(
    people: People, issuer: Issuer, browser: Browser, then: str
) -> None:
    await ours(people, issuer)
    assert (await halfway(browser, then))["next"] == then


async def test_a_provider_alone_binds_no_factor_to_an_account_with_a_password(
    people: People, issuer: Issuer, browser: Browser, sessions: Sessions
) -> None:
    async with sessions.begin(SYSTEM) as session:
        member = update(User).where(User.id == USERS[ACME, Role.MEMBER])
        await session.execute(member.values(verified=True, password_hash="theirs"))
    await ours(people, issuer, allowed_domains=["acme.test"])
    issuer.person = a_person(email="member@acme.test")
    asked = await halfway(browser)
    body = {"mfa_token": asked["mfa_token"]}
    assert await people.code(403, None, "POST", f"{STEP}/enrol", body) == "sign-in-again"


async def test_a_trusted_providers_second_factor_is_enough(
    people: People, issuer: Issuer, browser: Browser, sessions: Sessions
) -> None:
    await ours(people, issuer, trusts_mfa=True)
    issuer.extra = {"amr": ["pwd", "mfa", "otp"]}
    assert (await browser.sign_in(START)).status_code == 303
    assert (browser.last, set(browser.cookies)) == ("/device", {SESSION})
    assert (await browser.me())["tenant"]["slug"] == "acme"
    assert await amr_of_newest(sessions) == ["oidc", "mfa"]


async def test_nobodys_word_counts_unless_an_admin_says_so(
    people: People, issuer: Issuer, browser: Browser
) -> None:
    provider = await ours(people, issuer)
    issuer.extra = {"amr": ["mfa"]}
    assert (await halfway(browser))["methods"] == "enrol"
    admin = await people.token()
    one = f"/identity-providers/{provider['id']}"
    for trusted in (True, False):
        await people.ok(admin, "PATCH", one, {"trusts_mfa": trusted})
        await browser.sign_in(START)
        assert (SESSION in browser.cookies) == trusted
        browser.cookies.clear()


@pytest.mark.parametrize(
    "amr",
    [
        None,
        [],
        "mfa",
        ["pwd"],
        ["pwd", "otp"],
        ["MFA"],
        [["mfa"]],
        {"mfa": True},
        [True],
        "pwd mfa",
    ],
    ids=str,
)
async def test_a_trusted_provider_that_does_not_say_it_leaves_it_to_us(
    people: People, issuer: Issuer, browser: Browser, amr: Any
) -> None:
    await ours(people, issuer, trusts_mfa=True)
    issuer.extra = {"amr": amr, "acr": "mfa", "mfa": True}
    assert (await halfway(browser))["methods"] == "enrol"


async def test_what_a_provider_vouches_for_counts_in_its_tenant_only(
    people: People, issuer: Issuer, browser: Browser, sessions: Sessions
) -> None:
    await policy(sessions, OTHER, mfa_required=True)
    await ours(people, issuer, trusts_mfa=True)
    issuer.extra = {"amr": ["mfa"]}
    await browser.sign_in(START)
    me = await browser.me()
    await joins(sessions, me["id"], OTHER, people.clock())
    cookie = f"{SESSION}={browser.cookies[SESSION]}"
    proof = {"Cookie": cookie, "X-CSRF-Token": me["csrf_token"], "Origin": "http://127.0.0.1:8000"}
    answer = await people.http.post("/api/v1/auth/switch", json={"tenant": "other"}, headers=proof)
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/sign-in-again")
