"""`uvicorn maestro_ml.api.main:app`: the other door has the same locks."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from maestro_ml.cli.codes import Exit
from support.databases import PostgresDatabases, SqliteDatabases
from support.live import LiveServer, a_password, free_port
from support.starts import refused, run

SECRET = "TOPSECRETPW"


@dataclass
class Uvicorn:
    process: subprocess.Popen[str]
    url: str
    out: str = ""
    err: str = ""

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=20)
        self.out, self.err = self.out + out, self.err + err
        return self.process.returncode


def started(data: Path, **env: str) -> Uvicorn:
    """The application, served by somebody who knows nothing of it but its name."""
    port = free_port()
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAESTRO_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "maestro_ml.api.main:app", "--port", str(port)],
        env=clean | {"MAESTRO_DATA": str(data)} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Uvicorn(process, f"http://127.0.0.1:{port}")


@contextmanager
def answering(data: Path, **env: str) -> Iterator[Uvicorn]:
    server = started(data, **env)
    try:
        for _ in range(600):
            try:
                assert httpx2.get(f"{server.url}/health/ready").json()["status"] == "ok"
                break
            except httpx2.TransportError:
                assert server.process.poll() is None, server.process.communicate()
                threading.Event().wait(0.1)
        yield server
    finally:
        server.end()


def failed(data: Path, **env: str) -> str:
    """What a start says that does not succeed: one sentence that is no trace."""
    server = started(data, **env)
    words = server.process.communicate(timeout=60)[1]
    assert server.process.returncode != 0
    assert "Traceback" not in words
    assert 'File "' not in words
    return words


def test_it_serves_the_application_too(tmp_path: Path) -> None:
    with answering(tmp_path / "data") as server:
        body = {"email": "a@someone.test", "password": a_password(), "name": "A"}
        # It cannot know which address it is reached at, so nobody comes in unasked.
        refusal = httpx2.post(f"{server.url}/api/v1/auth/register", json=body)
        assert refusal.status_code == 403
        for file in (tmp_path / "data").rglob("*"):
            assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
        evil = httpx2.get(f"{server.url}/health", headers={"Host": "evil.test"})
        assert evil.status_code == 421
        large = httpx2.get(f"{server.url}/health", headers={"X-A": "a" * 70_000})
        assert large.status_code == 431
        bare = httpx2.head(f"{server.url}/version")
        assert (bare.status_code, bare.content) == (200, b"")
        code, words = refused("--port", "0", "--data", str(tmp_path / "data"))
        assert code == Exit.LOCKED, words
        assert "Another server uses" in failed(tmp_path / "data")
    assert "admin setup --url ADDRESS --token mls_" in server.out
    assert "ADDRESS is what the web server listens on" in server.out
    assert "127.0.0.1:8000" not in server.out


def test_the_address_that_people_use_is_in_the_printed_command(tmp_path: Path) -> None:
    public = "https://maestro.example.com"
    with answering(tmp_path / "data", MAESTRO_SERVER__PUBLIC_URL=public) as server:
        named = httpx2.get(f"{server.url}/health", headers={"Host": "maestro.example.com"})
        assert named.status_code == 200
    assert f"admin setup --url {public} --token mls_" in server.out


def test_it_does_not_serve_dev_mode(tmp_path: Path) -> None:
    assert "maestro serve --dev" in failed(tmp_path / "data", MAESTRO_DEV="true")


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("MAESTRO_SERVER__METRIC_TOKEN", SECRET, "METRIC_TOKEN"),
        ("MAESTRO_STORAGE__SECRET_ACCESS_KEY_ID", SECRET, "SECRET_ACCESS_KEY_ID"),
        ("MAESTRO_SERVER", f'{{"metric_token": "{SECRET}"}}', "METRIC_TOKEN"),
        ("MAESTRO_SERVER", f'{{"{SECRET}', "server"),
        ("MAESTRO_SERVER__PORT", "99999", "MAESTRO_SERVER__PORT"),
        ("MAESTRO_SERVER__PUBLIC_URL", "maestro.example.com", "MAESTRO_SERVER__PUBLIC_URL"),
        ("MAESTRO_DATABASE__URL", f"mysql://root:{SECRET}@db/x", "MAESTRO_DATABASE__URL"),
        (
            "MAESTRO_DATABASE__URL",
            f"postgresql+asyncpg://me:{SECRET}@db:port/x",
            "MAESTRO_DATABASE__URL",
        ),
        ("MAESTRO_SECRET_KEY", SECRET, "MAESTRO_SECRET_KEY is too weak"),
        ("MAESTRO_DATA", "/proc/nowhere", "/proc/nowhere"),
        ("MAESTRO_STORAGE__ENDPOINT", "http://127.0.0.1:1", "STORAGE"),
    ],
)
def test_a_setting_that_makes_no_sense_is_told_without_its_value(
    tmp_path: Path, name: str, value: str, named: str
) -> None:
    for words in (
        failed(tmp_path / "data", **{name: value}),
        refused(
            **{"MAESTRO_SERVER__PORT": "0", "MAESTRO_DATA": str(tmp_path / "data"), name: value}
        )[1],
        *([run("config", "check", **{name: value}).stderr] if name != "MAESTRO_DATA" else []),
    ):
        assert named.lower() in words.lower()
        assert SECRET not in words
        assert "Traceback" not in words


def test_a_database_that_does_not_fit_is_told(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with LiveServer(data, None, "--dev", "--no-reload"):
        pass
    assert "belongs to dev mode" in failed(data)
    with sqlite3.connect(data / "maestro.db") as other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
    other.close()
    assert "start the newer version" in failed(data)


# SQLite is brought up to date by whoever serves it.
@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
async def test_an_old_schema_is_told(
    databases: PostgresDatabases | SqliteDatabases, tmp_path: Path
) -> None:
    async with databases.empty() as url:
        words = failed(tmp_path / "data", MAESTRO_DATABASE__URL=url)
    assert "run `maestro db upgrade`" in words
