"""The whole application in this process, and people who are made without a hash."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import httpx2
from pydantic import SecretStr

from maestro_ml.api.main import create_app
from maestro_ml.core.clock import utc_now
from maestro_ml.core.settings import Settings
from maestro_ml.core.settings_groups import Database, Jobs, Log, Server
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity.models import User
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.service import sessions as verbs
from maestro_ml.identity.service.places import place_of

PASSWORD = secrets.token_urlsafe(18)
# Of the old kind, which is verified at whatever cost it was made: here a low one.
_HASHED = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


@dataclass
class Ground:
    """The whole application in this process, over a database of its own."""

    runner: asyncio.Runner
    http: httpx2.AsyncClient
    identity: Identity
    sessions: Sessions
    root: str
    steps: int = 0

    def ask(self, secret: str | None, method: str, path: str, body: Any = None) -> httpx2.Response:
        # Each from another address, as those of different people are.
        headers = {"X-Forwarded-For": ".".join(str(secrets.randbelow(256)) for _ in range(4))}
        if secret is not None:
            headers["Authorization"] = f"Bearer {secret}"
        sent = {} if body is None else {"json": body}
        asked = self.http.request(method, f"/api/v1{path}", headers=headers, **sent)
        return self.runner.run(asked)


@contextmanager
def a_ground(database: str, folder: Path) -> Iterator[Ground]:
    settings = Settings(
        data=folder,
        database=Database(url=SecretStr(database)),
        server=Server(trusted_proxies=["127.0.0.1"]),
        jobs=Jobs(worker=False),
        log=Log(level="warning"),
    )
    app = create_app(settings, greet=False)
    sessions = app.state.runtime.sessions
    transport = httpx2.ASGITransport(app=app)
    http = httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000")
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        runner.run(stack.enter_async_context(app.router.lifespan_context(app)))
        root = runner.run(_a_root(sessions, app.state.identity))
        try:
            yield Ground(runner, http, app.state.identity, sessions, root)
        finally:
            runner.run(http.aclose())
            runner.run(stack.aclose())


def a_user(name: str, *, platform_admin: bool = False) -> User:
    now, email = utc_now(), f"{name}.{secrets.token_hex(5)}@people.test"
    return User(
        name=name,
        email=email,
        email_norm=email,
        password_hash=_HASHED,
        platform_admin=platform_admin,
        created_at=now,
        updated_at=now,
    )


async def _a_root(sessions: Sessions, identity: Identity) -> str:
    async with open_system_work(sessions) as work:
        user = a_user("root", platform_admin=True)
        work.session.add(user)
        await work.session.flush()
        return (await verbs.start(work, identity, await place_of(work, user.id, None))).access_token
