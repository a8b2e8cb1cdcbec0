"""An admin's week by the SDK and the command line, against a live server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maestro_ml.client import (
    Conflict,
    Invalid,
    MaestroClient,
    MaestroClientError,
    NotFound,
    Unauthenticated,
)
from support.live import LiveServer, a_password

PASSWORD = a_password()
EMAIL = "root@maestro.test"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("admin") / "data") as server:
        with MaestroClient(server.url) as client:
            token = server.setup_token()
            client.auth.setup(token=token, email=EMAIL, password=PASSWORD, name="Root")
        yield server


@pytest.fixture(scope="module")
def root(server: LiveServer) -> Iterator[MaestroClient]:
    with MaestroClient(server.url) as client:
        client.auth.login(email=EMAIL, password=PASSWORD)
        yield client


@pytest.fixture
def maestro(server: LiveServer, root: MaestroClient, tmp_path: Path) -> Any:
    """The command line, as an admin with the key that `maestro login` makes."""
    key = root.api_keys.create("cli", scopes=["read", "write", "admin"]).token
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAESTRO_")}
    env |= {"MAESTRO_URL": server.url, "MAESTRO_TOKEN": key, "MAESTRO_CONFIG_DIR": str(tmp_path)}

    def run(*args: str, password: bool = False, code: int = 0) -> str:
        line = [sys.executable, "-m", "maestro_ml.cli.main", *args]
        line += ["--password-stdin"] if password else []
        done = subprocess.run(
            line, input=f"{PASSWORD}\n", capture_output=True, text=True, check=False, env=env
        )
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


def test_people_by_the_sdk(server: LiveServer, root: MaestroClient) -> None:
    offer = root.users.invite(email="mel@maestro.test", role="member")
    assert [i.email for i in root.users.invitations()] == ["mel@maestro.test"]
    with MaestroClient(server.url) as mel:
        password = a_password()
        token = offer.token or ""
        user = mel.auth.accept_invitation(token=token, password=password, name="Mel").user
        root.users.sign_out(user.id)
        with pytest.raises(Unauthenticated):
            mel.auth.me()
        assert not root.users.deactivate(user.id).active
        assert [u.id for u in root.users.list(active=False)] == [user.id]
        with pytest.raises(Unauthenticated):
            mel.auth.login(email="mel@maestro.test", password=password)
        assert root.users.reactivate(user.id).active
        mel.auth.login(email="mel@maestro.test", password=password)
        root.accounts.disable("mel@maestro.test")
        with pytest.raises(Unauthenticated):
            mel.auth.me()
        root.accounts.enable("mel@maestro.test")
    assert [u.name for u in root.users.list(search="mel", role="member", sort="-name")] == ["Mel"]
    root.users.remove(user.id)
    with pytest.raises(NotFound):
        root.users.get(user.id)
    with pytest.raises(Conflict, match="last admin"):
        root.users.remove(root.auth.me().id)
    again = root.users.invite(email="again@maestro.test", role="viewer")
    root.users.revoke_invitation(again.id or "")
    assert list(root.users.invitations()) == []


def test_machines_by_the_sdk(server: LiveServer, root: MaestroClient) -> None:
    bot = root.service_accounts.create("nightly", description="Trains.", role="member")
    assert root.service_accounts.get(bot.id) == bot
    key = root.service_accounts.keys(bot.id).create("k", expires_in_days=365)
    with MaestroClient(server.url, token=key.token) as machine:
        assert machine.auth.me().name == "nightly"
        assert root.service_accounts.update(bot.id, role="viewer", active=False).role == "viewer"
        with pytest.raises(Unauthenticated):
            machine.auth.me()
        root.service_accounts.update(bot.id, active=True)
        assert [k.id for k in root.service_accounts.keys(bot.id).list()] == [key.id]
        root.service_accounts.keys(bot.id).revoke(key.id)
        with pytest.raises(Unauthenticated):
            machine.auth.me()
    root.service_accounts.delete(bot.id)
    assert list(root.service_accounts.list()) == []


def test_tenants_by_the_sdk(root: MaestroClient) -> None:
    made = root.tenants.create(name="Rival", slug="rival", admin_email="eve@rival.test").tenant
    assert root.tenants.get("rival") == root.tenants.get(made.id) == made
    assert root.tenants.rename(made.id, "Rivals").name == "Rivals"
    limits = root.tenants.set_limits(made.id, max_users=7, max_requests_per_minute=60).limits
    assert (limits["max_users"], limits["max_requests_per_minute"]) == (7, 60)
    assert root.tenants.suspend(made.id).status == "suspended"
    assert [t.slug for t in root.tenants.list(status="suspended")] == ["rival"]
    assert root.tenants.resume(made.id).status == "active"
    with pytest.raises(Invalid):
        root.tenants.delete(made.id, confirm="default")
    with pytest.raises(MaestroClientError, match="no tenant with the slug"):
        root.tenants.get("nowhere")
    policy = root.tenants.set_policy(session_profile="strict", allowed_domains=["maestro.test"])
    assert root.tenants.policy() == policy
    with pytest.raises(Invalid, match="mail domain"):
        root.users.invite(email="a@elsewhere.test", role="viewer")
    root.tenants.set_policy(session_profile="standard", allowed_domains=[])


def test_an_admins_week_at_the_terminal(maestro: Any, server: LiveServer) -> None:
    token = maestro("invites", "create", "ada@maestro.test", "--role", "member").strip()
    with MaestroClient(server.url) as ada:
        ada.auth.accept_invitation(token=token, password=a_password(), name="Ada")
    assert "ada@maestro.test" in maestro("users", "list", "--active", "--kind", "person")
    maestro("users", "set-role", "Ada@maestro.test", "maintainer")
    shown = json.loads(maestro("users", "show", "ada@maestro.test", "--json"))
    assert (shown["role"], shown["active"]) == ("maintainer", True)
    maestro("users", "deactivate", "ada@maestro.test", "--yes")
    maestro("users", "reactivate", "ada@maestro.test")
    maestro("users", "sign-out", "ada@maestro.test")
    maestro("users", "remove", "ada@maestro.test", "--yes")
    assert "not in your tenant" in maestro("users", "show", "ada@maestro.test", code=1)
    maestro("service-accounts", "create", "bot", "--json")
    key = maestro("service-accounts", "keys", "create", "bot", "ci", password=True).strip()
    with MaestroClient(server.url, token=key) as bot:
        assert bot.auth.me().name == "bot"
    maestro("service-accounts", "update", "bot", "--deactivate")
    assert "bot" in maestro("service-accounts", "list")
    listed = maestro("users", "list")
    assert "service.invalid" not in listed
    assert "bot" in listed
    assert "admin:appoint" not in maestro(
        "service-accounts", "update", "bot", "--role", "admin", password=True
    )
    assert "no terminal" in maestro("service-accounts", "update", "bot", "--role", "admin", code=1)
    maestro("service-accounts", "delete", "bot", "--yes")
    assert "4" in maestro("tenants", "current")
    assert "second factor" in maestro("tenants", "policy", "--mfa", password=True, code=1)


def test_a_tenants_life_at_the_terminal(maestro: Any) -> None:
    new = ("Acme Labs", "--slug", "acme", "--admin", "eve@acme.test")
    assert maestro("tenants", "create", *new, password=True).startswith("mli_")
    maestro("tenants", "set-limits", "acme", "--max-projects", "3", password=True)
    assert "0 of 3" in maestro("tenants", "show", "acme", password=True)
    maestro("tenants", "suspend", "acme", "--yes", password=True)
    listed = json.loads(
        maestro("tenants", "list", "--status", "suspended", "--json", password=True)
    )
    assert [tenant["slug"] for tenant in listed] == ["acme"]
    maestro("tenants", "resume", "acme", password=True)
    assert "--yes" in maestro("tenants", "delete", "acme", password=True, code=1)
    told = json.loads(maestro("tenants", "delete", "acme", "--yes", "--json", password=True))
    assert (told["state"], told["result"]["slug"]) == ("done", "acme")
    assert not any(told["result"]["after"].values())
    assert told["id"] in maestro("tenants", "deletions", password=True)
    assert "0 rows" in maestro("tenants", "deletion", told["id"], password=True)
    assert "no tenant" in maestro("tenants", "show", "acme", password=True, code=1)


def test_an_invitation_is_mailed_again_and_taken_up_with_and_without_a_name(
    maestro: Any, root: MaestroClient
) -> None:
    first = maestro("invites", "create", "kim@maestro.test").strip()
    again = maestro("invites", "resend", "Kim@maestro.test").strip()
    assert again != first
    assert "not valid" in maestro("join", "--invitation", first, password=True, code=1)
    assert "--name" in maestro("join", "--invitation", again, password=True, code=1)
    maestro("join", "--invitation", again, "--name", "Kim", password=True)
    assert "not invited" in maestro("invites", "resend", "kim@maestro.test", code=1)
    made = root.tenants.create(name="Third", slug="third", admin_email="kim@maestro.test")
    maestro("join", "--invitation", made.invitation.token or "", password=True)


def test_the_link_that_verifies_an_address_is_mailed_again(
    maestro: Any, root: MaestroClient
) -> None:
    maestro("email", "resend", password=True)
    sent = next(mail for mail in root.outbox.list() if mail.recipient == EMAIL)
    assert sent.kind == "email.verify"
