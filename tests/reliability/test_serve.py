"""`maestro serve` as an operator meets it: how it starts, what stands in its way, how it ends."""

import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from maestro_ml.cli.codes import Exit
from support.databases import PostgresDatabases, SqliteDatabases
from support.live import LiveServer, a_name, a_password, free_port, ok
from support.starts import MORTAL, is_one_sentence, refused, run, run_by

Databases = PostgresDatabases | SqliteDatabases


@pytest.fixture
async def env(databases: Databases) -> AsyncIterator[dict[str, str]]:
    """A new database's address, as an operator gives it."""
    async with databases.empty() as url:
        yield {"MAESTRO_DATABASE__URL": url}


def become_admin(server: LiveServer) -> dict[str, Any]:
    body = {"email": "root@maestro.test", "password": a_password(), "name": "Root"}
    answer: dict[str, Any] = ok(
        httpx2.post(f"{server.url}/api/v1/auth/setup", json=body | {"token": server.setup_token()})
    )
    return answer


def test_the_first_start_says_where_it_is_and_how_to_become_its_admin(
    env: dict[str, str], tmp_path: Path
) -> None:
    with LiveServer(tmp_path / "data", env) as server:
        printed = server.printed.read_text()
        assert server.url in printed
        assert f"admin setup --url {server.url} --token mls_" in printed
        assert become_admin(server)["user"]["platform_admin"] is True
        assert server.setup_token() not in server.logged.read_text()
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    for file in (tmp_path / "data").rglob("*"):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    again = LiveServer(tmp_path / "data", env)
    again.printed.unlink()
    with again:
        assert "setup" not in again.printed.read_text()


def test_the_printed_command_makes_the_admin(env: dict[str, str], tmp_path: Path) -> None:
    with LiveServer(tmp_path / "data", env) as server:
        command = server.printed.read_text().splitlines()[-1].split()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "maestro_ml.cli.main", *command[1:]),
                *("--email", "root@maestro.test", "--name", "Root", "--password-stdin"),
            ],
            input=a_password() + "\n",
            env=os.environ | {"MAESTRO_CONFIG_DIR": str(tmp_path / "config")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "platform's admin now" in done.stderr
        assert f"`maestro login --url {server.url} --email root@maestro.test`" in done.stderr


@pytest.mark.rows(77)
def test_what_was_acknowledged_outlives_a_kill(env: dict[str, str], tmp_path: Path) -> None:
    data = tmp_path / "data"
    acknowledged: list[str] = []
    with LiveServer(data, env) as server:
        admin = become_admin(server)
        headers = {"Authorization": f"Bearer {admin['access_token']}"}
        stop = threading.Event()

        def create() -> None:
            with httpx2.Client(base_url=f"{server.url}/api/v1", headers=headers) as client:
                while not stop.is_set():
                    try:
                        answer = client.post("/projects", json={"name": a_name()})
                    except httpx2.TransportError:
                        return
                    acknowledged.append(ok(answer)["id"])

        writers = [threading.Thread(target=create) for _ in range(4)]
        for writer in writers:
            writer.start()
        while len(acknowledged) < 20:
            threading.Event().wait(0.01)
        server.kill()
        stop.set()
        for writer in writers:
            writer.join()
    with (
        LiveServer(data, env) as server,
        httpx2.Client(base_url=f"{server.url}/api/v1", headers=headers) as client,
    ):
        for id in acknowledged:
            assert client.get(f"/projects/{id}").status_code == 200
        usage = ok(client.get("/tenants/current"))["usage"]["projects"]
        assert usage >= len(acknowledged)
        ok(client.post("/auth/logout"))
        server.kill()
    with LiveServer(data, env) as server:
        answer = httpx2.get(f"{server.url}/api/v1/auth/me", headers=headers)
        assert answer.status_code == 401


def test_ctrl_c_finishes_what_is_under_way(env: dict[str, str], tmp_path: Path) -> None:
    with LiveServer(tmp_path / "data", env) as server:
        password = a_password()
        body = b'{"email":"slow@maestro.test","password":"%s","name":"S"}' % password.encode()
        head = (
            "POST /api/v1/auth/register HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        assert server.process is not None
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            raw.sendall(head + body[:-1])
            httpx2.get(f"{server.url}/health")  # the request before it has been seen by now
            server.process.send_signal(signal.SIGINT)
            raw.sendall(body[-1:])
            raw.settimeout(10)
            assert b" 201 " in raw.recv(4096).split(b"\r\n")[0]
        assert server.process.wait(10) == 0


def test_ctrl_c_tells_those_it_does_not_wait_for(tmp_path: Path) -> None:
    with LiveServer(tmp_path / "data") as server:
        assert server.process is not None
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            raw.sendall(
                b"POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\n"
                b'Content-Type: application/json\r\nContent-Length: 60\r\n\r\n{"'
            )
            httpx2.get(f"{server.url}/health")  # the request before it has been seen by now
            server.process.send_signal(signal.SIGINT)
            raw.settimeout(10)
            told = b"".join(iter(lambda: raw.recv(4096), b""))
        assert b" 503 " in told.split(b"\r\n")[0]
        assert b"The server is stopping" in told
        assert server.process.wait(10) == 0
    assert "Traceback" not in server.logged.read_text()


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, words = refused("--port", port, "--data", str(tmp_path / "data"))
    assert (code, is_one_sentence(words)) == (Exit.PORT, True), words
    assert port in words


@pytest.mark.parametrize("host", ["300.1.1.1", "192.0.2.1", "no-such-host.invalid", "2001:db8::1"])
def test_an_address_of_another_machine_is_one_sentence(host: str, tmp_path: Path) -> None:
    code, words = refused("--host", host, "--port", "0", "--data", str(tmp_path / "data"))
    assert (code, is_one_sentence(words)) == (Exit.PORT, True), words
    assert host in words
    assert "--host" in words
    assert "--port" not in words


def test_the_check_of_settings_refuses_what_a_start_refuses(tmp_path: Path) -> None:
    short = "TOPSECRETPW"
    done = run("config", "check", MAESTRO_SECRET_KEY=short, MAESTRO_DATA=str(tmp_path / "data"))
    assert (done.returncode, is_one_sentence(done.stderr)) == (Exit.SETTING, True), done.stderr
    assert short not in done.stderr + done.stdout
    assert not (tmp_path / "data").exists()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret.key").write_text("changeme" * 6)
    done = run("config", "check", MAESTRO_DATA=str(tmp_path / "data"))
    assert (done.returncode, is_one_sentence(done.stderr)) == (Exit.SETTING, True), done.stderr


def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    for folder in (file, file / "below", Path("/proc/nowhere")):
        code, words = refused("--port", "0", "--data", str(folder))
        assert (code, is_one_sentence(words)) == (Exit.FOLDER, True), words


@pytest.mark.parametrize(
    ("closed", "mode", "expected"),
    [
        (".", 0o500, Exit.FOLDER),
        (".", 0o000, Exit.FOLDER),
        ("maestro.db", 0o400, Exit.DATABASE),
        ("secret.key", 0o000, Exit.SETTING),
    ],
)
def test_what_belongs_to_somebody_else_is_one_sentence(
    closed: str, mode: int, expected: Exit, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    with LiveServer(data):
        pass
    file = data / closed
    before = file.stat().st_mode
    file.chmod(mode)
    try:
        done = run_by(MORTAL, "serve", "--port", "0", "--data", str(data))
    finally:
        file.chmod(before)
    assert (done.returncode, is_one_sentence(done.stderr)) == (expected, True), done.stderr
    assert str(file) in done.stderr


def test_a_folder_in_use_is_one_sentence(tmp_path: Path) -> None:
    with LiveServer(tmp_path / "data") as server:
        code, words = refused("--port", "0", "--data", str(server.data))
    assert (code, is_one_sentence(words)) == (Exit.LOCKED, True), words


def test_the_schema_is_not_taken_from_under_a_running_server(tmp_path: Path) -> None:
    with LiveServer(tmp_path / "data") as server:
        for change in (["upgrade"], ["downgrade", "base", "--yes"]):
            done = run("db", *change, "--data", str(server.data))
            assert (done.returncode, is_one_sentence(done.stderr)) == (Exit.LOCKED, True), done
        assert httpx2.get(f"{server.url}/api/v1/auth/health").status_code == 200


def test_a_locked_database_is_one_sentence(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with LiveServer(data):
        pass
    with sqlite3.connect(data / "maestro.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        code, words = refused("--port", "0", "--data", str(data))
        other.execute("ROLLBACK")
    other.close()
    assert (code, is_one_sentence(words)) == (Exit.LOCKED, True), words


def test_a_newer_schema_is_one_sentence(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with LiveServer(data):
        pass
    with sqlite3.connect(data / "maestro.db") as other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
    other.close()
    code, words = refused("--port", "0", "--data", str(data))
    assert (code, is_one_sentence(words)) == (Exit.SCHEMA, True), words
    assert "9999" in words


def test_a_setting_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    for name, value in (
        ("MAESTRO_STORAGE__ENDPOINT", "http://127.0.0.1:1"),
        ("MAESTRO_REDIS__URL", "localhost:6379"),
        ("MAESTRO_SERVER__SSL_KEYFILE", "/nowhere.pem"),
        ("MAESTRO_DATABASE__URL", "postgresql+asyncpg:foo"),
    ):
        code, words = refused("--port", "0", "--data", str(tmp_path / "data"), **{name: value})
        assert (code, is_one_sentence(words)) == (Exit.SETTING, True), words
    code, words = refused("--port", "0", "--data", str(tmp_path / "data"), MAESTRO_DATABSE__URL="x")
    assert (code, is_one_sentence(words.split(". ")[0] + ".")) == (Exit.SETTING, True), words
    assert "MAESTRO_DATABSE__URL" in words


def test_a_database_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    url = f"postgresql+asyncpg://nobody:hidden@127.0.0.1:{free_port()}/nothing"
    code, words = refused(
        "--port", "0", "--data", str(tmp_path / "data"), MAESTRO_DATABASE__URL=url
    )
    assert (code, is_one_sentence(words)) == (Exit.DATABASE, True), words
    assert "nobody listens there" in words
    assert "hidden" not in words


@pytest.mark.rows(31)
def test_a_secret_key_that_does_not_fit_is_one_sentence(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with LiveServer(data):
        pass
    for key, why in (("changeme" * 6, "weak"), (os.urandom(32).hex(), "another secret key")):
        code, words = refused("--port", "0", "--data", str(data), MAESTRO_SECRET_KEY=key)
        assert (code, is_one_sentence(words)) == (Exit.SETTING, True), words
        assert why in words
        assert key not in words
