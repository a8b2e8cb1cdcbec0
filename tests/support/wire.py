"""The MLflow wire over a test's database, with callers known by a word as their token."""

from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI, Request

from maestro_ml.core.access import Access, Role
from maestro_ml.core.errors import Unauthenticated
from maestro_ml.core.settings import Settings
from maestro_ml.db.work import Sessions
from maestro_ml.http import problems
from maestro_ml.http.deps import Runtime
from maestro_ml.http.metrics import Metrics
from maestro_ml.http.middleware import Authentication, Edge
from maestro_ml.mlflow.route import PREFIXES, failure
from maestro_ml.mlflow.routes import ROUTERS
from support.world import OTHER, caller

CALLERS: Mapping[str, Access] = {
    **{str(role): caller(role) for role in Role},
    "stranger": caller(tenant=OTHER),
}


def mlflow_app(sessions: Sessions, folder: Path) -> FastAPI:
    async def authenticate(request: Request) -> Access:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in CALLERS:
            raise Unauthenticated
        return CALLERS[token]

    app = FastAPI()
    settings = Settings(data=folder)
    app.state.runtime = Runtime(settings, sessions, authenticate)
    problems.install(app, dict.fromkeys(PREFIXES, failure))
    for prefix, router in ROUTERS.items():
        app.include_router(router, prefix=prefix)
    app.add_middleware(Authentication)
    app.add_middleware(Edge, settings=settings, metrics=Metrics())
    return app
