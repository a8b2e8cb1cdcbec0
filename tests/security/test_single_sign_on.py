"""Row 76: whatever comes back from an identity provider, only the truth opens the door.
Row 75 (e): and it opens onto this server."""

from datetime import timedelta
from html import escape
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import update

from maestro_ml.core.clock import utc_now
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import OidcFlow
from support.forgery import unpack
from support.issuer import Issuer, a_person, an_issuer
from support.live import Cast
from support.sso import FLOW, SESSION, Browser, changed, code_of, registered

REFUSED = (401, "single-sign-on-refused")
NO_ACCOUNT = (403, "single-sign-on-no-account")
Head = dict[str, Any]


async def test_the_honest_way_is_open(browser: Browser, start: str) -> None:
    assert (await browser.sign_in(start)).status_code == 303
    me = await browser.me()
    assert (me["role"], me["tenant"]["slug"]) == ("viewer", "tenant-a")
    asked = {name: value[0] for name, value in parse_qs(urlsplit(browser.last).query).items()}
    assert not asked  # the browser is home again


@pytest.mark.rows(76)
async def test_what_the_browser_takes_along_says_nothing_and_proves_itself(
    browser: Browser, start: str
) -> None:
    seen = set()
    for _ in range(3):
        await browser.start(start)
        asked = parse_qs(urlsplit(browser.last).query)
        assert asked["code_challenge_method"] == ["S256"]
        assert asked["response_type"] == ["code"]
        assert len(asked["code_challenge"][0]) == 43
        seen |= {asked[name][0] for name in ("state", "nonce", "code_challenge")}
    assert len(seen) == 9


# --- the way back ---------------------------------------------------------------------------


@pytest.mark.rows(76)
@pytest.mark.parametrize("state", [None, "", "x", "mlo_" + "0" * 49, "mlo_\x00"])
async def test_without_its_state(browser: Browser, start: str, state: str | None) -> None:
    await browser.start(start)
    back = changed(await browser.consent(), state=state)
    assert (await browser.get(back)).status_code in {401, 422}
    assert SESSION not in browser.cookies


@pytest.mark.rows(76)
async def test_with_another_browsers_state(
    browser: Browser, http: httpx2.AsyncClient, start: str
) -> None:
    """The attacker's own sign-in, sent to somebody else (login CSRF)."""
    attacker, victim = browser, Browser(http)
    await attacker.start(start)
    back = await attacker.consent()
    assert code_of(await victim.get(back)) == REFUSED
    await victim.start(start)
    own = parse_qs(urlsplit(victim.last).query)["state"][0]
    assert code_of(await victim.get(back)) == REFUSED
    assert (await attacker.get(back)).status_code == 303  # theirs is not used up by that
    await attacker.start(start)
    mixed = changed(await attacker.consent(), state=own)
    assert code_of(await victim.get(mixed)) == REFUSED  # the code is bound to a verifier
    assert SESSION not in victim.cookies


@pytest.mark.rows(76)
async def test_twice(browser: Browser, http: httpx2.AsyncClient, start: str) -> None:
    await browser.start(start)
    back, cookie = await browser.consent(), browser.cookies[FLOW]
    assert (await browser.get(back)).status_code == 303
    assert code_of(await Browser(http, {FLOW: cookie}).get(back)) == REFUSED


@pytest.mark.rows(76)
async def test_after_ten_minutes(browser: Browser, start: str, truth: Sessions) -> None:
    await browser.start(start)
    back = await browser.consent()
    async with truth.begin(SYSTEM) as session:
        past = utc_now() - timedelta(seconds=1)
        await session.execute(
            update(OidcFlow).where(OidcFlow.used_at.is_(None)).values(expires_at=past)
        )
    assert code_of(await browser.get(back)) == REFUSED


@pytest.mark.rows(76)
async def test_without_a_code_or_with_an_error(browser: Browser, start: str) -> None:
    for change in ({"code": None}, {"code": "x"}, {"code": "x" * 4096}, {"error": "access_denied"}):
        await browser.start(start)
        assert code_of(await browser.get(changed(await browser.consent(), **change))) == REFUSED


@pytest.mark.rows(76)
async def test_one_providers_code_at_anothers_door(
    cast: Cast, browser: Browser, issuer: Issuer, start: str
) -> None:
    """Tenant B's provider is an attacker's; what tenant A's gave is brought to its callback."""
    with an_issuer() as evil:
        evil.person = a_person()
        theirs = registered(cast, evil, "adminB")
        await browser.start(theirs)
        evil_door = parse_qs(urlsplit(browser.last).query)["redirect_uri"][0]
        await browser.start(start)
        back = await browser.consent()
        query = urlsplit(back).query
        assert code_of(await browser.get(f"{urlsplit(evil_door).path}?{query}")) == REFUSED
        assert "/token" not in evil.requests  # the honest code never got there
        assert (await browser.get(back)).status_code == 303


@pytest.mark.rows(76)
async def test_an_answer_of_another_issuer(browser: Browser, start: str) -> None:
    for iss in ("https://evil.test", None, ""):
        await browser.start(start)
        assert code_of(await browser.get(changed(await browser.consent(), iss=iss))) == REFUSED


async def test_a_method_that_changes_nothing(http: httpx2.AsyncClient, start: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert (await http.request(method, start)).status_code == 405


# --- what a person sees of a refusal --------------------------------------------------------

PERSON = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/auth/oidc/tenant-a/nobody/start", 404),
        ("/api/v1/auth/oidc/<b>/nobody/start", 422),
        ("{start}?next=//evil.test", 422),
        (f"/api/v1/auth/oidc/callback/{UUID(int=7)}?state=<b>&code=<b>", 401),
        ("/api/v1/auth/oidc/callback/<b>", 422),
        ("/api/v1/auth/oidc/nothing", 404),
    ],
)
async def test_a_person_is_refused_by_a_page_and_a_program_by_a_problem(
    http: httpx2.AsyncClient, start: str, path: str, status: int
) -> None:
    path = path.format(start=start)
    page = await http.get(path, headers=PERSON | {"X-Request-ID": "seen-by-a-person"})
    problem = await http.get(path)
    assert (page.status_code, problem.status_code) == (status, status)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert problem.headers["content-type"] == "application/problem+json"
    assert escape(problem.json()["detail"]) in page.text
    assert "seen-by-a-person" in page.text
    assert '<a href="/device">' in page.text
    assert "<b>" not in page.text
    own = {"content-type", "content-length", "content-security-policy", "x-request-id", "date"}
    assert {h: v for h, v in page.headers.items() if h not in own} == {
        h: v for h, v in problem.headers.items() if h not in own
    }
    policy = (await http.get("/device")).headers["content-security-policy"]
    assert page.headers["content-security-policy"] == policy


async def test_what_is_no_pages_address_answers_a_browser_as_ever(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/api/v1/auth/me", headers=PERSON)
    assert answer.headers["content-type"] == "application/problem+json"


# --- the account ----------------------------------------------------------------------------


@pytest.mark.rows(76)
async def test_the_admins_address_unverified(cast: Cast, browser: Browser, issuer: Issuer) -> None:
    start = registered(cast, issuer, allowed_domains=["a.test"])
    for verified in (False, None, "true", 1, [True]):
        issuer.person = a_person(email=cast["adminA"].email, email_verified=verified)
        assert code_of(await browser.sign_in(start)) == NO_ACCOUNT
    assert SESSION not in browser.cookies


@pytest.mark.rows(76)
@pytest.mark.parametrize("victim", ["adminA", "root"])
async def test_another_tenants_provider_speaks_for_nobody_of_ours(
    cast: Cast, browser: Browser, victim: str
) -> None:
    """Tenant B's admin owns an issuer, lists the victim's domain and has it verified there."""
    with an_issuer() as evil:
        email = cast[victim].email
        domain = email.lower().rpartition("@")[2]
        evil.person = a_person(email=email)
        start = registered(cast, evil, "adminB", allowed_domains=[domain])
        assert code_of(await browser.sign_in(start)) == NO_ACCOUNT
    assert SESSION not in browser.cookies


@pytest.mark.rows(76)
async def test_a_group_that_is_not_listed_gives_nothing(
    cast: Cast, browser: Browser, issuer: Issuer
) -> None:
    roles = {"ops": "maintainer"}
    start = registered(cast, issuer, groups_claim="groups", group_roles=roles)
    for groups in (["admin"], "admin", ["ops "], ["OPS"], {"ops": "admin"}, [["ops"]]):
        issuer.person = a_person(groups=groups, role="admin")
        assert (await browser.sign_in(start)).status_code == 303
        assert (await browser.me())["role"] == "viewer"


async def test_a_name_cannot_do_harm(browser: Browser, issuer: Issuer, start: str) -> None:
    for name in ("<script>", "x\x00\x1b[2J", "n" * 5000, "", "   ", 7, None):
        issuer.person = a_person(name=name)
        assert (await browser.sign_in(start)).status_code == 303
        shown = (await browser.me())["name"]
        assert 0 < len(shown) <= 100
        assert "\x00" not in shown
        assert "\x1b" not in shown


@pytest.mark.rows(76)
async def test_discovery_of_another_issuer(cast: Cast, browser: Browser) -> None:
    with an_issuer(document={"issuer": "https://evil.test"}) as issuer:
        answer = await browser.start(registered(cast, issuer))
    assert answer.status_code == 503
    assert "evil" not in answer.text


# --- where it ends (row 75 e) ---------------------------------------------------------------


@pytest.mark.rows(75)
@pytest.mark.parametrize(
    "then",
    [
        *("//evil.test", "/\\evil.test", "\\\\evil.test", "/\t/evil.test", "/\n/evil.test"),
        *("javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "https://evil.test"),
        *("http:evil.test", "evil.test", "", " /device", "/ /evil.test", "/\x00", "/é", "@evil"),
        *("/\r\nSet-Cookie: a=b", "///evil.test", "/" * 2 + "127.0.0.1", "/" + "x" * 600),
    ],
)
async def test_it_never_ends_elsewhere(browser: Browser, start: str, then: str) -> None:
    answer = await browser.start(start, then)
    assert answer.status_code == 422
    assert "location" not in answer.headers
    assert not browser.cookies


@pytest.mark.rows(75)
@pytest.mark.parametrize("then", ["/device", "/", "/a?next=//evil.test", "/a/../b#c", "/%2F%2Fx"])
async def test_it_ends_on_this_server(browser: Browser, start: str, then: str) -> None:
    await browser.sign_in(start, then)
    assert browser.last == then


@pytest.mark.rows(76)
async def test_the_way_back_is_the_servers_own_whatever_host_is_named(
    http: httpx2.AsyncClient, cast: Cast, start: str
) -> None:
    assert (await http.get(start, headers={"Host": "evil.test"})).status_code == 421
    headers = {"X-Forwarded-Host": "evil.test", "Forwarded": "host=evil.test"}
    answer = await http.get(start, headers=headers)
    assert parse_qs(urlsplit(answer.headers["location"]).query)["redirect_uri"][0].startswith(
        f"{cast.url}/api/v1/auth/oidc/callback/"
    )


async def test_the_session_is_one_like_any_other(browser: Browser, start: str, cast: Cast) -> None:
    """It has its tenant, needs the CSRF token for changes, and ends at once."""
    await browser.sign_in(start)
    me = await browser.me()
    cookie = {"Cookie": f"{SESSION}={browser.cookies[SESSION]}"}
    path = "/api/v1/auth/logout"
    assert (await browser.http.post(path, headers=cookie)).status_code == 403
    proof = cookie | {"X-CSRF-Token": me["csrf_token"], "Origin": cast.url}
    assert (await browser.http.post(path, headers=proof)).status_code == 204
    assert (await browser.get("/api/v1/auth/me")).status_code == 401
    assert UUID(unpack(cast["adminA"].token)[1]["tid"]) == UUID(me["tenant"]["id"])
