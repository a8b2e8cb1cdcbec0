"""`/api/v1/approvals`."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request

from maestro_ml.approvals.errors import ApprovalExpired
from maestro_ml.approvals.models import ApprovalRequest, ApprovalState
from maestro_ml.approvals.schemas import (
    ApprovalCreate,
    ApprovalDetail,
    ApprovalFilter,
    ApprovalView,
    OverrideCommand,
    VoteCast,
)
from maestro_ml.approvals.service import deciding, evidence, reading, requests
from maestro_ml.approvals.service.lookup import Kinds
from maestro_ml.core.paging import Page
from maestro_ml.core.schemas import PageView
from maestro_ml.db.work import Work, open_work
from maestro_ml.http.deps import Caller, Paging, Reading, Running, Runtime, Writing

router = APIRouter(prefix="/approvals", tags=["approvals"])


async def kinds_of(request: Request) -> Kinds:
    kinds: Kinds = request.app.state.subjects
    return kinds


async def _wanted(wanted: Annotated[ApprovalFilter, Query()]) -> ApprovalFilter:
    return wanted


TheKinds = Annotated[Kinds, Depends(kinds_of)]


@router.get("", response_model=PageView[ApprovalView])
async def list_approvals(
    work: Reading, paging: Paging, wanted: Annotated[ApprovalFilter, Depends(_wanted)]
) -> Page[ApprovalView]:
    """What is and was asked for in the projects you see, the newest first. `awaiting_me` is the
    inbox of who decides."""
    page = await requests.search(work, wanted, paging)
    return Page(await reading.named(work, page.items), page.next_cursor)


@router.post("", status_code=201, response_model=ApprovalDetail)
async def create_approval(work: Writing, kinds: TheKinds, body: ApprovalCreate) -> ApprovalDetail:
    """Ask that a protected alias may move to a target, or be taken away. The automatic gates of
    the policy begin to run; people vote when they have passed."""
    request = await requests.open_request(work, kinds, body)
    return await reading.get(work, request.id)


@router.get("/{id}", response_model=ApprovalDetail)
async def read_approval(work: Reading, id: UUID) -> ApprovalDetail:
    """Read one, with its evidence, its votes and what is still missing."""
    return await reading.get(work, id)


@router.post("/{id}/votes", response_model=ApprovalDetail)
async def vote_on_approval(
    runtime: Running, caller: Caller, kinds: TheKinds, id: UUID, body: VoteCast
) -> ApprovalDetail:
    """Approve it, or reject it with a reason; in a session, no API key votes. With the last vote
    that it takes the alias has moved when you read the answer. Who asked for it or made it, be it
    by a service account, does not vote on it."""
    return await _decided(runtime, caller, id, lambda work: deciding.vote(work, kinds, id, body))


@router.post("/{id}/withdrawal", response_model=ApprovalDetail)
async def withdraw_approval(work: Writing, id: UUID) -> ApprovalDetail:
    """Take a request back: your own, or as a maintainer of its project."""
    await requests.withdraw(work, id)
    return await reading.get(work, id)


@router.post("/{id}/override", response_model=ApprovalDetail)
async def override_approval(
    runtime: Running, caller: Caller, kinds: TheKinds, id: UUID, body: OverrideCommand
) -> ApprovalDetail:
    """In an emergency, let it happen without the votes and evidence that it takes, if the policy
    allows that. It stands out in the audit trail. For admins, in a session."""
    return await _decided(
        runtime, caller, id, lambda work: deciding.override(work, kinds, id, body)
    )


@router.post("/{id}/evidence/{evidence_id}/retry", status_code=201, response_model=ApprovalDetail)
async def retry_evidence(work: Writing, id: UUID, evidence_id: UUID) -> ApprovalDetail:
    """Run an automatic gate again that has failed or broken. Its earlier answers are kept."""
    await evidence.retry(work, id, evidence_id)
    return await reading.get(work, id)


async def _decided(
    runtime: Runtime,
    caller: Caller,
    id: UUID,
    decide: Callable[[Work], Awaitable[ApprovalRequest]],
) -> ApprovalDetail:
    """Whether it expired instead is told when that is committed: a refusal would undo it."""
    async with open_work(runtime.sessions, caller, clock=runtime.clock) as work:
        request = await decide(work)
        detail = await reading.get(work, id)
    if request.state is ApprovalState.EXPIRED:
        raise ApprovalExpired(request.ended_because or "")
    return detail
