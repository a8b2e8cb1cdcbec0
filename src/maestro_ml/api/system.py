"""What an operator, a load balancer and a monitoring system ask: alive, ready, which version."""

import asyncio
import hmac
import time
from collections.abc import Awaitable
from importlib.metadata import version
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import Field

from maestro_ml.core.errors import MaestroError, Unauthenticated
from maestro_ml.core.schemas import View
from maestro_ml.db.installation import alive
from maestro_ml.db.work import open_system_work
from maestro_ml.http.deps import Running
from maestro_ml.http.metrics import Metrics
from maestro_ml.http.problems import declared
from maestro_ml.identity.runtime import TheIdentity
from maestro_ml.storage.blobs import Blobs

PATIENCE = 5.0
router = APIRouter(tags=["system"])


class Health(View):
    status: Literal["ok"] = "ok"


class Dependency(View):
    ok: bool
    ms: float = Field(description="How long its answer took, in milliseconds.")


class Readiness(View):
    status: Literal["ok", "unavailable"]
    dependencies: dict[str, Dependency]


class Version(View):
    version: str


async def _blobs(request: Request) -> Blobs:
    blobs: Blobs = request.app.state.blobs
    return blobs


async def _metrics(request: Request) -> Metrics:
    metrics: Metrics = request.app.state.metrics
    return metrics


@router.get("/health", response_model=Health)
async def read_health() -> Health:
    """Whether the process answers."""
    return Health()


@router.get("/health/ready", response_model=Readiness, responses={503: {"model": Readiness}})
async def read_readiness(
    runtime: Running,
    identity: TheIdentity,
    blobs: Annotated[Blobs, Depends(_blobs)],
    response: Response,
) -> Readiness:
    """Whether the server can work: each thing it depends on, and how fast it answers. Redis may
    be away, since the database holds the truth."""

    async def database() -> None:
        async with open_system_work(runtime.sessions, read_only=True) as work:
            await work.session.scalar(alive())

    checks: dict[str, Awaitable[None]] = {"database": database(), "storage": blobs.check()}
    if runtime.settings.redis.url is not None:
        checks["redis"] = identity.redis.check()
    timed = await asyncio.gather(*map(_timed, checks.values()))
    found = dict(zip(checks, timed, strict=True))
    ready = all(one.ok for name, one in found.items() if name != "redis")
    if not ready:
        response.status_code = 503
    return Readiness(status="ok" if ready else "unavailable", dependencies=found)


@router.get("/version", response_model=Version)
async def read_version() -> Version:
    """The version of the server."""
    return Version(version=version("maestro-ml"))


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **declared(401)},
)
async def read_metrics(
    runtime: Running, metrics: Annotated[Metrics, Depends(_metrics)], request: Request
) -> Response:
    """Figures for Prometheus, for whoever has the token that the server's setting names. Without
    that setting nobody has one."""
    wanted = runtime.settings.server.metrics_token
    sent = request.headers.get("authorization", "").encode()
    if wanted is None or not hmac.compare_digest(
        sent, f"Bearer {wanted.get_secret_value()}".encode()
    ):
        raise Unauthenticated
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def _timed(check: Awaitable[None]) -> Dependency:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(PATIENCE):
            await check
        ok = True
    except (MaestroError, TimeoutError):
        ok = False
    return Dependency(ok=ok, ms=round((time.perf_counter() - began) * 1000, 2))
