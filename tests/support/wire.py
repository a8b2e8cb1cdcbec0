"""The MLflow wire over a test's database, with callers known by a word as their token."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
from fastapi import FastAPI, Request

from maestro_ml.core.access import Access, Role
from maestro_ml.core.errors import Unauthenticated
from maestro_ml.core.ids import new_id
from maestro_ml.core.settings import Settings
from maestro_ml.db.work import Sessions
from maestro_ml.http import problems, shortcuts
from maestro_ml.http.deps import Runtime
from maestro_ml.http.entry import Entry
from maestro_ml.http.metrics import Metrics
from maestro_ml.http.middleware import Bodiless, Edge
from maestro_ml.mlflow.hot import SHORTCUTS
from maestro_ml.mlflow.route import PREFIXES, failure
from maestro_ml.mlflow.routes import LARGER, ROUTERS, STREAMED
from maestro_ml.storage.blobs import Blobs
from support.hooks import a_courier
from support.routing import include
from support.world import OTHER, caller

BASE = "/api/2.0/mlflow"
CALLERS: Mapping[str, Access] = {
    **{str(role): replace(caller(role), session_id=new_id()) for role in Role},
    "stranger": caller(tenant=OTHER),
}


def mlflow_app(
    sessions: Sessions,
    folder: Path,
    ways: Mapping[tuple[str, str], shortcuts.Shortcut] = SHORTCUTS,
) -> FastAPI:
    async def authenticate(request: Request) -> Access:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in CALLERS:
            raise Unauthenticated
        return CALLERS[token]

    async def recall(credential: UUID) -> Access:
        for access in CALLERS.values():
            if access.credential_id == credential:
                return access
        raise Unauthenticated

    app = FastAPI()
    settings = Settings(data=folder)
    app.state.runtime = Runtime(settings, sessions, authenticate, recall=recall)
    app.state.blobs = Blobs.open(settings)
    app.state.courier = a_courier(settings)
    problems.install(app, dict.fromkeys(PREFIXES, failure))
    include(app, *ROUTERS.items())
    app.add_middleware(Entry, larger=LARGER, streamed=STREAMED, ways=ways)
    app.add_middleware(Bodiless)
    app.add_middleware(Edge, settings=settings, metrics=Metrics())
    return app


class Wire:
    """One call, as somebody."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    async def __call__(
        self,
        method: str,
        path: str,
        message: object = None,
        *,
        as_: str = "admin",
        workspace: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        sent = {"Authorization": f"Bearer {as_}", "Content-Type": "application/json"}
        if workspace is not None:
            sent["X-MLFLOW-WORKSPACE"] = workspace
        sent |= headers or {}
        path = path if path.startswith("/") else f"{BASE}/{path}"
        if method in ("GET", "DELETE"):
            query: Any = message
            return await self.http.request(method, path, params=query, headers=sent)
        body = message if isinstance(message, str | bytes) else json.dumps(message)
        return await self.http.request(method, path, content=body, headers=sent)

    async def ok(self, method: str, path: str, message: object = None, **more: Any) -> Any:
        answer = await self(method, path, message, **more)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def refused(
        self, status: int, code: str, method: str, path: str, message: object = None, **more: Any
    ) -> str:
        answer = await self(method, path, message, **more)
        assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text
        assert set(answer.json()) == {"error_code", "message"}
        return str(answer.json()["message"])

    async def invalid(self, path: str, message: object, method: str = "POST") -> str:
        return await self.refused(400, "INVALID_PARAMETER_VALUE", method, path, message)

    async def missing(self, method: str, path: str, message: object, **more: Any) -> None:
        await self.refused(404, "RESOURCE_DOES_NOT_EXIST", method, path, message, **more)

    async def experiment(self, name: str = "churn") -> str:
        return str((await self.ok("POST", "experiments/create", {"name": name}))["experiment_id"])

    async def run(self, experiment: str | None = None, **more: Any) -> str:
        message = {"experiment_id": experiment or await self.experiment(), **more}
        return str((await self.ok("POST", "runs/create", message))["run"]["info"]["run_id"])

    async def model(self, experiment: str, **more: Any) -> str:
        made = await self.ok("POST", "logged-models", {"experiment_id": experiment, **more})
        return str(made["model"]["info"]["model_id"])

    async def data(self, run: str) -> dict[str, Any]:
        answer = await self.ok("GET", "runs/get", {"run_id": run})
        data: dict[str, Any] = answer["run"]["data"]
        return data
