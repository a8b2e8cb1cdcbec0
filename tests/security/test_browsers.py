"""Rows 69 and 75: a browser's session is used by our own pages alone, and these run no text."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from maestro_ml.core.access import Permission
from support.dump import kept
from support.live import Cast, LiveServer, ok
from support.policy import POLICY, Operation, operations
from support.proof import some_of
from support.source import SOURCE
from support.stage import tenant_of
from support.surface import described

CHANGING = [o for o in described() if o.method != "GET" and POLICY[o.name] in set(Permission)]
EVIL = ("https://evil.test", "null", "https://127.0.0.1.evil.test", "http://localhost:1")
PAGES = [o.path for o in operations() if not o.path.startswith("/api") and o.method == "GET"]
SCRIPTS = sorted(SOURCE.rglob("*.js"))
HTML = sorted(SOURCE.rglob("*.html"))
RUNS_TEXT = (
    *("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"),
    *("srcdoc", "DOMParser", "createContextualFragment", "localStorage", "document.cookie"),
    *("javascript:", "import(", "postMessage"),
)


@pytest.fixture(scope="module")
def browser(cast: Cast, live: LiveServer) -> Iterator[httpx2.Client]:
    """Signed in by a cookie; what proves a page to be ours is left to each test. In the end, no
    row of the tenant's has changed."""
    person = cast["memberA"]
    with httpx2.Client(base_url=cast.url, timeout=30) as client:
        entered = client.post(
            "/api/v1/auth/login",
            json={"email": person.email, "password": person.password},
            headers={"X-Client": "web"},
        )
        assert set(ok(entered)) == {"csrf_token", "user"}
        given = entered.headers["set-cookie"]
        name, _, rest = given.partition("=")
        assert name == "__Host-session"
        assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= set(rest.split("; ")[1:])
        assert "domain" not in given.lower()
        client.cookies.clear()
        client.headers["Cookie"] = given.partition(";")[0]
        ok(client.get("/api/v1/auth/me"))
        before = kept(live.database, tenant_of(cast))
        yield client
        assert kept(live.database, tenant_of(cast)) == before


@pytest.mark.rows(75)
@pytest.mark.parametrize("operation", CHANGING, ids=str)
def test_another_site_changes_nothing_with_the_cookie(
    browser: httpx2.Client, operation: Operation
) -> None:
    """By script, by form, and with the proof of our pages but another origin; by any route."""
    path = re.sub(r"{\w+}", "0190b6a0-0000-7000-8000-000000000000", operation.path)
    csrf = ok(browser.get("/api/v1/auth/me"))["csrf_token"]
    for headers in (
        {"Origin": EVIL[0]},
        {"Content-Type": "text/plain", "Origin": EVIL[0]},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"X-CSRF-Token": csrf},
        *({"X-CSRF-Token": csrf, "Origin": origin} for origin in EVIL),
        {"Origin": str(browser.base_url)},
    ):
        answer = browser.request(operation.method, path, content=b"{}", headers=headers)
        assert answer.status_code == 403, headers
    assert browser.get("/api/v1/auth/me").status_code == 200


@pytest.mark.rows(75)
@pytest.mark.parametrize(("number", "operation"), list(enumerate(operations())), ids=str)
def test_no_other_site_reads_an_answer(
    browser: httpx2.Client, number: int, operation: Operation
) -> None:
    path = re.sub(r"{\w+}", "0190b6a0-0000-7000-8000-000000000000", operation.path)
    for origin in some_of(EVIL, number, 1):
        asked = {
            "Origin": origin,
            "Access-Control-Request-Method": operation.method,
            "Access-Control-Request-Headers": "authorization, x-csrf-token",
        }
        for method in ("OPTIONS", operation.method):
            answer = browser.request(method, path, headers=asked)
            assert not [name for name in answer.headers if name.startswith("access-control")]
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"
            assert answer.headers["cross-origin-opener-policy"] == "same-origin"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["x-frame-options"] == "DENY"
            assert "strict-transport-security" not in answer.headers  # this one speaks no TLS


@pytest.mark.rows(69, 75)
@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_our_own_scripts_alone(live: LiveServer, path: str) -> None:
    answer = httpx2.get(live.url + path)
    policy = dict(
        (part.strip() + " ").split(" ", 1)
        for part in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"].strip() == "'none'"  # objects and all else that is not named
    assert policy["base-uri"].strip() == policy["frame-ancestors"].strip() == "'none'"
    assert policy.get("script-src", "'none'").strip() in {"'self'", "'none'"}
    assert answer.headers["x-content-type-options"] == "nosniff"
    if answer.headers["content-type"].startswith("text/html"):
        inline = r"<script(?![^>]*\bsrc=)|<[^>]*\son\w+\s*=|javascript:|<base|<iframe|<object"
        assert not re.search(inline, answer.text, re.IGNORECASE)


@pytest.mark.rows(69)
@pytest.mark.parametrize("file", [*SCRIPTS, *HTML], ids=lambda file: file.name)
def test_no_page_of_ours_makes_markup_of_text(file: Path) -> None:
    source = file.read_text()
    assert [danger for danger in RUNS_TEXT if danger in source] == []
    # Where a link leads, no text may choose: it begins with a path of ours.
    assert not re.search(r"\.(?:href|src|action)\s*=(?!\s*[`\"']/[a-z])", source)


@pytest.mark.rows(69)
def test_there_are_pages_to_look_at() -> None:
    assert {file.stem for file in SCRIPTS} >= {"device"}
    assert {file.stem for file in HTML} >= {"device"}
    assert {"/", "/device", "/invitation", "/reset-password", "/verify-email", "/docs"} <= set(
        PAGES
    )
