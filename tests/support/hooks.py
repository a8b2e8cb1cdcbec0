"""A receiver of webhooks on loopback, and a worker that delivers to it by a clock tests move.

It has the issuer's address, so that a server may be allowed to call it and nothing else there.
"""

import base64
import hmac
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select

from maestro_ml.core.clock import Clock, utc_now
from maestro_ml.core.settings import Settings
from maestro_ml.core.settings_groups import OutboundSettings
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.identity.secret import load_secret
from maestro_ml.jobs.context import Handler
from maestro_ml.jobs.service import publish
from maestro_ml.jobs.worker import Worker
from maestro_ml.outbound.client import Outbound
from maestro_ml.webhooks import handlers
from maestro_ml.webhooks.courier import Courier
from maestro_ml.webhooks.models import Webhook, WebhookDelivery
from maestro_ml.webhooks.schemas import WebhookCreate
from maestro_ml.webhooks.service import webhooks
from support.issuer import HOST
from support.leaks import secret
from support.signin import MovingClock
from support.world import LAB, caller

SECRET = secret("wh-2f6a8d03c5e917")


@dataclass(frozen=True)
class Got:
    """One request, as it came."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told

    def signatures(self) -> tuple[str, dict[str, str]]:
        """When it was signed, and each signature by its key."""
        stamp, *parts = self.headers["X-Maestro-Signature"].split(",")
        values = [part.partition("=")[2] for part in parts]
        return stamp.partition("=")[2], dict(zip(values[::2], values[1::2], strict=True))

    def is_signed_by(self, text: str) -> bool:
        at, found = self.signatures()
        right = hmac.new(text.encode(), f"{at}.".encode() + self.body, sha256).hexdigest()
        return right in found.values()

    def mlflow_signature(self, text: str) -> str:
        """What MLflow's own server would have said."""
        id, at = (self.headers[f"X-MLflow-{name}"] for name in ("Delivery-Id", "Timestamp"))
        signed = hmac.new(text.encode(), f"{id}.{at}.".encode() + self.body, sha256)
        return f"v1,{base64.b64encode(signed.digest()).decode()}"


@dataclass
class Receiver:
    """It answers with `status`, unless `answers` has done so."""

    url: str = ""
    status: int = 200
    got: list[Got] = field(default_factory=list)
    called: threading.Event = field(default_factory=threading.Event)
    answers: Callable[[BaseHTTPRequestHandler], bool] = lambda _: False


@contextmanager
def a_receiver(host: str = HOST) -> Iterator[Receiver]:
    receiver = Receiver()

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            receiver.got.append(Got(dict(self.headers.items()), body))
            receiver.called.set()
            if receiver.answers(self):
                return
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quietly."""

    server = ThreadingHTTPServer((host, 0), Door)
    server.daemon_threads = True
    receiver.url = f"http://{host}:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def a_webhook(url: str = "https://hooks.test/x", **changes: Any) -> WebhookCreate:
    usual = {"name": "Chat", "project_id": LAB, "url": url, "events": ["run.finished"]}
    return WebhookCreate(**{**usual, "secret": SECRET, **changes})


def a_courier(settings: Settings, clock: Clock = utc_now) -> Courier:
    outbound = Outbound(OutboundSettings(allow=[HOST]))
    return Courier(outbound, lambda: load_secret(settings), clock)


@dataclass
class Hooks:
    """Webhooks of a test's own database, which hear what is published in it."""

    sessions: Sessions
    folder: Path
    clock: MovingClock = field(default_factory=MovingClock)

    def __post_init__(self) -> None:
        self.clock.stop()
        self.sessions.listeners = (handlers.listen,)
        self.sessions.system_listeners = (handlers.listen_above,)
        self.courier = a_courier(Settings(data=self.folder), self.clock)
        deliver = partial(handlers.deliver, courier=self.courier)
        kinds: dict[str, Handler] = {"webhooks.deliver": deliver, "webhooks.prune": handlers.prune}
        self.worker = Worker(self.sessions, kinds, clock=self.clock)

    async def add(self, command: WebhookCreate, **how: Any) -> UUID:
        async with open_work(self.sessions, caller(), clock=self.clock) as work:
            return (await webhooks.create(work, command, self.courier.seal, **how))[0].id

    async def publish(self, event: str, access: Any = None, **facts: object) -> None:
        async with open_work(self.sessions, access or caller(), clock=self.clock) as work:
            await publish(work, event, **facts)

    async def run_finished(self, **facts: object) -> None:
        usual = {"project_id": str(LAB), "run_id": "r", "experiment_id": "e", "name": "n"}
        await self.publish("run.finished", **{**usual, "status": "FINISHED", **facts})

    async def work_off(self) -> int:
        done = 0
        while await self.worker.run_one():
            done += 1
        return done

    async def webhook(self, id: UUID) -> Webhook:
        async with self.sessions.begin(SYSTEM, read_only=True) as session:
            return await session.get_one(Webhook, id)

    async def log(self, webhook: UUID | None = None) -> list[WebhookDelivery]:
        query = select(WebhookDelivery).order_by(WebhookDelivery.id)
        if webhook is not None:
            query = query.where(WebhookDelivery.webhook_id == webhook)
        async with self.sessions.begin(SYSTEM, read_only=True) as session:
            return list(await session.scalars(query))
