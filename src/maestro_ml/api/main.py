"""The composition root: the only module that knows every feature.

uvicorn maestro_ml.api.main:app
"""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import HTMLResponse, JSONResponse

from maestro_ml.api import front, reference, system
from maestro_ml.api.contract import Application
from maestro_ml.api.starting import Starting
from maestro_ml.api.stopping import told_to_stop
from maestro_ml.approvals import handlers as approval_handlers
from maestro_ml.approvals.ports import Subjects
from maestro_ml.approvals.routes import router as approvals
from maestro_ml.approvals.routes_policies import router as approval_policies
from maestro_ml.audit import handlers as audit_handlers
from maestro_ml.audit.routes import router as audit
from maestro_ml.audit.service import VERIFY
from maestro_ml.core import folder, logging
from maestro_ml.core.clock import Clock, utc_now
from maestro_ml.core.errors import MaestroError
from maestro_ml.core.settings import Settings, read
from maestro_ml.core.settings_groups import Registration
from maestro_ml.db.engine import make_engines
from maestro_ml.db.installation import claim_mode
from maestro_ml.db.work import Listener, Sessions, SystemListener, open_system_work
from maestro_ml.http import problems
from maestro_ml.http.deps import Running, Runtime
from maestro_ml.http.entry import DOCS, PUBLIC, Entry
from maestro_ml.http.metrics import Metrics
from maestro_ml.http.middleware import Bodiless, Edge
from maestro_ml.http.queries import only_known
from maestro_ml.identity import handlers as identity_handlers
from maestro_ml.identity.erasing import delete_tenant
from maestro_ml.identity.routes import (
    accounts,
    api_keys,
    auth,
    device,
    identity_providers,
    invitations,
    mfa,
    oidc,
    pages,
    self_service,
    service_accounts,
    setup,
    tenants,
    users,
)
from maestro_ml.identity.routes import sessions as session_routes
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.secret import load_secret
from maestro_ml.identity.service import setup as setup_verbs
from maestro_ml.jobs import handlers as job_handlers
from maestro_ml.jobs import schedules
from maestro_ml.jobs import service as queue
from maestro_ml.jobs.context import Handler, JobContext
from maestro_ml.jobs.routes import router as jobs
from maestro_ml.jobs.schedules import Every
from maestro_ml.jobs.worker import Worker
from maestro_ml.mail import handlers as mail_handlers
from maestro_ml.mail.post import Post
from maestro_ml.mail.routes import router as outbox
from maestro_ml.migrations.presence import present
from maestro_ml.migrations.run import require_head, upgrade
from maestro_ml.mlflow.hot import SHORTCUTS
from maestro_ml.mlflow.route import PREFIXES, failure
from maestro_ml.mlflow.routes import LARGER, STREAMED
from maestro_ml.mlflow.routes import ROUTERS as MLFLOW
from maestro_ml.outbound.client import Outbound
from maestro_ml.projects import service as projects
from maestro_ml.projects.routes import router as project_routes
from maestro_ml.registry import handlers as registry_handlers
from maestro_ml.registry.routes import router as models
from maestro_ml.registry.service.promotion import KIND, ModelAliases
from maestro_ml.storage.blobs import Blobs
from maestro_ml.tracking import handlers as tracking_handlers
from maestro_ml.webhooks import handlers as webhook_handlers
from maestro_ml.webhooks.courier import Courier
from maestro_ml.webhooks.routes import router as webhooks

API: tuple[APIRouter, ...] = (
    auth.router,
    mfa.router,
    session_routes.router,
    self_service.router,
    setup.router,
    invitations.router,
    api_keys.router,
    users.router,
    service_accounts.router,
    accounts.router,
    tenants.router,
    identity_providers.router,
    oidc.router,
    device.router,
    project_routes,
    models,
    approvals,
    approval_policies,
    jobs,
    audit,
    outbox,
    webhooks,
)
# What can be put up for approval, by its kind.
SUBJECTS: Mapping[str, Subjects] = {KIND: ModelAliases()}
ABOUT = (
    "Maestro's own API. MLflow's protocol for experiments, runs, params, metrics, tags, search and "
    "files is answered as well, under `/api/2.0/mlflow` and `/ajax-api/2.0/mlflow`, with the same "
    "tokens. It is not listed here: MLflow's REST API reference documents its calls, and the "
    "guide *First run* says how its client is pointed here."
)
LISTENERS: tuple[Listener, ...] = (
    tracking_handlers.listen,
    registry_handlers.listen,
    webhook_handlers.listen,
)
# Of what happens to a tenant outside of its own sessions: sign-ins, and the ends of jobs.
SYSTEM_LISTENERS: tuple[SystemListener, ...] = (webhook_handlers.listen_above,)
HANDLERS: Mapping[str, Handler] = {
    "audit.seal": audit_handlers.seal,
    VERIFY: audit_handlers.verify,
    "identity.prune": identity_handlers.prune,
    "identity.send_reset": identity_handlers.send_reset,
    "identity.prune_sign_ins": identity_handlers.prune_sign_ins,
    "jobs.prune": job_handlers.prune,
    "limits.prune": identity_handlers.prune_limits,
    "mail.deliver": mail_handlers.deliver,
    "mail.prune": mail_handlers.prune,
    "webhooks.deliver": webhook_handlers.deliver,
    "webhooks.prune": webhook_handlers.prune,
}
# What works on stored files as well.
WITH_FILES: Mapping[str, Callable[[Blobs, JobContext], Awaitable[None]]] = {
    "storage.sweep": tracking_handlers.sweep,
    "tenants.delete": delete_tenant,
}
# What looks at what is put up for approval.
WITH_SUBJECTS: Mapping[str, Callable[[Mapping[str, Subjects], JobContext], Awaitable[None]]] = {
    "approvals.gate": approval_handlers.gate,
    "approvals.sweep": approval_handlers.sweep,
}
SCHEDULES: tuple[Every, ...] = (
    Every("approvals.sweep", timedelta(minutes=5)),
    Every("audit.seal", timedelta(minutes=1)),
    Every("identity.prune", timedelta(days=1)),
    Every("identity.prune_sign_ins", timedelta(hours=1)),
    Every("jobs.prune", timedelta(days=1)),
    Every("limits.prune", timedelta(hours=1)),
    Every("mail.prune", timedelta(days=1)),
    Every("storage.sweep", timedelta(minutes=10)),
    Every("webhooks.prune", timedelta(days=1)),
)
STOP_PATIENCE = 4.0


def make_sessions(settings: Settings) -> Sessions:
    """Sessions of the settings' database, with everybody who listens."""
    engines = make_engines(
        settings.database_url,
        pool_size=settings.database.pool_size,
        busy_timeout=settings.database.busy_timeout,
    )
    return Sessions(engines, LISTENERS, SYSTEM_LISTENERS)


def make_worker(
    settings: Settings,
    sessions: Sessions,
    *,
    handlers: Mapping[str, Handler] = HANDLERS,
    clock: Clock = utc_now,
    post: Post | None = None,
    subjects: Mapping[str, Subjects] = SUBJECTS,
) -> Worker:
    """A worker for every kind of job there is. Mail goes out by `post`."""
    blobs = Blobs.open(settings)
    bound: dict[str, Handler] = {k: partial(handler, blobs) for k, handler in WITH_FILES.items()}
    bound |= {k: partial(handler, subjects) for k, handler in WITH_SUBJECTS.items()}
    if "mail.deliver" in handlers:
        bound["mail.deliver"] = partial(mail_handlers.deliver, post=post)
    if "webhooks.deliver" in handlers:
        courier = Courier(Outbound(settings.outbound), lambda: load_secret(settings), clock)
        bound["webhooks.deliver"] = partial(webhook_handlers.deliver, courier=courier)
    return Worker(
        sessions,
        {**handlers, **bound},
        every=SCHEDULES,
        concurrency=settings.jobs.concurrency,
        clock=clock,
        derive=lambda purpose: load_secret(settings).derive(purpose),
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
            await open_things.enter_async_context(present(settings.database_url))
            await open_database(settings, sessions)
            open_things.push_async_callback(identity.stop)
            await identity.start()
            await _first_people(app, greet=greet)
            app.state.post = Post(settings.mail, identity.secret)
            worker = make_worker(
                settings, sessions, handlers=handlers, clock=clock, post=app.state.post
            )
            if settings.jobs.worker:
                await schedules.declare(sessions, SCHEDULES, clock)
                working = asyncio.create_task(worker.run())
                open_things.push_async_callback(lambda: working)
            open_things.push_async_callback(worker.stop, STOP_PATIENCE)  # the last one goes first
            with told_to_stop(app.state.runtime.stopping.set, worker.finish):
                yield

    app = Application(
        title="Maestro ML",
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # ours is at /metrics
        redirect_slashes=False,  # a redirect would name whatever host the caller named
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.setup_secret = None
    app.state.runtime = Runtime(
        settings, sessions, identity.authenticate, clock, identity.limits.admit, identity.recall
    )
    app.state.identity = identity
    app.state.projects = projects
    app.state.queue = queue
    app.state.blobs = blobs
    app.state.courier = Courier(identity.outbound, lambda: identity.secret, clock)
    app.state.subjects = SUBJECTS
    app.state.metrics = Metrics()
    seen_by_people = {f"/api/v1{oidc.router.prefix}/": pages.refusal}
    problems.install(app, dict.fromkeys(PREFIXES, failure) | seen_by_people)
    _mount(app)
    public = PUBLIC | DOCS if settings.server.docs_public else PUBLIC
    # The last one added is the first to see a request.
    app.add_middleware(
        Entry,
        public_url=settings.server.public_url,
        public=public,
        larger=LARGER,
        streamed=STREAMED,
        ways=SHORTCUTS,
    )
    app.add_middleware(Bodiless)
    app.add_middleware(Edge, settings=settings, metrics=app.state.metrics)
    app.add_middleware(Starting)
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
        # The address belongs to a web server that has not told it.
        url = runtime.settings.server.public_url or "ADDRESS"
        command = setup_command(url, app.state.setup_secret)
        where = "" if url != "ADDRESS" else "where ADDRESS is what the web server listens on.\n"
        sys.stdout.write(f"{command}\n{where}")
        sys.stdout.flush()


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
    app.include_router(pages.router)
    for router in API:
        app.include_router(router, prefix="/api/v1", dependencies=[Depends(only_known)])
    for prefix, router in MLFLOW.items():
        app.include_router(router, prefix=prefix)

    @app.get("/", include_in_schema=False)
    async def show_front_page(running: Running) -> HTMLResponse:
        settings = running.settings
        page = front.page_of(
            version=version("maestro-ml"),
            url=settings.url,
            docs_public=settings.server.docs_public,
        )
        return HTMLResponse(page, headers={"Content-Security-Policy": pages.CSP})

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
    try:
        # Kept: it holds the data folder, and a server may ask for it more than once.
        return globals().setdefault(name, _app(read()))
    except MaestroError as refused:
        raise SystemExit(refused.detail) from None


def _app(settings: Settings) -> FastAPI:
    if settings.dev:
        raise SystemExit("Dev mode is started by `maestro serve --dev`, which keeps to loopback.")
    folder.prepare(settings.data)
    folder.hold(settings.data)
    auth = settings.auth
    if auth.registration is None:
        auth = auth.model_copy(update={"registration": Registration.INVITE})
    return create_app(settings.model_copy(update={"auth": auth}))
