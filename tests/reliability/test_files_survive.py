"""A server that is killed in the middle of an upload leaves nothing that stays."""

import asyncio
import socket
from urllib.parse import urlsplit

import httpx2
import pytest

from maestro_ml.db.engine import make_engines
from maestro_ml.db.work import Sessions
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID
from support.files import FILES, counted, stored, swept
from support.live import LiveServer, a_password, ok

MLFLOW = "/api/2.0/mlflow"
MEBIBYTE = 2**20


@pytest.mark.rows(77)
async def test_an_upload_that_a_kill_ends_leaves_nothing(server: LiveServer) -> None:
    body = {"email": "root@maestro.test", "password": a_password(), "name": "Root"}
    with httpx2.Client(base_url=server.url) as http:
        told = {**body, "token": server.setup_token()}
        token = ok(http.post("/api/v1/auth/setup", json=told))["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    with httpx2.Client(base_url=server.url, headers=bearer) as http:
        ok(http.post("/api/v1/projects", json={"name": "lab"}))
        run = ok(http.post(f"{MLFLOW}/runs/create", json={"experiment_id": "0"}))["run"]["info"]
        root = f"{FILES}/artifacts/{run['experiment_id']}/{run['run_id']}/artifacts"
        ok(http.put(f"{root}/kept", content=b"kept"))
    host = urlsplit(server.url)
    with socket.create_connection((str(host.hostname), int(host.port or 0))) as line:
        line.sendall(
            f"PUT {root}/half HTTP/1.1\r\nHost: {host.netloc}\r\nContent-Length: {9 * MEBIBYTE}\r\n"
            f"Authorization: {bearer['Authorization']}\r\n\r\n".encode()
        )
        line.sendall(b"x" * (4 * MEBIBYTE))
        for _ in range(600):
            if any(path.stat().st_size > MEBIBYTE for path in stored(server.data)):
                break
            await asyncio.sleep(0.05)
        server.kill()
    engines = make_engines(server.database)
    sessions = Sessions(engines)
    assert await counted(sessions, DEFAULT_TENANT_ID) == 4 + 9 * MEBIBYTE
    await swept(sessions, server.data)
    assert await counted(sessions, DEFAULT_TENANT_ID) == 4
    (kept,) = stored(server.data)
    assert kept.read_bytes() == b"kept"
    await engines.dispose()
