"""Removing for good: what was deleted long enough ago goes with all that hangs on it, nothing else
does, and the trail says so."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.cli import gc
from maestro_ml.cli.output import Refused
from maestro_ml.core.access import Access, Role
from maestro_ml.core.errors import Forbidden
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, Work, open_work
from maestro_ml.tracking.models import (
    Experiment,
    LatestMetric,
    LoggedModel,
    Param,
    Run,
    RunModel,
    RunTag,
)
from maestro_ml.tracking.schemas import Batch, LogParam, SetTag
from maestro_ml.tracking.schemas_models import LoggedModelCreate, ModelOutput
from maestro_ml.tracking.service import experiments, inputs, logged_models, logs, removal, runs
from support import ACME, OTHER, SHOP, caller
from support.tracking import a_point, a_run, an_experiment

LOGGED = Batch(
    metrics=[a_point(1.0), a_point(2.0, step=1)],
    params=[LogParam(key="p", value="v")],
    tags=[SetTag(key="t", value="v")],
)


@pytest.fixture
async def things(sessions: Sessions) -> dict[str, UUID]:
    """An active experiment with a run of each age, and one that was deleted with its run."""
    async with open_work(sessions, caller()) as work:
        kept, gone = await an_experiment(work), await an_experiment(work, "gone")
        made = {name: await a_run(work, kept, name) for name in ("active", "fresh", "old")}
        made |= {"kept": kept, "gone": gone, "inside": await a_run(work, gone)}
        for name in ("active", "old"):
            await logs.log_batch(work, made[name], LOGGED)
        await runs.delete(work, made["fresh"])
        await runs.delete(work, made["old"])
        for name in ("model", "fresh model", "old model"):
            command = LoggedModelCreate(experiment_id=kept, source_run_id=made["active"])
            made[name] = (await logged_models.create(work, command)).model.id
            edge = [ModelOutput(model_id=made[name])]
            await inputs.log_outputs(work, made["active"], edge)
        await logged_models.delete(work, made["fresh model"])
        await logged_models.delete(work, made["old model"])
        await experiments.delete(work, gone)
        for row, name in (
            *((Run, "old"), (Run, "inside")),
            *((LoggedModel, "old model"), (Experiment, "gone")),
        ):
            long_ago = work.now - timedelta(days=40)
            await work.session.execute(
                update(row).where(row.id == made[name]).values(deleted_at=long_ago)
            )
    async with open_work(sessions, caller(tenant=OTHER)) as work:
        await runs.delete(work, await a_run(work, await an_experiment(work, project=SHOP)))
    return made


async def left(sessions: Sessions, column: Any) -> set[UUID]:
    async with sessions.begin(SYSTEM) as session:
        return set(await session.scalars(select(column)))


async def test_what_was_deleted_long_ago_is_removed_with_all_that_hangs_on_it(
    sessions: Sessions, things: dict[str, UUID]
) -> None:
    async with open_work(sessions, Access.system(ACME)) as work:
        before = work.now - timedelta(days=30)
        assert await removal.removable(work, before) == removal.Removable(2, 1, 1)
        assert await removal.remove_experiments(work, before) == []  # it has a run
    async with open_work(sessions, Access.system(ACME)) as work:
        gone = await removal.remove_runs(work, before)
        assert gone == sorted([things["old"], things["inside"]])
        assert await removal.remove_runs(work, before, gone[-1]) == []
        assert await removal.remove_logged_models(work, before) == [things["old model"]]
        assert await removal.remove_experiments(work, before) == [things["gone"]]
    assert len(await left(sessions, Run.id) - {things["active"], things["fresh"]}) == 1  # OTHER's
    kept_models = {things["model"], things["fresh model"]}
    for column in (LoggedModel.id, RunModel.model_id):
        assert await left(sessions, column) == kept_models
    for part in (LatestMetric, Param, RunTag):
        assert things["old"] not in await left(sessions, part.run_id)
        assert things["active"] in await left(sessions, part.run_id)
    async with open_work(sessions, caller()) as work:
        assert (await runs.get(work, things["active"])).params == {"p": "v"}
        events = (await work.session.scalars(select(AuditEvent).order_by(AuditEvent.id))).all()
        removed = [e for e in events if e.action.endswith(".removed")]
        assert [(e.action, e.actor_kind) for e in removed] == [
            *[("run.removed", "system")] * 2,
            ("logged_model.removed", "system"),
            ("experiment.removed", "system"),
        ]
        assert {UUID(e.target_id) for e in removed} == {
            *(things["old"], things["inside"], things["old model"], things["gone"])
        }
        await an_experiment(work, "gone")  # its name is free again


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER])
async def test_it_takes_a_maintainer(work: Work, role: Role) -> None:
    low = replace(work, access=caller(role))
    for verb in (
        *(removal.removable, removal.remove_runs),
        *(removal.remove_logged_models, removal.remove_experiments),
    ):
        with pytest.raises(Forbidden):
            await verb(low, work.now)


async def test_the_command_counts_and_removes_when_told_to(
    database: str,
    sessions: Sessions,
    things: dict[str, UUID],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MAESTRO_DATABASE__URL", database)

    async def maestro_gc(**options: Any) -> Any:
        await asyncio.to_thread(gc.collect, as_json=True, **options)
        return json.loads(capsys.readouterr().out)

    none = {"runs": 0, "logged_models": 0, "experiments": 0}
    acme, other = {"tenant": "acme"}, {"tenant": "other"}
    due = {**acme, "runs": 2, "logged_models": 1, "experiments": 1}
    for cautious in ({}, {"dry_run": True, "yes": True}):
        found = await maestro_gc(**cautious)
        assert found == [due, {"tenant": "default", **none}, {**other, **none}]
    assert await maestro_gc(tenant="other", older_than=0) == [{**other, **none, "runs": 1}]
    with pytest.raises(Refused, match="nobody"):
        await maestro_gc(tenant="nobody", yes=True)
    assert things["old"] in await left(sessions, Run.id)
    assert await maestro_gc(tenant="acme", yes=True) == [due]
    assert await maestro_gc(tenant="acme", yes=True) == [{**acme, **none}]
    assert not {things["old"], things["inside"]} & await left(sessions, Run.id)
    assert things["gone"] not in await left(sessions, Experiment.id)
