"""A browser that signs in through an issuer, step by step, so that a test can cheat at each."""

import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2

from support.issuer import CLIENT, SECRET, Issuer
from support.live import Cast, ok
from support.people import People

FLOW, SESSION = "__Host-oidc", "__Host-session"


def a_provider(at: Issuer, /, **changes: Any) -> dict[str, Any]:
    """What an admin sends to let the issuer vouch for people at sso.test."""
    return {
        "name": "Our issuer",
        "slug": "ours",
        "issuer": at.url,
        "client_id": CLIENT,
        "client_secret": SECRET,
        "allowed_domains": ["sso.test"],
    } | changes


def registered(cast: Cast, issuer: Issuer, admin: str = "adminA", **changes: Any) -> str:
    """Where people of that tenant start."""
    body = a_provider(issuer, slug=f"p-{secrets.token_hex(4)}", **changes)
    with cast.client(admin) as client:
        return str(ok(client.post("/identity-providers", json=body))["start_path"])


async def ours(people: People, at: Issuer, /, **changes: Any) -> dict[str, Any]:
    """ACME's admin lets the issuer vouch for people."""
    admin = await people.token()
    made: dict[str, Any] = await people.made(
        admin, "/identity-providers", a_provider(at, **changes)
    )
    return made


@dataclass
class Browser:
    """Its own cookies, and where it was sent last. A secure cookie is sent to loopback, too, as
    browsers do."""

    http: httpx2.AsyncClient
    cookies: dict[str, str] = field(default_factory=dict)
    last: str = ""

    async def get(self, path: str) -> httpx2.Response:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = await self.http.get(path, headers={"Cookie": cookie} if cookie else {})
        for header in answer.headers.get_list("set-cookie"):
            pair, *attributes = header.split("; ")
            name, _, value = pair.partition("=")
            assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= set(attributes), header
            assert not any(part.lower().startswith("domain") for part in attributes)
            if value.strip('"'):
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        self.last = answer.headers.get("location", "")
        return answer

    async def start(self, path: str, then: str = "/device") -> httpx2.Response:
        """To the issuer, as far as its address."""
        return await self.get(f"{path}?{urlencode({'next': then})}")

    async def consent(self) -> str:
        """At the issuer: the path that it sends the browser back to."""
        async with httpx2.AsyncClient() as outside:
            answer = await outside.get(self.last)
        assert answer.status_code == 303, answer.text
        back = urlsplit(answer.headers["location"])
        return f"{back.path}?{back.query}"

    async def sign_in(self, path: str, then: str = "/device") -> httpx2.Response:
        """The whole way."""
        begun = await self.start(path, then)
        assert begun.status_code == 303, begun.text
        return await self.get(await self.consent())

    async def me(self) -> dict[str, Any]:
        answer = await self.get("/api/v1/auth/me")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def changed(path: str, **parts: str | None) -> str:
    """The same address with other parts in its query; None takes one out."""
    at = urlsplit(path)
    query = dict(parse_qsl(at.query)) | parts
    return f"{at.path}?{urlencode({k: v for k, v in query.items() if v is not None})}"


def code_of(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["type"]).removeprefix("/problems/")
