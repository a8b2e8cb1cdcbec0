"""Experiments: named once, the default one kept, deleted and restored with their runs."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from maestro_ml.audit.models import AuditEvent
from maestro_ml.db.work import Sessions, Work, open_work
from maestro_ml.projects.schemas import ProjectCreate
from maestro_ml.projects.service import projects
from maestro_ml.tracking.errors import (
    DefaultExperimentKept,
    ExperimentActive,
    ExperimentDeleted,
    ExperimentGone,
    ExperimentNameTaken,
    RunDeleted,
    TagNotFound,
)
from maestro_ml.tracking.handlers import listen
from maestro_ml.tracking.models import LifecycleStage
from maestro_ml.tracking.schemas import Batch, RunCreate, SetExperimentTag, SetTag
from maestro_ml.tracking.search.tree import Search, View
from maestro_ml.tracking.service import experiments, logs, runs
from support import LAB, caller
from support.tracking import a_run, an_experiment


async def test_an_experiment_is_created_once_by_name(work: Work) -> None:
    id = await an_experiment(work)
    assert (await experiments.find(work, LAB, "churn")).experiment.id == id
    with pytest.raises(ExperimentNameTaken):
        await an_experiment(work)


async def test_an_experiment_is_renamed_deleted_and_restored_on_the_record(work: Work) -> None:
    id = await an_experiment(work)
    await experiments.rename(work, id, "churn 2")
    await experiments.delete(work, id)
    with pytest.raises(ExperimentGone):
        await experiments.delete(work, id)
    with pytest.raises(ExperimentDeleted):
        await experiments.rename(work, id, "churn 3")
    await experiments.restore(work, id)
    with pytest.raises(ExperimentActive):
        await experiments.restore(work, id)
    await work.session.flush()
    actions = await work.session.scalars(select(AuditEvent.action).order_by(AuditEvent.id))
    assert [a.removeprefix("experiment.") for a in actions] == [
        "created",
        "renamed",
        "deleted",
        "restored",
    ]


async def test_a_name_that_is_taken_is_not_given_by_renaming(work: Work) -> None:
    await an_experiment(work, "a")
    id = await an_experiment(work, "b")
    with pytest.raises(ExperimentNameTaken):
        await experiments.rename(work, id, "a")


async def test_the_default_experiment_is_one_and_stays(work: Work) -> None:
    await listen(work, "project.created", {"project_id": str(LAB)})
    await listen(work, "project.archived", {"project_id": str(LAB)})
    made = await experiments.default(work, LAB)
    assert (await experiments.default(work, LAB)).id == made.id
    with pytest.raises(DefaultExperimentKept):
        await experiments.delete(work, made.id)
    with pytest.raises(DefaultExperimentKept):
        await experiments.rename(work, made.id, "mine")


async def test_everybody_who_asks_at_once_gets_the_same_default_experiment(
    sessions: Sessions,
) -> None:
    async def ask() -> UUID:
        async with open_work(sessions, caller()) as work:
            return (await experiments.default(work, LAB)).id

    assert len(set(await asyncio.gather(*(ask() for _ in range(8))))) == 1


async def test_a_new_project_begins_with_its_default_experiment(work: Work) -> None:
    work = Work(work.session, work.access, work.now, [listen])
    project = await projects.create(work, ProjectCreate(name="Churn"))
    assert (await experiments.find(work, project.id, experiments.DEFAULT)).tags == {}


async def test_deleting_an_experiment_takes_its_runs_and_restoring_brings_all_back(
    work: Work,
) -> None:
    experiment = await an_experiment(work)
    kept, gone = await a_run(work, experiment), await a_run(work, experiment)
    await runs.delete(work, gone)
    later = Work(work.session, work.access, work.now + timedelta(seconds=1))
    await experiments.delete(later, experiment)
    work.session.expire_all()
    assert (await runs.get(work, kept)).run.lifecycle_stage is LifecycleStage.DELETED
    for verb in (runs.create(work, RunCreate(experiment_id=experiment)), runs.restore(work, gone)):
        with pytest.raises(ExperimentDeleted):
            await verb
    with pytest.raises(RunDeleted):
        await logs.log_batch(work, kept, Batch(tags=[SetTag(key="a")]))
    await experiments.restore(later, experiment)
    work.session.expire_all()
    assert (await runs.get(work, kept)).run.lifecycle_stage is LifecycleStage.ACTIVE
    # As on MLflow's own server, even what was deleted before its experiment was.
    assert (await runs.get(work, gone)).run.lifecycle_stage is LifecycleStage.ACTIVE


async def test_of_two_who_delete_it_at_once_one_does_and_restoring_brings_its_runs_back(
    sessions: Sessions,
) -> None:
    async with open_work(sessions, caller()) as work:
        experiment = await an_experiment(work)
        run = await a_run(work, experiment)

    async def delete() -> bool:
        try:
            async with open_work(sessions, caller()) as work:
                await experiments.delete(work, experiment)
        except ExperimentGone:
            return False
        return True

    assert sum(await asyncio.gather(*(delete() for _ in range(6)))) == 1
    async with open_work(sessions, caller()) as work:
        await experiments.restore(work, experiment)
    async with open_work(sessions, caller()) as work:
        assert (await runs.get(work, run)).run.lifecycle_stage is LifecycleStage.ACTIVE


async def test_tags_of_an_experiment_are_set_changed_and_taken_away(work: Work) -> None:
    id = await an_experiment(work)
    await experiments.set_tag(work, id, SetExperimentTag(key="team", value="a"))
    await experiments.set_tag(work, id, SetExperimentTag(key="team", value="b"))
    assert (await experiments.get(work, id)).tags == {"team": "b"}
    await experiments.delete_tag(work, id, "team")
    await work.session.flush()
    assert (await experiments.get(work, id)).tags == {}
    with pytest.raises(TagNotFound):
        await experiments.delete_tag(work, id, "team")


async def test_experiments_are_listed_page_by_page(work: Work) -> None:
    made = [await an_experiment(work, f"e{n}") for n in range(5)]
    await experiments.delete(work, made[0])
    found, cursor = [], None
    while True:
        page = await experiments.search(work, LAB, Search(limit=2, cursor=cursor))
        found += [record.experiment.id for record in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(found) == sorted(made[1:])
    deleted = await experiments.search(work, LAB, Search(view=View.DELETED))
    assert [r.experiment.id for r in deleted.items] == made[:1]
