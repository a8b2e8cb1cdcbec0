"""`maestro login`, `logout` and `whoami`."""

import os
import platform
import sys
from typing import Annotated
from urllib.parse import urlsplit

import typer

from maestro_ml.cli import credentials
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
) -> None:
    """Sign in, so that later commands act as you.

    Makes an API key named after this machine and keeps that key, never the password, in a file
    that only you can read. MAESTRO_URL and MAESTRO_TOKEN override it; `maestro logout` ends it.
    """
    server = url_or_default(url)
    _warn_if_open(server)
    if token:
        kept = _with_key(server)
    else:
        address = email or an_answer("e-mail", "--email")
        kept = _with_password(server, address, a_password(stdin=password_stdin), tenant)
    previous = _previous()
    path = credentials.save(kept)
    say(f"Signed in at {kept.url} as {kept.email}. The key is in {path}.")
    if previous is not None and previous.key_id != kept.key_id:
        say(
            f"The key of the sign-in before, at {previous.url}, is still good: end it with "
            f"`maestro api-keys revoke {previous.key_id}`."
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
            f"`maestro login` and `maestro api-keys revoke {kept.key_id}`."
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


def _with_password(server: str, email: str, password: str, tenant: str | None) -> Credentials:
    with speaking(server) as client:
        role = client.auth.login(email=email, password=password, tenant=tenant).user.role
        try:
            name = f"maestro login on {platform.node() or 'a machine'}"
            scopes = ["read", "write", *(["admin"] if role == "admin" else [])]
            key = client.api_keys.create(name[:100], scopes=scopes)
        finally:
            client.auth.logout()
        return Credentials(url=client.url, token=key.token, email=email, key_id=str(key.id))


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
