"""Runs: named, ended, deleted and restored; and who may see and change tracking."""

import pytest
from sqlalchemy import select

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Access, Role
from maestro_ml.core.errors import Forbidden
from maestro_ml.core.ids import new_id
from maestro_ml.db.work import Sessions, Work, open_work
from maestro_ml.projects.models import Project, Visibility
from maestro_ml.tracking.errors import ExperimentNotFound, RunDeleted, RunNameUnclear, RunNotFound
from maestro_ml.tracking.models import RunStatus
from maestro_ml.tracking.schemas import (
    Batch,
    ExperimentCreate,
    RunChange,
    RunCreate,
    SetExperimentTag,
    SetTag,
)
from maestro_ml.tracking.search.tree import Search
from maestro_ml.tracking.service import experiments, logs, metrics, runs
from support import LAB, OTHER, SHOP, caller
from support.tracking import ALL, NOON, a_point, a_run, an_experiment


async def test_a_run_needs_an_experiment(work: Work) -> None:
    with pytest.raises(ExperimentNotFound):
        await runs.create(work, RunCreate(experiment_id=new_id()))


async def test_a_run_has_one_name_in_two_places(work: Work) -> None:
    experiment = await an_experiment(work)
    named = RunCreate(experiment_id=experiment, tags=[SetTag(key=runs.NAME_TAG, value="by tag")])
    run = (await runs.create(work, named)).run
    assert run.name == "by tag"
    await runs.update(work, run.id, RunChange(name="renamed"))
    assert (await runs.get(work, run.id)).tags[runs.NAME_TAG] == "renamed"
    await logs.log_batch(work, run.id, Batch(tags=[SetTag(key=runs.NAME_TAG, value="again")]))
    assert (await runs.get(work, run.id)).run.name == "again"
    with pytest.raises(RunNameUnclear):
        await runs.create(
            work,
            RunCreate(
                experiment_id=experiment, name="a", tags=[SetTag(key=runs.NAME_TAG, value="b")]
            ),
        )
    assert (await runs.create(work, RunCreate(experiment_id=experiment))).run.name


async def test_the_end_of_a_run_is_announced_once(work: Work) -> None:
    heard: list[tuple[str, object]] = []

    async def hear(_: Work, event: str, facts: object) -> None:
        heard.append((event, facts))

    run = await a_run(work)
    heard.clear()
    work = Work(work.session, work.access, work.now, [hear])
    await runs.update(work, run, RunChange(status=RunStatus.FINISHED, end_time=NOON))
    await runs.update(work, run, RunChange(status=RunStatus.FINISHED))
    assert [event for event, _ in heard] == ["run.finished"]
    assert (await runs.get(work, run)).run.end_time == NOON


async def test_a_deleted_run_refuses_writes_until_it_is_restored(work: Work) -> None:
    run = await a_run(work)
    await runs.delete(work, run)
    await runs.delete(work, run)
    for verb in (
        logs.log_batch(work, run, Batch(metrics=[a_point(1)])),
        logs.delete_tag(work, run, runs.NAME_TAG),
        runs.update(work, run, RunChange(name="x")),
    ):
        with pytest.raises(RunDeleted):
            await verb
    await runs.restore(work, run)
    await logs.log_batch(work, run, Batch(metrics=[a_point(1)]))
    await work.session.flush()
    actions = (await work.session.scalars(select(AuditEvent.action))).all()
    assert actions.count("run.deleted") == actions.count("run.restored") == 1


async def test_viewers_read_and_do_not_write(sessions: Sessions) -> None:
    async with open_work(sessions, caller(Role.MEMBER)) as work:
        experiment = await an_experiment(work)
        run = await a_run(work, experiment)
    async with open_work(sessions, caller(Role.VIEWER)) as work:
        await runs.get(work, run)
        for verb in (
            experiments.create(work, ExperimentCreate(project_id=LAB, name="x")),
            experiments.rename(work, experiment, "x"),
            experiments.delete(work, experiment),
            experiments.restore(work, experiment),
            experiments.set_tag(work, experiment, SetExperimentTag(key="a")),
            experiments.delete_tag(work, experiment, "a"),
            runs.create(work, RunCreate(experiment_id=experiment)),
            runs.update(work, run, RunChange()),
            runs.delete(work, run),
            runs.restore(work, run),
            logs.log_batch(work, run, Batch()),
            logs.delete_tag(work, run, "a"),
        ):
            with pytest.raises(Forbidden):
                await verb


@pytest.mark.parametrize(
    "outsider", ["another tenant", "not in the team", "key of another project"]
)
async def test_outsiders_find_nothing(sessions: Sessions, outsider: str) -> None:
    async with open_work(sessions, caller()) as work:
        experiment = await an_experiment(work)
        run = await a_run(work, experiment)
        await logs.log_batch(work, run, Batch(metrics=[a_point(1)]))
        if outsider == "not in the team":
            (await work.session.get_one(Project, LAB)).visibility = Visibility.PRIVATE
    access = {
        "another tenant": caller(tenant=OTHER),
        "not in the team": caller(Role.MEMBER),
        "key of another project": Access(
            actor_id=new_id(),
            tenant_id=caller().tenant_id,
            role=Role.ADMIN,
            only_projects=frozenset({SHOP}),
        ),
    }[outsider]
    async with open_work(sessions, access) as work:
        for verb in (
            experiments.get(work, experiment),
            experiments.delete(work, experiment),
            runs.get(work, run),
            runs.create(work, RunCreate(experiment_id=experiment)),
            runs.delete(work, run),
            logs.log_batch(work, run, Batch()),
            metrics.history(work, run, "loss", ALL),
        ):
            with pytest.raises((ExperimentNotFound, RunNotFound)):
                await verb
        assert (await runs.search(work, [experiment], Search())).items == []
