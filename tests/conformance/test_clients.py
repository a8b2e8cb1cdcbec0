"""The real, unmodified clients of MLflow against a live server, in environments of their own.

What they do is in `clients/`: pytest runs it with the client's interpreter, which is told by the
variables that MLflow documents where the server is and who asks, and nothing of Maestro. The newest
client is the one of this environment; `requirements/clients/` names the others. CI runs the newest
on both databases and the oldest on SQLite, `make conformance-all` all of them on both.
"""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.absent import absent
from support.databases import PostgresDatabases, SqliteDatabases
from support.issuer import HOST as RECEIVERS
from support.live import LiveServer, a_password, ok
from support.principals import accepting

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / ".clients"


@pytest.fixture(scope="module")
async def server(
    databases: PostgresDatabases | SqliteDatabases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveServer]:
    """One for all clients: what each test makes has a name that nothing else has."""
    folder = tmp_path_factory.mktemp("server")
    async with databases.empty() as url:
        env = {"MAESTRO_DATABASE__URL": url, "MAESTRO_OUTBOUND__ALLOW": RECEIVERS}
        with LiveServer(folder / "data", env) as server:
            yield server


@pytest.fixture(scope="module")
def keys(server: LiveServer) -> Mapping[str, str]:
    """Of somebody who may do everything in their tenant, the same for reading only, and of somebody
    in another tenant; each by a word."""
    with httpx2.Client(base_url=f"{server.url}/api/v1", timeout=60) as http:
        me = {"email": "root@maestro.test", "password": a_password(), "name": "Root"}
        token = server.setup_token()
        admin = ok(http.post("/auth/setup", json=me | {"token": token}))["access_token"]
        tenant = {"name": "Other", "slug": "other", "admin_email": "eve@other.test"}
        offer = ok(http.post("/tenants", json=tenant, headers=bearer(admin)))["invitation"]["token"]
        eve = ok(http.post("/auth/invitations/accept", json=accepting(offer)))["access_token"]
        for who, slug in ((admin, "lab"), (eve, "theirs")):
            ok(http.post("/projects", json={"name": slug, "slug": slug}, headers=bearer(who)))

        # MLflow's aliases are free. The stranger's tenant has the policy that it began with.
        free: dict[str, Any] = {"policy": {"protected": []}}
        ok(http.post("/approval-policies", json=free, headers=bearer(admin)))

        def a_key(who: str, *scopes: str) -> str:
            body = {"name": "conformance", "scopes": scopes}
            secret: str = ok(http.post("/api-keys", json=body, headers=bearer(who)))["secret"]
            return secret

        return {
            "writer": a_key(admin, "read", "write"),
            "reader": a_key(admin, "read"),
            "stranger": a_key(eve, "read", "write"),
        }


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def python_of(client: str) -> Path:
    if client == "newest":
        return Path(sys.executable)
    python = ENVIRONMENTS / client / "bin" / "python"
    if not (ENVIRONMENTS / client / "ready").exists():
        absent(f"no environment with the {client} client of MLflow: make .clients/{client}/ready")
    return python


@pytest.mark.timeout(900)
@pytest.mark.parametrize("client", ["oldest", "middle", "newest"])
def test_a_client_of_mlflow_works_unchanged(
    client: str, server: LiveServer, keys: Mapping[str, str], tmp_path: Path
) -> None:
    python = python_of(client)
    tests = HERE / "clients"
    # On PostgreSQL with a name and a password, on SQLite with a token: each way in every call.
    if server.database.startswith("sqlite"):
        signed_in = {"MLFLOW_TRACKING_TOKEN": keys["writer"]}
    else:
        signed_in = {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": keys["writer"]}
    done = subprocess.run(
        [python, "-m", "pytest", "-c", tests / "pytest.ini", "--confcutdir", tests, tests],
        env={
            **{
                k: v
                for k, v in os.environ.items()
                if not k.startswith(("MAESTRO_", "MLFLOW_", "PYTEST_"))
            },
            "MLFLOW_TRACKING_URI": server.url,
            **signed_in,
            "CONFORMANCE_VERSION": version_of(client),
            "CONFORMANCE_READER": keys["reader"],
            "CONFORMANCE_STRANGER": keys["stranger"],
            "CONFORMANCE_WORKSPACE": "lab",
            "CONFORMANCE_RECEIVER": RECEIVERS,
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "GIT_PYTHON_REFRESH": "quiet",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=840,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert " passed" in done.stdout
    # An older client lacks calls, and says which; the newest has them all and leaves out nothing.
    assert client != "newest" or "skipped" not in done.stdout, done.stdout


def version_of(client: str) -> str:
    """The one that the environment was made for."""
    folder = HERE.parents[1] / "requirements"
    lock = folder / ("demo.lock" if client == "newest" else f"clients/{client}.lock")
    pins = [line for line in lock.read_text().splitlines() if line.startswith("mlflow-skinny==")]
    return pins[0].removeprefix("mlflow-skinny==").split()[0]
