"""The server that users' commands speak to, and as whom."""

import getpass
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from maestro_ml.cli import credentials
from maestro_ml.cli.output import Refused, say
from maestro_ml.cli.second_factor import Asking, show_codes

if TYPE_CHECKING:
    from maestro_ml.client import MaestroClient

T = TypeVar("T")
API_KEY = "mlp_"
PasswordStdin = Annotated[
    bool,
    typer.Option(
        "--password-stdin",
        help="Read the password from standard input; a code, if asked for, from the line after.",
    ),
]


@contextmanager
def speaking(url: str, token: str | None = None) -> Iterator["MaestroClient"]:
    """A client; its failures end the command with their sentence."""
    # The HTTP client and pydantic take longer to load than `--help` takes.
    from maestro_ml.client import MaestroApiError, MaestroClient, MaestroClientError, Unavailable

    try:
        with MaestroClient(url, token) as client:
            yield client
    except MaestroApiError as refused:
        traced = isinstance(refused, Unavailable) and refused.request_id
        raise Refused(
            f"{refused} (request {refused.request_id})" if traced else f"{refused}"
        ) from None
    except MaestroClientError as failed:
        raise Refused(str(failed)) from None


def answered(ask: Callable[[], T], *, unless: str) -> T | None:
    """What the server gives; None where it refuses with this code."""
    from maestro_ml.client import MaestroApiError

    try:
        return ask()
    except MaestroApiError as refused:
        if refused.code != unless:
            raise
        return None


@contextmanager
def api() -> Iterator["MaestroClient"]:
    """As whoever is signed in, or as MAESTRO_TOKEN says."""
    url, token = _whereabouts()
    with speaking(url, token) as client:
        yield client


@contextmanager
def session(
    *, password_stdin: bool = False, password: str | None = None, leave: bool = True
) -> Iterator["MaestroClient"]:
    """The same person, proved by their password: some things no API key may do.

    The session ends with the command, unless the command sees to that. A password that is known
    by now is not asked for again.
    """
    url, token = _whereabouts()
    with speaking(url, token) as client:
        if not token.startswith(API_KEY):
            yield client
            return
        password = password or _password_for(client, stdin=password_stdin)
        _prove(client, password, stdin=password_stdin)
        try:
            yield client
        finally:
            if leave:
                client.auth.logout()


def appointing(
    role: str | None, *, password_stdin: bool
) -> AbstractContextManager["MaestroClient"]:
    """Whoever makes somebody an admin does it with their password, so that no key can."""
    return session(password_stdin=password_stdin) if role == "admin" else api()


@contextmanager
def proved(*, password_stdin: bool) -> Iterator[tuple["MaestroClient", str]]:
    """A session, and the password: some things are asked for with both."""
    url, token = _whereabouts()
    with speaking(url, token) as client:
        password = _password_for(client, stdin=password_stdin)
        own = token.startswith(API_KEY)
        if own:
            _prove(client, password, stdin=password_stdin)
        try:
            yield client, password
        finally:
            if own:
                client.auth.logout()


def _password_for(client: "MaestroClient", *, stdin: bool) -> str:
    say(f"{client.url} wants to see {client.auth.me().email}'s password for this.")
    return a_password(stdin=stdin)


def _prove(client: "MaestroClient", password: str, *, stdin: bool) -> None:
    me, asking = client.auth.me(), Asking(stdin=stdin)
    signed_in = client.auth.login(
        email=me.email,
        password=password,
        tenant=me.tenant.slug if me.tenant else None,
        code=asking.code,
        enrol=asking.first_code,
    )
    show_codes(signed_in.recovery_codes)


def url_or_default(url: str | None = None) -> str:
    """The address given, in the environment, signed in at, or of a server right here."""
    kept = None if url or os.environ.get("MAESTRO_URL") else credentials.load()
    return (
        url or os.environ.get("MAESTRO_URL") or (kept.url if kept else credentials.DEFAULT_URL)
    ).rstrip("/")


def sign_in_at(server: str, email: str | None = None) -> str:
    """The command that signs in there: what it would do by itself is left out."""
    who = f" --email {email}" if email else ""
    where = f" --url {server}" if server != url_or_default() else ""
    return f"`maestro login{where}{who}`"


def a_password(*, stdin: bool, twice: bool = False, called: str = "Password") -> str:
    """Asked for without echo, or one line of standard input.

    Raises:
        Refused: there is no terminal, or the two do not match.
    """
    if stdin:
        return sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    if not sys.stdin.isatty():
        raise Refused("There is no terminal to ask for a password: give --password-stdin.")
    password = getpass.getpass(f"{called}: ")
    if twice and getpass.getpass("The same again: ") != password:
        raise Refused("The two passwords differ: nothing was done.")
    return password


def an_answer(question: str, option: str) -> str:
    """Ask for something that can also be given as an option."""
    if not sys.stdin.isatty():
        raise Refused(f"There is no terminal to ask for the {question}: give {option}.")
    answer: str = typer.prompt(question[0].upper() + question[1:], err=True)
    return answer


def the_token(link: str) -> str:
    """What a mailed link is about: it stands behind `#`. Where the link leads does not matter, so
    that one from a stranger sends nothing there."""
    return link.strip().rpartition("#")[2]


def _whereabouts() -> tuple[str, str]:
    url, token = os.environ.get("MAESTRO_URL"), os.environ.get("MAESTRO_TOKEN")
    if token:
        return url_or_default(), token
    kept = credentials.load()
    if kept is None:
        raise Refused("Nobody is signed in: run `maestro login`, or set MAESTRO_TOKEN.")
    if url and url.rstrip("/") != kept.url:
        # A key must not travel to a server that it was not made for.
        raise Refused(
            f"You are signed in at {kept.url} and MAESTRO_URL names {url}: run `maestro login`, "
            "or set MAESTRO_TOKEN too."
        )
    return kept.url, kept.token
