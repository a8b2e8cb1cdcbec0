"""`/api/v1/audit-events`. For a tenant's admins."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Send

from maestro_ml.audit import exporting, reading, service
from maestro_ml.audit.ports import Queue
from maestro_ml.audit.schemas import (
    AuditEventView,
    EventFilter,
    ExportFormat,
    Moment,
    TrailView,
    VerificationStarted,
)
from maestro_ml.core.access import Access
from maestro_ml.core.errors import MaestroError, Unavailable
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.core.schemas import PageView, Text
from maestro_ml.db.work import open_work
from maestro_ml.http.deps import Caller, Paging, Reading, Running, Runtime, Writing

log = structlog.get_logger()
EXPORTED_AT_ONCE = 500
_ACTION = r"^[a-z0-9_]+(\.[a-z0-9_]+)*(\.\*)?$"

router = APIRouter(prefix="/audit-events", tags=["audit"])


async def _wanted(
    *,
    actor_id: UUID | None = None,
    action: Annotated[
        str | None,
        Query(max_length=100, pattern=_ACTION, description="`user.created`, or all of `user.*`."),
    ] = None,
    target_type: Annotated[Text | None, Query(max_length=100)] = None,
    target_id: Annotated[Text | None, Query(max_length=200)] = None,
    api_key_id: UUID | None = None,
    request_id: Annotated[Text | None, Query(max_length=100)] = None,
    ip: Annotated[Text | None, Query(max_length=100)] = None,
    since: Annotated[Moment | None, Query(description="Not before this.")] = None,
    until: Annotated[Moment | None, Query(description="Before this.")] = None,
) -> EventFilter:
    return EventFilter(
        actor_id=actor_id,
        action=action,
        target_type=target_type,
        target_id=target_id,
        api_key_id=api_key_id,
        request_id=request_id,
        ip=ip,
        since=since,
        until=until,
    )


async def _queue(request: Request) -> Queue:
    queue: Queue = request.app.state.queue
    return queue


Wanted = Annotated[EventFilter, Depends(_wanted)]
TheQueue = Annotated[Queue, Depends(_queue)]


@router.get("", response_model=PageView[AuditEventView])
async def list_audit_events(
    runtime: Running, caller: Caller, wanted: Wanted, paging: Paging
) -> Page[AuditEventView]:
    """Who changed what in your tenant, the newest first. For admins."""
    return await reading.page(runtime.sessions, caller, wanted, paging, clock=runtime.clock)


# Before `/{id}`, which would take the words for an id.
@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                "application/jsonl": {"schema": {"type": "string"}},
            }
        }
    },
)
async def export_audit_events(
    runtime: Running,
    caller: Caller,
    request: Request,
    wanted: Wanted,
    format: ExportFormat = ExportFormat.CSV,
) -> StreamingResponse:
    """Take the events away as a file, the newest first. That you did is an event, too. An answer
    that breaks off is not the whole of them. For admins."""
    async with open_work(runtime.sessions, caller, clock=runtime.clock) as work:
        await service.note_export(work, format, wanted)
    name = f"audit-events-{runtime.clock():%Y%m%dT%H%M%SZ}.{format}"
    return _Whole(
        _exported(runtime, request, wanted, format),
        media_type=exporting.MEDIA[format],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.get("/verification", response_model=TrailView)
async def read_audit_trail(work: Reading) -> TrailView:
    """How far your tenant's events are sealed against changes, and when they were last verified.
    For admins."""
    return await service.trail(work)


@router.post("/verification", status_code=202, response_model=VerificationStarted)
async def verify_audit_trail(
    work: Writing, queue: TheQueue, response: Response
) -> VerificationStarted:
    """Verify your tenant's events against their seals, in the background. What was found stands
    in the job's result, and is an event of its own. For admins."""
    id = await service.start_verification(work, queue)
    response.headers["Location"] = f"/api/v1/jobs/{id}"
    return VerificationStarted(job_id=id)


@router.get("/{id}", response_model=AuditEventView)
async def read_audit_event(runtime: Running, caller: Caller, id: UUID) -> AuditEventView:
    """Read one. For admins."""
    async with open_work(runtime.sessions, caller, read_only=True, clock=runtime.clock) as work:
        event = await service.get(work, id)
    return (await reading.named(runtime.sessions, [event]))[0]


class _Whole(StreamingResponse):
    """Has an end only if all of it was sent. Otherwise the connection breaks off, so that nobody
    takes a part for the whole."""

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        except MaestroError as failed:
            log.warning("audit.export_stopped", reason=failed.code)


async def _exported(
    runtime: Runtime, request: Request, wanted: EventFilter, format: ExportFormat
) -> AsyncIterator[str]:
    """Each page is read by itself, and the caller is asked for anew: who may no longer see them
    gets no more."""
    yield exporting.HEADERS[format]()
    access: Access = request.state.access
    cursor: str | None = None
    while True:
        asked = PageRequest(EXPORTED_AT_ONCE, cursor)
        page = await reading.page(runtime.sessions, access, wanted, asked, clock=runtime.clock)
        yield exporting.LINES[format](page.items)
        cursor = page.next_cursor
        if cursor is None:
            return
        if runtime.stopping.is_set():
            raise Unavailable("The server is stopping.")
        access = await runtime.authenticate(request)
