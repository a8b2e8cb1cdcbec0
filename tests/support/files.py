"""Files on the wire, as tests send and fetch them, and what the database counts of them."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx2
from sqlalchemy import func, select, update

from maestro_ml.core.ids import new_id
from maestro_ml.core.settings import Settings
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.jobs.context import JobContext
from maestro_ml.storage.blobs import Blobs
from maestro_ml.storage.models import LooseBlob, StoredBlob
from maestro_ml.tenancy.models import Tenant
from maestro_ml.tracking.handlers import sweep
from support.wire import Wire
from support.world import ACME

FILES = "/api/2.0/mlflow-artifacts"
LATER = timedelta(hours=1)


class RunFiles:
    """Those of one run, as somebody."""

    def __init__(self, wire: Wire, experiment: str, run: str) -> None:
        self.wire, self.experiment, self.run = wire, experiment, run
        self.root = f"{experiment}/{run}/artifacts"

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        as_: str = "admin",
        call: str = "artifacts",
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> httpx2.Response:
        url = f"{FILES}/{call}/{self.root}/{quote(path)}"
        sent = {"Authorization": f"Bearer {as_}", **(headers or {})}
        return await self.wire.http.request(method, url, headers=sent, **more)

    async def put(self, path: str, content: bytes | AsyncIterator[bytes], **more: Any) -> None:
        answer = await self("PUT", path, content=content, **more)
        assert (answer.status_code, answer.json()) == (200, {}), answer.text

    async def get(self, path: str, **more: Any) -> bytes:
        answer = await self("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.content

    async def names(self, folder: str = "") -> list[str]:
        """What lies in a folder; a folder ends with a slash."""
        path = f"{self.root}/{folder}" if folder else self.root
        found = await self.wire.ok("GET", f"{FILES}/artifacts", {"path": path})
        return [one["path"] + ("/" if one["is_dir"] else "") for one in found["files"]]

    async def begin(self, path: str, *chunks: bytes, headers: Mapping[str, str]) -> int:
        """Send the beginning of a file and hang up. Gives the status that nobody sees."""
        app = self.wire.http._transport.app  # type: ignore[attr-defined]
        told: list[int] = []
        messages: list[Any] = [
            {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
        ]

        async def receive() -> Any:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                told.append(message["status"])

        address = f"{FILES}/artifacts/{self.root}/{path}"
        sent = {"authorization": "Bearer admin", **headers}
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "PUT",
            "path": address,
            "raw_path": address.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "server": ("maestro", 80),
            "client": ("127.0.0.1", 1),
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        }
        await app(scope, receive, send)
        return told[0]


async def run_files(wire: Wire) -> RunFiles:
    experiment = await wire.experiment()
    return RunFiles(wire, experiment, await wire.run(experiment))


class Quiet(JobContext):
    """A job that is on no queue, so that nobody takes it over."""

    async def heartbeat(self) -> None:
        """It is kept."""


async def swept(sessions: Sessions, folder: Path, after: timedelta = LATER) -> None:
    """By a worker, so much later."""
    job = Quiet(
        id=new_id(),
        kind="storage.sweep",
        tenant_id=ACME,
        payload={},
        lease_id=new_id(),
        attempt=1,
        max_attempts=1,
        sessions=sessions,
        clock=lambda: datetime.now(UTC) + after,
    )
    await sweep(Blobs.open(Settings(data=folder)), job)


async def counted(sessions: Sessions, tenant: UUID = ACME) -> int:
    """What the tenant's files count. It is at every moment what the rows say."""
    async with sessions.begin(SYSTEM, read_only=True) as session:
        told = await session.scalar(select(Tenant.storage_bytes).where(Tenant.id == tenant))
        sums = [
            int(await session.scalar(select(func.sum(column)).where(kind.tenant_id == tenant)) or 0)
            for kind, column in ((StoredBlob, StoredBlob.size), (LooseBlob, LooseBlob.reserved))
        ]
    assert told == sum(sums)
    return sum(sums)


async def allow(sessions: Sessions, size: int) -> None:
    """The tenant may have so many bytes."""
    async with sessions.begin(SYSTEM) as session:
        await session.execute(
            update(Tenant).where(Tenant.id == ACME).values(max_storage_bytes=size)
        )


def stored(folder: Path) -> list[Path]:
    """Every file that is kept, begun ones too."""
    return [path for path in (folder / "files").rglob("*") if path.is_file()]
