"""The composition root: the only module that knows every feature.

uvicorn maestro_ml.api.main:app
"""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse, JSONResponse

from maestro_ml.api import reference, system
from maestro_ml.api.stopping import told_to_stop
from maestro_ml.core import logging
from maestro_ml.core.clock import Clock, utc_now
from maestro_ml.core.settings import Registration, Settings
from maestro_ml.db.engine import make_engines
from maestro_ml.db.installation import claim_mode
from maestro_ml.db.work import Listener, Sessions, open_system_work
from maestro_ml.http import problems
from maestro_ml.http.deps import Runtime
from maestro_ml.http.metrics import Metrics
from maestro_ml.http.middleware import DOCS, PUBLIC, Authentication, BodyLimit, Edge
from maestro_ml.identity import handlers as identity_handlers
from maestro_ml.identity.routes import api_keys, auth, invitations, setup, users
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.service import setup as setup_verbs
from maestro_ml.jobs import handlers as job_handlers
from maestro_ml.jobs import schedules
from maestro_ml.jobs.context import Handler
from maestro_ml.jobs.routes import router as jobs
from maestro_ml.jobs.schedules import Every
from maestro_ml.jobs.worker import Worker
from maestro_ml.migrations.run import require_head, upgrade
from maestro_ml.mlflow.route import PREFIXES, failure
from maestro_ml.mlflow.routes import ROUTERS as MLFLOW
from maestro_ml.projects import service as projects
from maestro_ml.projects.routes import router as project_routes
from maestro_ml.storage.blobs import Blobs
from maestro_ml.tenancy.routes import router as tenants
from maestro_ml.tracking import handlers as tracking_handlers

API: tuple[APIRouter, ...] = (
    auth.router,
    setup.router,
    invitations.router,
    api_keys.router,
    users.router,
    tenants,
    project_routes,
    jobs,
)
LISTENERS: tuple[Listener, ...] = (tracking_handlers.listen,)
HANDLERS: Mapping[str, Handler] = {
    "identity.prune": identity_handlers.prune,
    "jobs.prune": job_handlers.prune,
}
SCHEDULES: tuple[Every, ...] = (
    Every("identity.prune", timedelta(days=1)),
    Every("jobs.prune", timedelta(days=1)),
)
STOP_PATIENCE = 4.0


def make_sessions(settings: Settings) -> Sessions:
    """Sessions of the settings' database, with everybody who listens."""
    engines = make_engines(
        settings.database_url,
        pool_size=settings.database.pool_size,
        busy_timeout=settings.database.busy_timeout,
    )
    return Sessions(engines, LISTENERS)


def make_worker(
    settings: Settings,
    sessions: Sessions,
    *,
    handlers: Mapping[str, Handler] = HANDLERS,
    clock: Clock = utc_now,
) -> Worker:
    """A worker for every kind of job there is."""
    return Worker(
        sessions,
        handlers,
        every=SCHEDULES,
        concurrency=settings.jobs.concurrency,
        clock=clock,
    )


async def open_database(settings: Settings, sessions: Sessions) -> None:
    """See to it that the database fits, and mark whose it is. SQLite is migrated on the way.

    Raises:
        SchemaTooNew, SchemaTooOld, RolesMissing, DatabaseUnreachable, DatabaseLocked, WrongMode
    """
    if settings.database_url.startswith("sqlite"):
        if settings.database.url is None:
            settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        await upgrade(settings.database_url)
    else:
        await require_head(settings.database_url)
    await claim_mode(sessions, dev=settings.dev)


def create_app(
    settings: Settings,
    *,
    clock: Clock = utc_now,
    handlers: Mapping[str, Handler] = HANDLERS,
    greet: bool = True,
) -> FastAPI:
    """The application. It touches neither disk nor network before its lifespan begins.

    `greet` prints the command for the platform's first admin, while there is none.
    """
    sessions = make_sessions(settings)
    identity = Identity.build(settings, sessions, clock)
    blobs = Blobs.open(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        logging.configure(settings.log)
        async with AsyncExitStack() as open_things:
            open_things.push_async_callback(sessions.engines.dispose)
            await open_database(settings, sessions)
            open_things.push_async_callback(identity.stop)
            await identity.start()
            await _first_people(app, greet=greet)
            worker = make_worker(settings, sessions, handlers=handlers, clock=clock)
            if settings.jobs.worker:
                await schedules.declare(sessions, SCHEDULES, clock)
                working = asyncio.create_task(worker.run())
                open_things.push_async_callback(lambda: working)
            open_things.push_async_callback(worker.stop, STOP_PATIENCE)  # the last one goes first
            with told_to_stop(app.state.runtime.stopping.set, worker.finish):
                yield

    app = FastAPI(
        title="Maestro ML",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # a redirect would name whatever host the caller named
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.setup_secret = None
    app.state.runtime = Runtime(settings, sessions, identity.authenticate, clock)
    app.state.identity = identity
    app.state.projects = projects
    app.state.blobs = blobs
    app.state.metrics = Metrics()
    problems.install(app, dict.fromkeys(PREFIXES, failure))
    _mount(app)
    public = PUBLIC | DOCS if settings.server.docs_public else PUBLIC
    # The last one added is the first to see a request.
    app.add_middleware(BodyLimit)
    app.add_middleware(Authentication, public=public)
    app.add_middleware(Edge, settings=settings, metrics=app.state.metrics)
    return app


async def _first_people(app: FastAPI, *, greet: bool) -> None:
    """Dev mode's admin, or the secret that makes the first one."""
    runtime: Runtime = app.state.runtime
    async with open_system_work(runtime.sessions, clock=runtime.clock) as work:
        if runtime.settings.dev:
            await setup_verbs.create_dev_admin(work, app.state.identity)
        else:
            app.state.setup_secret = await setup_verbs.issue_secret(work)
    if greet and app.state.setup_secret is not None:
        command = setup_command(public_url(runtime.settings), app.state.setup_secret)
        sys.stdout.write(f"{command}\n")
        sys.stdout.flush()


def public_url(settings: Settings) -> str:
    """Where people find the server."""
    server = settings.server
    if server.public_url is not None:
        return server.public_url.rstrip("/")
    scheme = "https" if server.ssl_certfile is not None else "http"
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{scheme}://{host}:{server.port}"


def setup_command(url: str, secret: str) -> str:
    """What the first admin types."""
    return (
        "There is no platform admin yet. Become the one, once, with\n"
        f"    {_program()} admin setup --url {url} --token {secret}"
    )


def _program() -> str:
    """The command line that belongs to this server, as a shell here finds it."""
    beside = Path(sys.executable).with_name("maestro")
    if shutil.which("maestro") == str(beside) or not beside.exists():
        return "maestro"
    return os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside)


def _mount(app: FastAPI) -> None:
    app.include_router(system.router)
    app.include_router(auth.well_known)
    for router in API:
        app.include_router(router, prefix="/api/v1")
    for prefix, router in MLFLOW.items():
        app.include_router(router, prefix=prefix)

    @app.get("/openapi.json", include_in_schema=False)
    async def read_openapi() -> JSONResponse:
        return JSONResponse(app.openapi())

    @app.get("/docs", include_in_schema=False)
    async def read_docs() -> HTMLResponse:
        page = reference.page_of(app.openapi())
        return HTMLResponse(page, headers={"Content-Security-Policy": reference.CSP})


def __getattr__(name: str) -> Any:
    """`app` is made when a server asks for it, so that importing this module reads no setting.

    Which address that server listens on is not known here. So nobody registers by themselves
    unless a setting says so, and dev mode, which is for loopback only, is refused.
    """
    if name != "app":
        raise AttributeError(name)
    settings = Settings()
    if settings.dev:
        raise SystemExit("Dev mode is started by `maestro serve --dev`, which keeps to loopback.")
    auth = settings.auth
    if auth.registration is None:
        auth = auth.model_copy(update={"registration": Registration.INVITE})
    return create_app(settings.model_copy(update={"auth": auth}))
