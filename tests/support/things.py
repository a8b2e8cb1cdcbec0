"""Things that are put up for approval in tests: an experiment whose tags say what it consists of
and where its aliases point. So an alias moves in the transaction that grants it, or not at all."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import delete, select

from maestro_ml.approvals import handlers
from maestro_ml.approvals.ports import Asked, Gate, GateResult, Subject, Target
from maestro_ml.core.clock import Clock, utc_now
from maestro_ml.core.ids import new_id
from maestro_ml.db.upsert import upsert
from maestro_ml.db.work import Sessions, Work, open_work
from maestro_ml.jobs.context import JobContext
from maestro_ml.jobs.service import enqueue_internal
from maestro_ml.jobs.worker import Worker
from maestro_ml.tracking.models import Experiment, ExperimentTag
from support.world import ACME, LAB, caller


class Says(BaseModel):
    """What a test's gate does."""

    model_config = ConfigDict(extra="forbid")

    does: Literal["pass", "fail", "hang", "die", "lie", "elsewhere", "half"] = "pass"
    at_most: int = Field(1, ge=0)


INPUTS = {"model.bin": "0" * 64}


class Things:
    """The port's implementation. `does` overrules what a policy has asked the gate to do."""

    gates: Mapping[str, type[BaseModel]] = {"says": Says}

    def __init__(self) -> None:
        self.does: str | None = None
        self.asked: list[Asked] = []

    async def subject(self, work: Work, id: UUID) -> Subject | None:
        thing = await work.session.get(Experiment, id)
        return None if thing is None else Subject(thing.id, thing.project_id, thing.name)

    async def target(
        self, work: Work, subject_id: UUID, alias: str, target: str | None
    ) -> Target | None:
        thing = await self.subject(work, subject_id)
        tags = await tags_of(work, subject_id)
        if target is None:
            target = tags.get(f"alias:{alias}")
        files = tags.get(f"files:{target}")
        if thing is None or files is None:
            return None
        authors = frozenset(UUID(id) for id in tags.get(f"authors:{target}", "").split())
        return Target(f"{thing.name} {target}", files, authors)

    async def on_granted(self, work: Work, asked: Asked) -> None:
        key = f"alias:{asked.alias}"
        if asked.target is None:
            await work.session.execute(
                delete(ExperimentTag).where(
                    ExperimentTag.experiment_id == asked.subject_id, ExperimentTag.key == key
                )
            )
        else:
            await tag(work, asked.subject_id, **{key: asked.target})

    async def inputs(self, work: Work, asked: Asked, gate: Gate) -> Mapping[str, str]:
        return INPUTS

    async def run(self, job: JobContext, asked: Asked, gate: Gate) -> GateResult:
        self.asked.append(asked)
        does = self.does or Says.model_validate(gate.parameters).does
        about: Any = {"inputs": INPUTS, "details": {"seen": [1, 2.5]}}
        match does:
            case "hang":
                await asyncio.Event().wait()
            case "die":
                raise ZeroDivisionError("a secret of the machine")
            case "lie":
                return {"passed": "of course"}  # type: ignore[return-value]
            case "half":
                return GateResult.model_construct(passed=True, summary="x" * 501, fingerprint="x")
            case "elsewhere":
                return GateResult(passed=True, summary="Fine.", fingerprint="other", **about)
        passed = does == "pass"
        summary = "All is well." if passed else "It is too slow."
        return GateResult(passed=passed, summary=summary, fingerprint=asked.fingerprint, **about)


THINGS = Things()
KINDS = {"thing": THINGS}


async def tags_of(work: Work, id: UUID) -> dict[str, str]:
    query = select(ExperimentTag.key, ExperimentTag.value).where(ExperimentTag.experiment_id == id)
    return dict(list(await work.session.execute(query)))


async def tag(work: Work, id: UUID, **tags: str) -> None:
    rows = [
        {"experiment_id": id, "key": key, "value": value, "created_at": work.now}
        for key, value in tags.items()
    ]
    await upsert(work, ExperimentTag, rows, key=("experiment_id", "key"), change=("value",))


async def a_thing(
    sessions: Sessions,
    *authors: UUID,
    project: UUID = LAB,
    tenant: UUID = ACME,
    name: str = "churn",
) -> UUID:
    """With the targets 1 to 3, made by these."""
    async with open_work(sessions, caller(tenant=tenant)) as work:
        thing = Experiment(
            project_id=project,
            name=f"{name} {new_id().hex[-6:]}",
            created_at=work.now,
            updated_at=work.now,
        )
        work.session.add(thing)
        await work.session.flush()
        made = " ".join(map(str, authors))
        for number in "123":
            files = {f"files:{number}": f"sha-{number}", f"authors:{number}": made}
            await tag(work, thing.id, **files)
        return thing.id


async def alias(sessions: Sessions, thing: UUID, name: str = "production") -> str | None:
    """Where it points."""
    async with open_work(sessions, caller(), read_only=True) as work:
        return (await tags_of(work, thing)).get(f"alias:{name}")


async def change(sessions: Sessions, thing: UUID, **tags: str) -> None:
    async with open_work(sessions, caller()) as work:
        await tag(work, thing, **tags)


async def forget(sessions: Sessions, thing: UUID, key: str) -> None:
    async with open_work(sessions, caller()) as work:
        which = (ExperimentTag.experiment_id == thing, ExperimentTag.key == key)
        await work.session.execute(delete(ExperimentTag).where(*which))


def wanted(thing: UUID, target: str | None = "1", **more: Any) -> dict[str, Any]:
    """What asks for its alias `production`."""
    body = {"subject_kind": "thing", "subject_id": str(thing), "alias": "production"}
    return body | {"target": target} | more


def a_worker(sessions: Sessions, clock: Clock = utc_now, things: Things = THINGS) -> Worker:
    kinds = {"thing": things}
    bound = {
        "approvals.gate": partial(handlers.gate, kinds),
        "approvals.sweep": partial(handlers.sweep, kinds),
    }
    return Worker(sessions, bound, clock=clock)


async def work_off(sessions: Sessions, clock: Clock = utc_now, things: Things = THINGS) -> None:
    """All that approvals have to do by now."""
    worker = a_worker(sessions, clock, things)
    while await worker.run_one():
        pass


async def swept(sessions: Sessions, clock: Clock = utc_now) -> None:
    """The same, after what is scheduled was queued."""
    async with open_work(sessions, caller(), clock=clock) as work:
        await enqueue_internal(work, "approvals.sweep", {}, max_attempts=1)
    await work_off(sessions, clock)
