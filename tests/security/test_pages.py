"""The pages behind mailed links: nothing of others gets in, and no link gets into a log."""

import re
from html.parser import HTMLParser
from urllib.parse import urldefrag

import httpx2
import pytest

from maestro_ml.identity.letters import EMAIL_PAGE, INVITATION_PAGE, PASSWORD_PAGE
from support.live import Cast, LiveServer, a_password, ok

MAILED = [f"/{page}" for page in (PASSWORD_PAGE, EMAIL_PAGE, INVITATION_PAGE)]
PAGES = ["/", "/device", *MAILED]
FIELDS = {"input", "select", "textarea"}


class Page(HTMLParser):
    """What a page refers to, and what is said of its fields."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.named: set[str] = set()
        self.unlabelled: list[str] = []
        self.inline: list[str] = []
        self._inside = 0
        self._script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given["id"]} if "id" in given else set()
        self.named |= {given["for"]} if "for" in given else set()
        self.named |= set(given.get("aria-describedby", "").split())
        self.named |= {given["data-shows"]} if "data-shows" in given else set()
        if tag == "a":
            self.links.add(given["href"])
        elif "href" in given or "src" in given:
            self.loaded.add(given.get("href") or given["src"])
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        self.inline += [value for value in given.values() if value.startswith("javascript:")]
        self.inline += ["style"] if tag == "style" else []
        self._inside += tag == "label"
        self._script = tag == "script"
        if tag in FIELDS and not self._inside:
            self.unlabelled.append(given["name"])

    def handle_endtag(self, tag: str) -> None:
        self._inside -= tag == "label"
        self._script = False

    def handle_data(self, data: str) -> None:
        self.inline += ["script"] if self._script and data.strip() else []


def get(address: str) -> httpx2.Response:
    return httpx2.get(address, timeout=60)


def scripts_of(url: str, page: Page) -> dict[str, str]:
    """Every script the page runs, by its address."""
    found: dict[str, str] = {}
    waiting = [path for path in page.loaded if path.endswith(".js")]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = get(url + path).text
            waiting += re.findall(r'^import .* from "(.+)";$', found[path], re.MULTILINE)
    return found


@pytest.mark.parametrize("path", PAGES)
def test_a_page_lets_nothing_of_others_in(cast: Cast, path: str) -> None:
    answer = get(cast.url + path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    policy = dict(
        rule.strip().split(" ", 1) for rule in answer.headers["content-security-policy"].split(";")
    )
    assert policy == {
        **dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'"),
        **dict.fromkeys(("script-src", "style-src", "connect-src"), "'self'"),
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert not Page(answer.text).inline


@pytest.mark.parametrize("path", PAGES)
def test_whatever_a_page_refers_to_is_there(cast: Cast, path: str) -> None:
    page = Page(get(cast.url + path).text)
    assert page.named <= page.ids
    assert not page.unlabelled
    for link in page.links:
        assert get(cast.url + link).status_code == 200
    for file in page.loaded:
        answer = get(cast.url + file)
        assert answer.status_code == 200
        kind = "text/css" if file.endswith(".css") else "text/javascript"
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["x-content-type-options"] == "nosniff"
    for script in scripts_of(cast.url, page).values():
        used = set(re.findall(r'\bat\("([\w-]+)"\)', script))
        assert used <= page.ids | {"told"}


@pytest.mark.parametrize("path", ["/device", *MAILED])
def test_a_script_makes_no_html_and_takes_the_link_out_of_the_address(
    cast: Cast, path: str
) -> None:
    scripts = scripts_of(cast.url, Page(get(cast.url + path).text))
    assert len(scripts) == 2
    for script in scripts.values():
        for danger in ("HTML =", "HTML(", "document.write", "eval(", "Function(", "localStorage"):
            assert danger not in script
    shared = scripts.pop("/pages/pages.js")
    assert 'history.replaceState(null, "", location.pathname)' in shared
    (own,) = scripts.values()
    assert "fragment()" in own
    assert "location.hash" not in own


@pytest.mark.parametrize(
    "file", ["device.html", "nothing.js", "..%2F__init__.py", "%2e%2e", "pages.css%00", "a/b"]
)
def test_no_other_file_is_served(cast: Cast, file: str) -> None:
    answer = get(f"{cast.url}/pages/{file}")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-address")


def test_a_page_says_how_long_a_password_has_to_be(cast: Cast) -> None:
    for path in (f"/{PASSWORD_PAGE}", f"/{INVITATION_PAGE}"):
        assert "At least 15 characters" in get(cast.url + path).text
    for path in PAGES:
        assert not re.search(r"\{\w*\}", get(cast.url + path).text)


def test_the_front_page_says_what_and_where_it_is(cast: Cast) -> None:
    version = get(f"{cast.url}/version").json()["version"]
    text = get(f"{cast.url}/").text
    assert f"Version {version}." in text
    assert f"maestro login --url {cast.url}\n" in text


def test_opening_a_mailed_link_sends_nothing_and_uses_nothing_up(
    cast: Cast, live: LiveServer
) -> None:
    email = f"{a_password()[:12].lower()}@invited.test"
    with cast.client("adminA") as admin:
        offer = ok(admin.post("/users/invitations", json={"email": email, "role": "viewer"}))
    with cast.client("root") as root:
        newest = ok(root.get("/outbox?limit=200"))["items"]
        mail = next(m for m in newest if (m["recipient"], m["kind"]) == (email, "invitation"))
        text = ok(root.get(f"/outbox/{mail['id']}"))["text"]
    link = next(word for word in text.split() if "#" in word)
    page, token = urldefrag(link)
    assert (page, token) == (f"{cast.url}/{INVITATION_PAGE}", offer["token"])
    with cast.client() as nobody:
        for _ in range(2):
            assert nobody.get(link).status_code == 200
        told = ok(nobody.post("/auth/invitations/read", json={"token": token}))
        assert (told["tenant_name"], told["email"], told["role"]) == ("Tenant A", email, "viewer")
        body = {"token": token, "password": a_password(), "name": "<b onload=x>"}
        headers = {"X-Client": "web", "Origin": cast.url}
        joined = nobody.post("/auth/invitations/accept", json=body, headers=headers)
        assert joined.status_code == 201
        assert set(joined.json()) == {"csrf_token", "user"}
        cookie = joined.headers["set-cookie"]
        assert "HttpOnly" in cookie
        me = nobody.get("/auth/me", headers={"Cookie": cookie.partition(";")[0]})
        assert (ok(me)["email"], ok(me)["name"]) == (email, "<b onload=x>")
    assert token not in live.logged.read_text()
