"""`maestro audit` and the SDK, as an admin and as whoever runs the server use them."""

import csv
import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from maestro_ml.audit import chain
from maestro_ml.audit.handlers.sealing import seal_tenant
from maestro_ml.cli.codes import Exit
from maestro_ml.client import Forbidden, MaestroClient, NotFound
from maestro_ml.core.ids import new_id
from maestro_ml.core.settings import Settings
from maestro_ml.db.engine import make_engines
from maestro_ml.db.work import Sessions
from maestro_ml.identity.secret import load_secret
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID
from support.databases import PostgresDatabases, SqliteDatabases
from support.live import LiveServer, a_password
from support.trail import Trail

Databases = PostgresDatabases | SqliteDatabases
PASSWORD = a_password()


@dataclass
class Operator:
    """Runs commands beside the server, with an admin's key."""

    server: LiveServer
    token: str
    folder: Path

    def maestro(self, *args: str, data: Path | None = None) -> subprocess.CompletedProcess[str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith("MAESTRO_")}
        env |= {
            "MAESTRO_URL": self.server.url,
            "MAESTRO_TOKEN": self.token,
            "MAESTRO_CONFIG_DIR": str(self.folder / "config"),
            "MAESTRO_DATABASE__URL": self.server.database,
            "MAESTRO_DATA": str(data or self.server.data),
        }
        return subprocess.run(
            [sys.executable, "-m", "maestro_ml.cli.main", "audit", *args],
            env=env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ok(self, *args: str) -> str:
        done = self.maestro(*args)
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def seal(self) -> None:
        """As the server does every minute, a minute from now."""
        engines = make_engines(self.server.database)
        trail = Trail(Sessions(engines), self.server.database)
        trail.clock.move(minutes=1)
        key = load_secret(Settings(data=self.server.data)).derive(chain.PURPOSE)
        await seal_tenant(trail.job(), DEFAULT_TENANT_ID, key)
        await engines.dispose()


@pytest.fixture
async def database_env(databases: Databases) -> AsyncIterator[dict[str, str]]:
    async with databases.empty() as url:
        yield {"MAESTRO_DATABASE__URL": url}


@pytest.fixture
def operator(database_env: dict[str, str], tmp_path: Path) -> Iterator[Operator]:
    with LiveServer(tmp_path / "data", database_env) as server, MaestroClient(server.url) as client:
        client.auth.setup(
            token=server.setup_token(), email="root@m.test", password=PASSWORD, name="=Root"
        )
        key = client.api_keys.create("audit", scopes=["read", "write", "admin"])
        yield Operator(server, key.token, tmp_path)


def test_an_admin_lists_shows_and_takes_away(operator: Operator) -> None:
    found = json.loads(operator.ok("list", "--action", "session.*", "--json"))
    assert {event["action"] for event in found} == {"session.started"}
    assert "=Root" in operator.ok("list", "--target-type", "api_key")
    assert operator.ok("list", "--since", "2999-01-01") == ""
    assert operator.ok("list", "--limit", "1", "--json").count('"id"') == 1
    assert found[0]["request_id"] in operator.ok("show", found[0]["id"])
    assert operator.maestro("list", "--action", "*").returncode == 1

    file = operator.folder / "events.csv"
    operator.ok("export", "--out", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    assert {"'=Root", "system"} == {row["actor_name"] for row in rows}
    refused = operator.maestro("export", "--out", str(file))
    assert (refused.returncode, "--yes" in refused.stderr) == (1, True)
    operator.ok("export", "--out", str(file), "--format", "jsonl", "--yes")
    assert len(file.read_text().splitlines()) > len(rows)
    assert "audit.exported" in operator.ok("export", "--action", "audit.*")
    assert sorted(path.name for path in operator.folder.glob("events*")) == ["events.csv"]


def test_the_sdk_offers_the_same(operator: Operator) -> None:
    with MaestroClient(operator.server.url, operator.token) as client:
        newest, *_ = client.audit.list(action="api_key.*")
        assert newest.facts["name"] == "audit"
        assert client.audit.get(newest.id) == newest
        with client.audit.export("jsonl", action="api_key.*") as pieces:
            (line,) = b"".join(pieces).splitlines()
        assert json.loads(line)["id"] == str(newest.id)
        assert client.audit.trail().seals == 0
        job = list(client.jobs.watch(client.audit.verify()))[-1]
        assert (job.state, job.result and job.result["sound"]) == ("done", True)
        verified = client.audit.trail().last_verification
        assert verified is not None
        assert verified.sound
        with pytest.raises(NotFound):
            client.audit.get(new_id())
        client.auth.login(email="root@m.test", password=PASSWORD)
        client.act_as(client.api_keys.create("weak", scopes=["read"]).token)
        with pytest.raises(Forbidden), client.audit.export():
            pass
        with pytest.raises(Forbidden):
            client.audit.trail()


async def test_an_operator_verifies_and_keeps_heads(operator: Operator) -> None:
    assert json.loads(operator.ok("head", "--json")) == []
    await operator.seal()
    heads = operator.folder / "heads.json"
    heads.write_text(operator.ok("head", "--json"))
    assert "as they were written" in operator.ok("verify", "--heads", str(heads))

    operator.server.kill()  # the chain goes on after that
    operator.server.start()
    operator.ok("export")
    await operator.seal()
    (sound,) = json.loads(operator.ok("verify", "--heads", str(heads), "--json"))
    assert (sound["tenant"], sound["sound"], sound["seals"]) == ("default", True, 2)
    assert json.loads(operator.ok("head", "--json"))[0]["number"] == 2
    assert operator.maestro("verify", "--tenant", "nobody").returncode == 1
    for text in ("[]x", "{}", '[{"tenant": 1}]'):
        (operator.folder / "junk").write_text(text)
        assert "prints" in operator.maestro("verify", "--heads", "junk").stderr

    stranger = operator.maestro("verify", data=operator.folder / "elsewhere")
    assert stranger.returncode == Exit.SETTING, stranger.stderr
    assert "another secret key" in stranger.stderr

    event = json.loads(operator.ok("list", "--action", "user.created", "--json"))[0]["id"]
    owner = Trail(Sessions(make_engines(operator.server.database)), operator.server.database)
    await owner.tamper("UPDATE audit_events SET actor_id = NULL WHERE action = $1", "user.created")
    await owner.sessions.engines.dispose()
    broken = operator.maestro("verify")
    assert broken.returncode == Exit.TAMPERED
    assert f"the event {event} is not as it was sealed" in broken.stdout
    told = operator.maestro("status", "--verify")
    assert (told.returncode, f"event-changed {event}" in told.stderr) == (1, True)
