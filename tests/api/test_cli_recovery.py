"""`maestro password`, `email` and `outbox` in a terminal, with and without a mail server."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from maestro_ml.client import MaestroClient
from support.live import LiveServer, a_password
from support.mail import Inbox, a_mail_server

ROOT = "root@maestro.test"
PATIENCE = 30


@dataclass
class Terminal:
    """Somebody's, with a folder of their own for the key."""

    server: LiveServer
    config: Path

    def __call__(self, *args: str, typed: str = "", exit_code: int = 0) -> str:
        """What the command prints; words for people come behind the data."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("MAESTRO_")}
        done = subprocess.run(
            [sys.executable, "-m", "maestro_ml.cli.main", *args],
            input=typed,
            env=env | {"MAESTRO_CONFIG_DIR": str(self.config), "MAESTRO_URL": self.server.url},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == exit_code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbox]:
    with a_mail_server(tmp_path_factory.mktemp("mail")) as inbox:
        yield inbox


@pytest.fixture(scope="module", params=["outbox", "smtp"])
def server(
    request: pytest.FixtureRequest, inbox: Inbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    env = {
        "MAESTRO_MAIL__HOST": "localhost",
        "MAESTRO_MAIL__PORT": str(inbox.port),
        "MAESTRO_MAIL__SENDER": "maestro@maestro.test",
        "MAESTRO_MAIL__CA_FILE": str(inbox.ca_file),
    }
    data = tmp_path_factory.mktemp("cli") / "data"
    with LiveServer(data, env if request.param == "smtp" else {}) as server:
        yield server


@pytest.fixture(scope="module")
def root(server: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Terminal, str]:
    """The platform's admin at a terminal, and their password."""
    terminal, password = Terminal(server, tmp_path_factory.mktemp("root")), a_password()
    with MaestroClient(server.url) as client:
        client.auth.setup(token=server.setup_token(), email=ROOT, password=password, name="Root")
    terminal("login", "--email", ROOT, "--password-stdin", typed=password)
    return terminal, password


@pytest.fixture
def ada(server: LiveServer, tmp_path: Path, root: Any) -> tuple[Terminal, str, str]:
    """Somebody who is signed in: their terminal, address and password."""
    terminal, password = Terminal(server, tmp_path), a_password()
    email = f"{tmp_path.name.replace('_', '-')}@lab.test".lower()
    with MaestroClient(server.url) as client:
        client.auth.register(email=email, password=password, name="Ada")
        client.auth.logout()
    terminal("login", "--email", email, "--password-stdin", typed=password)
    return terminal, email, password


def link_to(email: str, root: tuple[Terminal, str], inbox: Inbox) -> str:
    """From the mail that they got, or that the admin passes on."""
    terminal, password = root
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for got in reversed(inbox.got):
            if got["To"] == email and "#" in got.get_content():
                return next(word for word in str(got.get_content()).split() if "#" in word)
        listed = terminal("outbox", "list", "--password-stdin", typed=password)
        for line in listed.splitlines():
            if email in line.split() and "kept" in line:
                shown = terminal(
                    "outbox", "show", line.split()[0], "--password-stdin", typed=password
                )
                links = [word for word in shown.split() if "#mll_" in word]
                if links:
                    return links[0]
    raise AssertionError(f"no mail came to {email}")


def test_a_forgotten_password(
    root: tuple[Terminal, str], ada: tuple[Terminal, str, str], inbox: Inbox
) -> None:
    terminal, email, old = ada
    assert "on its way" in terminal("password", "forgot", "--email", email)
    link = link_to(email, root, inbox)
    new = a_password()
    reset = ("password", "reset", "--link", link, "--password-stdin")
    assert "Now `maestro login`" in terminal(*reset, typed=new)
    assert "not valid" in terminal(*reset, typed=new, exit_code=1)
    terminal("whoami", exit_code=1)  # the key has ended
    sign_in = ("login", "--email", email, "--password-stdin")
    assert "wrong" in terminal(*sign_in, typed=old, exit_code=1)
    terminal(*sign_in, typed=new)
    assert email in terminal("whoami")


def test_a_change_of_password(ada: tuple[Terminal, str, str]) -> None:
    terminal, email, old = ada
    new = a_password()
    change = ("password", "change", "--password-stdin")
    assert "wrong" in terminal(*change, typed=f"{a_password()}\n{new}\n", exit_code=1)
    poor = terminal(*change, typed=f"{old}\nshort\n", exit_code=1)
    assert "at least 15 characters" in poor
    assert "changed" in terminal(*change, typed=f"{old}\n{new}\n")
    assert email in terminal("whoami")  # the key goes on
    terminal("login", "--email", email, "--password-stdin", typed=new)


def test_a_change_of_address(
    root: tuple[Terminal, str], ada: tuple[Terminal, str, str], inbox: Inbox
) -> None:
    terminal, email, password = ada
    new = f"x-{email}"
    terminal("email", "change", new, "--password-stdin", typed=password)
    assert email in terminal("whoami")
    terminal("email", "verify", "--link", link_to(new, root, inbox))
    assert new in terminal("whoami")


def test_nothing_is_asked_where_nobody_can_answer(ada: tuple[Terminal, str, str]) -> None:
    terminal, *_ = ada
    assert "--link" in terminal("password", "reset", exit_code=1)
    assert "--email" in terminal("password", "forgot", exit_code=1)
    assert "--password-stdin" in terminal("password", "change", exit_code=1)


def test_the_outbox_is_the_platform_admins(
    root: tuple[Terminal, str], ada: tuple[Terminal, str, str]
) -> None:
    terminal, _, password = ada
    refused = terminal("outbox", "list", "--password-stdin", typed=password, exit_code=1)
    assert "permission outbox:read" in refused
    admin, known = root
    assert admin("outbox", "list", "--json", "--password-stdin", typed=known).startswith("[")
    wrong = admin("outbox", "show", "x", "--password-stdin", typed=known, exit_code=1)
    assert "is no id" in wrong
