"""What the worker runs of this package."""

import asyncio
from uuid import UUID

import structlog
from pydantic import ValidationError

from maestro_ml.approvals.models import ApprovalRequest
from maestro_ml.approvals.ports import Gate, GateResult, Subjects
from maestro_ml.approvals.service import evidence, requests
from maestro_ml.approvals.service.lookup import Kinds, asked
from maestro_ml.core.access import Access
from maestro_ml.core.errors import MaestroError
from maestro_ml.db.work import open_work
from maestro_ml.jobs.context import JobCancelled, JobContext, LeaseLost

log = structlog.get_logger()


async def gate(kinds: Kinds, job: JobContext) -> None:
    """Run one automatic gate, and write down what it found."""
    id = UUID(job.payload["evidence_id"])
    async with job.open_work() as work:
        begun = await evidence.begin(work, id)
    if begun is None:
        return
    request, wanted, seconds = begun
    answer = await _answer(kinds.get(request.subject_kind), job, request, wanted, seconds)
    async with job.open_work() as work:
        state = await evidence.settle(work, kinds, id, answer)
    job.result = {"gate": wanted.kind, "state": state}


async def sweep(kinds: Kinds, job: JobContext) -> None:
    """Close requests whose time ran out or whose ground has moved, and give up gates whose job
    died."""
    after = UUID(int=0)
    while True:
        async with job.open_system_work(read_only=True) as work:
            found = await requests.undecided(work, after)
        for tenant_id, id in found:
            system = Access.system(tenant_id)
            try:
                async with open_work(job.sessions, system, clock=job.clock) as work:
                    await requests.expire_if_moved(work, kinds, id)
            except MaestroError as refused:  # gone by now; the others are looked at all the same
                log.info("approvals.not_swept", approval_id=str(id), reason=refused.code)
        if not found:
            return
        after = found[-1][1]
        await job.heartbeat()


async def _answer(
    subjects: Subjects | None, job: JobContext, request: ApprovalRequest, wanted: Gate, seconds: int
) -> GateResult | str:
    """What the gate says, or why that counts for nothing. It hangs, dies and lies by itself."""
    if subjects is None:
        return "This server knows nothing of what is asked about."
    running = asyncio.ensure_future(subjects.run(job, asked(request), wanted))
    try:
        await asyncio.wait({running}, timeout=seconds)
    finally:
        running.cancel()
    if not running.done():
        return f"It gave no answer within {seconds} seconds."
    if running.cancelled():
        return "It was stopped before it had an answer."
    died = running.exception()
    if isinstance(died, JobCancelled | LeaseLost):  # the job's own affair
        raise died
    if died is not None:
        log.warning("approvals.gate_died", gate=wanted.kind, exc_info=died)
        return "It died; the log says of what, under the job's id."
    try:
        return GateResult.model_validate(running.result())
    except ValidationError:
        return "Its answer is not one that a gate gives."
