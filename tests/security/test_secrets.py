"""Row 78: no secret lies anywhere in clear. Every live server of this suite is searched when it
stops; here one plays a whole life first, with a mail server and an identity provider."""

import asyncio
import secrets
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pyotp
import pytest

from maestro_ml.core.clock import utc_now
from maestro_ml.identity import tokens
from support.databases import PostgresDatabases, SqliteDatabases
from support.issuer import HOST, a_person, an_issuer
from support.leaks import KNOWN, STDOUT, in_files, in_process, leaks, secret
from support.live import Cast, LiveServer, a_cast, a_password, ok
from support.mail import PASSWORD, SENDER, USER, Inbox, a_mail_server
from support.sources import AllFromEverywhere
from support.sso import Browser, registered

PATIENCE = 60


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    folder = tmp_path / "mail"
    folder.mkdir()
    with a_mail_server(folder, auth=True) as inbox:
        yield inbox


@pytest.fixture
async def server(
    databases: PostgresDatabases | SqliteDatabases, tmp_path: Path, inbox: Inbox
) -> AsyncIterator[LiveServer]:
    """With its own SQLite file in the data folder, or on PostgreSQL."""
    known = tmp_path / "smtp"
    known.write_text(PASSWORD)
    env = {
        "MAESTRO_MAIL__HOST": "localhost",
        "MAESTRO_MAIL__PORT": str(inbox.port),
        "MAESTRO_MAIL__SENDER": SENDER,
        "MAESTRO_MAIL__CA_FILE": str(inbox.ca_file),
        "MAESTRO_MAIL__USERNAME": USER,
        "MAESTRO_MAIL__PASSWORD_FILE": str(known),
        "MAESTRO_OUTBOUND__ALLOW": HOST,
    }
    async with databases.empty() as url:
        if isinstance(databases, PostgresDatabases):
            env["MAESTRO_DATABASE__URL"] = url
        with LiveServer(tmp_path / "data", env) as server:
            yield server


async def link_to(inbox: Inbox, email: str, word: str) -> str:
    """The token of the link that was mailed to them, in a mail with that word."""
    async with asyncio.timeout(PATIENCE):
        while True:
            for mail in reversed(inbox.got):
                text = str(mail.get_content())
                if mail["To"] == email and "#" in text and word in text:
                    link = next(word for word in text.split() if "#" in word)
                    return secret(link.rpartition("#")[2])
            await asyncio.sleep(0.1)


async def a_life(http: httpx2.AsyncClient, cast: Cast, inbox: Inbox) -> None:
    email, first, second = f"{secrets.token_hex(6)}@life.test", a_password(), a_password()

    async def post(path: str, body: Any = None, token: str = "", **headers: str) -> Any:
        sent = {"Authorization": f"Bearer {token}"} if token else headers
        return ok(await http.post(f"/api/v1{path}", json=body, headers=sent))

    made = await post("/auth/register", {"email": email, "password": first, "name": "Ada"})
    token = made["access_token"]
    await post("/auth/refresh", {"refresh_token": made["refresh_token"]})
    key = await post("/api-keys", {"name": "k"}, token)
    ok(await http.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {key['secret']}"}))
    begun = await post("/auth/mfa/totp", {"current_password": first}, token)
    app = pyotp.TOTP(begun["secret"])
    now = utc_now()
    codes = await post("/auth/mfa/totp/confirm", {"code": app.at(now)}, token)
    for step in (
        {"code": app.at(now, counter_offset=1)},
        {"recovery_code": codes["recovery_codes"][0]},
    ):
        half = await post("/auth/login", {"email": email, "password": first})
        await post("/auth/login/mfa", step | {"mfa_token": half["mfa_token"]})
    await post(
        "/auth/email/change", {"new_email": f"new.{email}", "current_password": first}, token
    )
    await link_to(inbox, f"new.{email}", "")
    await post("/auth/password/forgot", {"email": email})
    reset = await link_to(inbox, email, "assword")
    await post("/auth/password/reset", {"token": reset, "new_password": second})
    assert (
        await http.post("/api/v1/auth/login", json={"email": email, "password": a_password()})
    ).is_error

    admin = cast["adminA"]
    web = {"email": admin.email, "password": admin.password}
    entered = await http.post("/api/v1/auth/login", json=web, headers={"X-Client": "web"})
    secret(entered.headers["set-cookie"].partition(";")[0].partition("=")[2])
    device = await post("/auth/device", {"client": "a terminal"})
    await post("/auth/device/approve", {"user_code": device["user_code"]}, admin.token)
    await post("/auth/device/token", {"device_code": device["device_code"]})
    bot = await post("/service-accounts", {"name": "bot"}, admin.token)
    await post(f"/service-accounts/{bot['id']}/keys", {"name": "k"}, admin.token)
    offer = {"email": f"late.{email}", "role": "viewer"}
    await post("/users/invitations", offer, admin.token)
    await link_to(inbox, f"late.{email}", "")
    with an_issuer() as issuer:
        issuer.person = a_person()
        browser = Browser(http)
        assert (await browser.sign_in(registered(cast, issuer))).status_code == 303
        for value in browser.cookies.values():
            secret(value.strip('"'))


@pytest.mark.rows(78)
async def test_a_whole_life_leaves_no_secret_behind(
    server: LiveServer, inbox: Inbox, tmp_path: Path
) -> None:
    cast = a_cast(server)
    known = len(KNOWN)
    async with httpx2.AsyncClient(
        base_url=server.url, timeout=60, transport=AllFromEverywhere()
    ) as http:
        await a_life(http, cast, inbox)
    assert len(KNOWN) > known + 25
    assert server.process is not None
    assert leaks(in_process(server.process.pid)) == []
    server.keeps_its_secrets()  # while it runs, with whatever it has not yet forgotten
    for path in (server.data, *server.data.rglob("*")):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path
    assert (server.data / "secret.key").is_file()


@pytest.mark.rows(78)
def test_what_servers_often_tell_is_not_told(live: LiveServer) -> None:
    for path in (
        *(
            "/.env",
            "/.git/config",
            "/.git/HEAD",
            "/debug",
            "/debug/vars",
            "/admin",
            "/server-status",
        ),
        *(
            "/metrics",
            "/actuator/env",
            "/phpinfo.php",
            "/secret.key",
            "/maestro.db",
            "/api/v1/settings",
        ),
    ):
        for method in ("GET", "HEAD", "POST"):
            assert httpx2.request(method, live.url + path).status_code in {401, 404, 405}, path


@pytest.mark.rows(78)
def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    """Each kind of secret, at each kind of place."""
    password, key = a_password(), tokens.mint(tokens.API_KEY)
    inside = tmp_path / "a" / "file"
    inside.parent.mkdir()
    for word, found in (
        (f"x={password};", "a secret that was used"),
        (f"({key})", "a token mlp_"),
        (key[:-1] + ("0" if key[-1] != "0" else "1"), None),
        ("eyJhbGciOiJFZDI1NTE5In0.eyJzdWIiOiIxIn0.c2ln", "a JSON web token"),
        ("$argon2id$v=19$m=19456", "the hash of a password"),
        ("nothing", None),
    ):
        inside.write_bytes(b"\x00\xff" + word.encode() + b"\x00")
        told = leaks(in_files(tmp_path))
        assert (told == []) if found is None else any(found in one for one in told), word
    setup = tokens.mint(tokens.SETUP).encode()
    assert leaks([(STDOUT, setup)]) == []
    assert leaks([("the log", setup)]) != []
    assert leaks([("users.password_hash", b"$argon2id$")]) == []
    assert leaks([("users.name", b"$argon2id$")]) != []
