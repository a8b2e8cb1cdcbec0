"""A deletion of a tenant outlives the server that runs it, and in the end nothing is left."""

import asyncio
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.clock import utc_now
from maestro_ml.core.ids import new_id
from maestro_ml.db.engine import make_engines
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity.models import Invitation
from maestro_ml.identity.service import deletions
from maestro_ml.storage.keys import prefix_of
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID
from support.live import Cast, LiveServer, a_cast, ok
from support.proof import scale

ROWS, KILLS, PATIENCE = scale(20_000, 40_000), scale(1, 5), 100


async def many_rows(sessions: Sessions, tenant: UUID) -> None:
    now = utc_now()
    async with sessions.begin(SYSTEM) as session:
        for start in range(0, ROWS, 5000):
            rows = [
                {
                    "id": new_id(),
                    "tenant_id": tenant,
                    "email": f"{number}@b.test",
                    "email_norm": f"{number}@b.test",
                    "role": "viewer",
                    "token_hash": number.to_bytes(32),
                    "created_at": now,
                    "expires_at": now + timedelta(days=1),
                }
                for number in range(start, start + 5000)
            ]
            await session.execute(insert(Invitation), rows)


def look(cast: Cast, id: str) -> Any:
    with cast.client("root") as root:
        return ok(root.get(f"/tenants/deletions/{id}"))


@pytest.mark.timeout(scale(300, 1800))
@pytest.mark.rows(62, 77)
async def test_nothing_is_left_however_often_the_server_is_killed(server: LiveServer) -> None:
    cast = a_cast(server)
    with cast.client("adminB") as admin:
        tenant = ok(admin.get("/tenants/current"))["id"]
        for name in ("one", "two"):
            ok(admin.post("/projects", json={"name": name}))
    folder = server.data / "files" / prefix_of(UUID(tenant))
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}").write_text("a file of theirs")
    engines = make_engines(server.database)
    sessions = Sessions(engines)
    await many_rows(sessions, UUID(tenant))
    with cast.client("root") as root:
        asked = {"confirm": "tenant-b"}
        deletion = ok(root.post(f"/tenants/{tenant}/deletion", json=asked))["id"]
    for _ in range(KILLS):
        begun = look(cast, deletion)["progress"]
        until = time.monotonic() + PATIENCE
        while (seen := look(cast, deletion))["progress"] <= begun:
            assert seen["state"] in {"queued", "running"}, seen
            assert time.monotonic() < until, seen
            await asyncio.sleep(0.01)
        server.kill()
        server.start()
    until = time.monotonic() + PATIENCE
    while (seen := look(cast, deletion))["state"] != "done":
        assert time.monotonic() < until, seen
        await asyncio.sleep(0.2)
    assert seen["result"]["before"]["invitations"] >= ROWS
    assert seen["result"]["before"]["projects"] == 2
    assert seen["result"]["files"] == {"before": 3, "after": 0}
    assert not any(seen["result"]["after"].values())
    assert not folder.exists() or not any(folder.iterdir())
    async with open_system_work(sessions) as work:
        assert not any((await deletions.count(work, UUID(tenant))).values())
        proof = select(AuditEvent).where(
            AuditEvent.tenant_id == DEFAULT_TENANT_ID, AuditEvent.action == "tenant.deleted"
        )
        assert [event.facts for event in await work.session.scalars(proof)] == [seen["result"]]
    await engines.dispose()
    with cast.client("adminB") as admin:
        assert admin.get("/projects").status_code == 401
    with cast.client("adminA") as admin:
        ok(admin.get("/projects"))
