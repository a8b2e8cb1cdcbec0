"""Row 62: of a tenant that was deleted no word is left, in the database or in a file."""

import asyncio
import time

import httpx2
import pytest

from maestro_ml.db.engine import make_engines
from maestro_ml.db.work import Sessions
from maestro_ml.storage.keys import prefix_of
from support.dump import beside
from support.leaks import in_files, in_rows
from support.live import Cast, LiveServer, a_cast, ok
from support.policy import Standing
from support.principals import Principal
from support.stage import MLFLOW, Stage, some_jobs, tenant_of, with_approvals

PATIENCE = 60


async def a_life(cast: Cast, server: LiveServer) -> tuple[str, dict[str, str]]:
    """Tenant A has something of every kind, each with the mark; and its credentials."""
    engines = make_engines(server.database)
    truth = Sessions(engines)
    jobs = await some_jobs(cast, truth, 2)
    with httpx2.Client(base_url=cast.url, timeout=30) as http:
        stage = await with_approvals(Stage(cast, http, [], jobs), truth)
        await engines.dispose()
        who = Principal("adminA", Standing(), lambda: {}, "adminA")
        for stem in ("invitations", "identity-providers", "sessions"):
            stage.fill(stem, who)
        stage.a_person()
        stage.a_service_key()
        admin, named = dict(cast["adminA"].bearer), {"name": stage.mark}
        key = ok(http.post("/api/v1/api-keys", json=named, headers=admin))
        ok(http.patch("/api/v1/auth/me", json=named, headers=cast["memberA"].bearer))
        web = {"email": cast["adminA"].email, "password": cast["adminA"].password}
        entered = http.post("/api/v1/auth/login", json=web, headers={"X-Client": "web"})
        cookie = entered.headers["set-cookie"].partition(";")[0]
        device = ok(http.post("/api/v1/auth/device", json={"client": stage.mark}))
        approval = {"user_code": device["user_code"]}
        ok(http.post("/api/v1/auth/device/approve", json=approval, headers=admin))
        ok(http.post("/api/v1/auth/password/forgot", json={"email": cast["memberA"].email}))
    tokens = {name: f"Bearer {cast[name].token}" for name in ("adminA", "viewerA")}
    return stage.mark, tokens | {"key": f"Bearer {key['secret']}", "cookie": cookie}


def where(url: str, word: str) -> set[str]:
    """The columns that hold it."""
    return {name for name, whole in in_rows(url) if word.lower().encode() in whole.lower()}


@pytest.mark.rows(62)
async def test_nothing_is_left_of_a_deleted_tenant(server: LiveServer) -> None:
    cast = a_cast(server)
    mark, credentials = await a_life(cast, server)
    tenant = tenant_of(cast)
    folder = server.data / "files" / prefix_of(tenant)
    folder.mkdir(parents=True)
    (folder / "file").write_text(mark)
    held = where(server.database, mark)
    assert {"projects.name", "runs.name", "experiments.name", "users.name", "params.value"} <= held
    assert {"approval_requests.name", "approval_evidence.summary"} <= held
    assert len(held) > 12
    with cast.client("root") as root:
        path = f"/tenants/{tenant}/deletion"
        deletion = ok(root.post(path, json={"confirm": "tenant-a"}))["id"]
        until = time.monotonic() + PATIENCE
        while ok(root.get(f"/tenants/deletions/{deletion}"))["state"] != "done":
            assert time.monotonic() < until
            await asyncio.sleep(0.1)
    with httpx2.Client(base_url=server.url) as http:
        for name, credential in credentials.items():
            header = {"Cookie" if name == "cookie" else "Authorization": credential}
            assert http.get("/api/v1/auth/me", headers=header).status_code == 401, name
        headers = {"Authorization": credentials["key"]}
        assert http.get(f"{MLFLOW}/experiments/search", headers=headers).status_code == 401
    assert where(server.database, mark) == set()
    # Who asked for a new password is known for a day, as the reference of jobs says.
    assert where(server.database, "@a.test") <= {"jobs.payload"}
    server.stop()
    files = in_files(server.data, *beside(server.database))
    assert [name for name, whole in files if mark.lower().encode() in whole.lower()] == []
