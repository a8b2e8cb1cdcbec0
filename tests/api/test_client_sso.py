"""Identity providers through the SDK and the command line, against a live server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_ml.client import Invalid, MaestroClient, NotFound
from maestro_ml.core.ids import new_id
from support.issuer import CLIENT, HOST, SECRET, Issuer, an_issuer
from support.live import LiveServer, a_password

PASSWORD = a_password()


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with an_issuer() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("sso")
    with LiveServer(folder / "data", {"MAESTRO_OUTBOUND__ALLOW": HOST}) as server:
        yield server


@pytest.fixture(scope="module")
def admin(server: LiveServer) -> Iterator[MaestroClient]:
    with MaestroClient(server.url) as client:
        client.auth.setup(
            token=server.setup_token(), email="root@maestro.test", password=PASSWORD, name="Root"
        )
        yield client


@pytest.fixture(scope="module")
def env(
    server: LiveServer, admin: MaestroClient, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    key = admin.api_keys.create("command line", scopes=["read", "write", "admin"])
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAESTRO_")}
    home: Path = tmp_path_factory.mktemp("home")
    return clean | {
        "MAESTRO_URL": server.url,
        "MAESTRO_TOKEN": key.token,
        "MAESTRO_CONFIG_DIR": str(home),
    }


def maestro(env: dict[str, str], *args: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """With the password first, where one is asked for: no key changes who vouches for people."""
    command = [sys.executable, "-m", "maestro_ml.cli.main", "identity-providers", *args]
    if args[0] not in {"list", "show"}:
        command.append("--password-stdin")
        typed = f"{PASSWORD}\n{typed}"
    return subprocess.run(
        command, env=env, input=typed, text=True, capture_output=True, check=False, timeout=60
    )


def test_the_sdk_keeps_them(admin: MaestroClient, issuer: Issuer) -> None:
    made = admin.identity_providers.create(
        "Ours",
        slug="sdk",
        issuer=issuer.url,
        client_id=CLIENT,
        client_secret=SECRET,
        allowed_domains=["sso.test"],
        group_roles={"ops": "maintainer"},
    )
    assert made.has_secret
    assert made.id in {one.id for one in admin.identity_providers.list()}
    assert admin.identity_providers.get(made.id) == made
    assert admin.identity_providers.test(made.id).works
    assert not made.trusts_mfa
    assert admin.identity_providers.update(made.id, trusts_mfa=True).trusts_mfa
    assert not admin.identity_providers.update(made.id, enabled=False).enabled
    admin.identity_providers.delete(made.id)
    with pytest.raises(NotFound):
        admin.identity_providers.get(made.id)
    with pytest.raises(Invalid):
        admin.identity_providers.create(
            "Inside", slug="inside", issuer="http://127.0.0.1:22", client_id="c"
        )


def test_the_command_line_keeps_them(env: dict[str, str], issuer: Issuer) -> None:
    assert "`maestro identity-providers create`" in maestro(env, "list").stderr
    about = ("Ours", "--slug", "ours", "--issuer", issuer.url, "--client-id", CLIENT)
    added = maestro(env, "create", *about, "--domain", "sso.test", "--secret-stdin", typed=SECRET)
    assert added.returncode == 0, added.stderr
    assert added.stdout.startswith("http://127.0.0.1:")
    assert "/api/v1/auth/oidc/callback/" in added.stdout
    assert SECRET not in added.stdout + added.stderr
    works = maestro(env, "test", "ours")
    assert works.returncode == 0
    assert works.stderr.endswith("It answers as OpenID Connect asks.\n")
    issuer.document = {"issuer": "https://elsewhere.test"}
    broken = maestro(env, "test", "ours")
    issuer.document = {}
    assert broken.returncode == 1
    assert "names another issuer" in broken.stderr
    changed = maestro(env, "update", "ours", "--group", "ops=maintainer", "--off", "--trust-mfa")
    assert changed.returncode == 0
    shown = maestro(env, "show", "ours", "--json").stdout
    assert '"ops": "maintainer"' in shown
    assert '"enabled": false' in shown
    assert '"trusts_mfa": true' in shown
    assert maestro(env, "update", "ours", "--no-trust-mfa").returncode == 0
    assert '"trusts_mfa": false' in maestro(env, "show", "ours", "--json").stdout
    assert "sso.test" in maestro(env, "list").stdout


def test_the_command_line_asks_before_it_removes(env: dict[str, str]) -> None:
    asked = maestro(env, "delete", "ours")
    assert asked.returncode == 1
    assert "give --yes" in asked.stderr
    assert maestro(env, "delete", "ours", "--yes").returncode == 0
    gone = maestro(env, "show", str(new_id()))
    assert gone.returncode == 1
    assert "no identity provider" in gone.stderr


@pytest.mark.parametrize("pair", ["ops", "=admin", "ops="])
def test_a_group_without_a_role_is_a_mistake(env: dict[str, str], pair: str) -> None:
    assert maestro(env, "update", "ours", "--group", pair).returncode == 2
