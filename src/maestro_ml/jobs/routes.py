"""`/api/v1/jobs`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from maestro_ml.core.access import Access
from maestro_ml.core.errors import MaestroError
from maestro_ml.core.paging import Page
from maestro_ml.core.schemas import PageView, Text
from maestro_ml.db.work import open_work
from maestro_ml.http.deps import Caller, Paging, Reading, Running, Runtime, Writing
from maestro_ml.jobs import service
from maestro_ml.jobs.models import ENDED, Job, JobState
from maestro_ml.jobs.schemas import JobFilter, JobView

LOOK = 0.5  # seconds between looks at a job that is watched
ASK_AGAIN = 4  # looks after which the caller is asked for anew
QUIET = 30  # looks without news after which a comment keeps the connection open

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get("", response_model=PageView[JobView])
async def list_jobs(
    work: Reading,
    paging: Paging,
    state: JobState | None = None,
    kind: Annotated[Text | None, Query(max_length=100)] = None,
    project_id: UUID | None = None,
) -> Page[Job]:
    """The background work that you can see, the newest first."""
    return await service.search(work, JobFilter(state, kind, project_id), paging)


@router.get("/{id}", response_model=JobView)
async def read_job(work: Reading, id: UUID) -> Job:
    """Read one: its state, and how far it is."""
    return await service.get(work, id)


@router.post("/{id}/cancel", response_model=JobView)
async def cancel_job(work: Writing, id: UUID) -> Job:
    """Ask a job to stop. One that waits is cancelled at once; one that runs, at its next step."""
    return await service.cancel(work, id)


_EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"const": "job"},
        "data": {"type": "string", "description": "The job, as reading it gives it: JSON."},
    },
}


@router.get(
    "/{id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": _EVENT}}}},
)
async def watch_job(
    runtime: Running, caller: Caller, request: Request, id: UUID
) -> StreamingResponse:
    """Follow a job as server-sent events: one with the whole job for each change, until it ends.
    The stream closes when you may no longer see it. You may have ten open at a time,
    and your tenant fifty."""
    first = await _look(runtime, caller, id)
    return _Stream(
        runtime.streams.one_of(caller.actor_id, caller.tenant_id),
        _events(runtime, request, id, first),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


class _Stream(StreamingResponse):
    """Holds its place for exactly as long as it is sent, however that ends."""

    def __init__(
        self, place: AbstractContextManager[None], content: AsyncIterator[str], **more: Any
    ) -> None:
        super().__init__(content, **more)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            await super().__call__(scope, receive, send)


async def _events(
    runtime: Runtime, request: Request, id: UUID, view: JobView
) -> AsyncIterator[str]:
    """Each look is a short unit of work of its own: none stays open for as long as the stream."""
    yield _event(view)
    access: Access = request.state.access
    looks = quiet = 0
    while view.state not in ENDED and not runtime.stopping.is_set():
        await asyncio.sleep(LOOK)
        looks, quiet = looks + 1, quiet + 1
        try:
            if looks % ASK_AGAIN == 0:
                access = await runtime.authenticate(request)
            now = await _look(runtime, access, id)
        except MaestroError:
            return
        if now != view:
            view, quiet = now, 0
            yield _event(view)
        elif quiet >= QUIET:
            quiet = 0
            yield ": still here\n\n"


async def _look(runtime: Runtime, access: Access, id: UUID) -> JobView:
    async with open_work(runtime.sessions, access, read_only=True, clock=runtime.clock) as work:
        return JobView.model_validate(await service.get(work, id))


def _event(view: JobView) -> str:
    return f"event: job\ndata: {view.model_dump_json()}\n\n"
