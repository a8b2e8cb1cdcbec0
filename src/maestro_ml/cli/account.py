"""`maestro login`, `logout` and `whoami`."""

import os
import platform
import sys
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from maestro_ml.cli import credentials, device
from maestro_ml.cli.credentials import Credentials
from maestro_ml.cli.output import Json, Refused, give, give_one, harmless, say
from maestro_ml.cli.remote import (
    PasswordStdin,
    a_password,
    an_answer,
    api,
    speaking,
    url_or_default,
)
from maestro_ml.cli.second_factor import Asking, show_codes

if TYPE_CHECKING:
    from maestro_ml.client import MaestroClient
    from maestro_ml.client.views import SignIn

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def login(
    url: Annotated[str | None, typer.Option(help="The server's address.")] = None,
    email: Annotated[str | None, typer.Option(help="Your e-mail address.")] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Slug of the tenant to work in, when you are in several.")
    ] = None,
    password_stdin: PasswordStdin = False,
    token: Annotated[
        bool, typer.Option("--token", help="Read an API key from standard input instead.")
    ] = False,
    by_device: Annotated[
        bool,
        typer.Option("--device", help="Print a link to approve in a browser, here or elsewhere."),
    ] = False,
) -> None:
    """Sign in, so that later commands act as you.

    Asks for a code where you have a second factor, and sets one up where your tenant asks for it.
    Makes an API key named after this machine and keeps that key, never the password, in a file
    that only you can read. MAESTRO_URL and MAESTRO_TOKEN override it; `maestro logout` ends it.
    """
    server = url_or_default(url)
    _warn_if_open(server)
    if token:
        kept = _with_key(server)
    elif by_device:
        kept = _with_browser(server)
    else:
        address = email or an_answer("e-mail", "--email")
        password = a_password(stdin=password_stdin)
        kept = with_password(server, address, password, tenant, stdin=password_stdin)
    keep(kept)


def keep(kept: Credentials) -> None:
    """Act as this from now on, and say what becomes of the sign-in before."""
    previous = _previous()
    path = credentials.save(kept)
    say(f"Signed in at {kept.url} as {kept.email}. The key is in {path}.")
    if previous is not None and previous.key_id != kept.key_id:
        say(
            f"The key of the sign-in before, at {previous.url}, is still good: end it with "
            f"`maestro tokens revoke {previous.key_id}`."
        )
    if "MAESTRO_TOKEN" in os.environ:
        say("MAESTRO_TOKEN is set and goes before it.")


def logout() -> None:
    """Sign out: forget the key that `maestro login` keeps, and say whether it is still good."""
    kept = credentials.load()
    if kept is None:
        say("Nobody is signed in: there was nothing to forget.")
        return
    credentials.forget()
    say(f"Forgotten: the key for {kept.url} is no longer on this machine.")
    if kept.key_id is not None:
        say(
            "Whoever copied it can still use it until it expires: end it everywhere with "
            f"`maestro login` and `maestro tokens revoke {kept.key_id}`."
        )


def whoami(as_json: Json = False) -> None:
    """Show who you are to the server: name, role and tenant, as they are now."""
    with api() as client:
        me = client.auth.me()
        if as_json:
            give_one(me, as_json=True)
            return
        where = f"{me.role} in {me.tenant.name}" if me.tenant else "in no tenant"
        above = ", platform admin" if me.platform_admin else ""
        give(f"{me.name} <{me.email}>, {where}{above}, at {client.url}")


def _with_key(server: str) -> Credentials:
    key = sys.stdin.readline().strip()
    if not key:
        raise Refused("No key came from standard input.")
    with speaking(server, key) as client:
        return Credentials(url=client.url, token=key, email=client.auth.me().email)


def with_password(
    server: str, email: str, password: str, tenant: str | None, *, stdin: bool
) -> Credentials:
    """A key for this machine, made by whoever's password this is."""
    asking = Asking(stdin=stdin)
    with speaking(server) as client:
        entered = client.auth.login(
            email=email,
            password=password,
            tenant=tenant,
            code=asking.code,
            enrol=asking.first_code,
        )
        show_codes(entered.recovery_codes)
        return _made(client, entered)


def _with_browser(server: str) -> Credentials:
    with speaking(server) as client:
        return _made(client, device.sign_in(client, _here()))


def _made(client: "MaestroClient", entered: "SignIn") -> Credentials:
    """A key of whoever has signed in; the session has done its work then."""
    try:
        scopes = ["read", "write", *(["admin"] if entered.user.role == "admin" else [])]
        key = client.api_keys.create(_here(), scopes=scopes)
    finally:
        client.auth.logout()
    email = entered.user.email
    return Credentials(url=client.url, token=key.token, email=email, key_id=str(key.id))


def _here() -> str:
    return f"maestro login on {platform.node() or 'a machine'}"[:100]


def _previous() -> Credentials | None:
    """The sign-in that this one takes the place of, when its key was made by us."""
    try:
        kept = credentials.load()
    except Refused:
        return None
    return kept if kept is not None and kept.key_id is not None else None


def _warn_if_open(server: str) -> None:
    parts = urlsplit(server)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        say(
            f"Warning: {harmless(server)} is not encrypted, so others on the way can read your key."
        )
