"""Experiments and runs, as use cases."""

import asyncio
import math
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Access, Role
from maestro_ml.core.errors import Forbidden, Invalid
from maestro_ml.core.ids import new_id
from maestro_ml.core.paging import PageRequest
from maestro_ml.db.work import Sessions, Work, open_work
from maestro_ml.projects.models import Project, Visibility
from maestro_ml.projects.schemas import ProjectCreate
from maestro_ml.projects.service import projects
from maestro_ml.tracking.errors import (
    DefaultExperimentKept,
    ExperimentActive,
    ExperimentDeleted,
    ExperimentNameTaken,
    ExperimentNotFound,
    ParamChanged,
    RunDeleted,
    RunNameUnclear,
    RunNotFound,
    TagNotFound,
)
from maestro_ml.tracking.handlers import listen
from maestro_ml.tracking.models import LifecycleStage, MetricPoint, RunStatus
from maestro_ml.tracking.schemas import (
    Batch,
    ExperimentCreate,
    LogMetric,
    LogParam,
    RunChange,
    RunCreate,
    SetExperimentTag,
    SetTag,
)
from maestro_ml.tracking.search.tree import Search, View
from maestro_ml.tracking.service import experiments, logs, metrics, runs
from support import LAB, OTHER, SHOP, caller

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ALL = PageRequest(100_000)


async def an_experiment(work: Work, name: str = "churn", project: UUID = LAB) -> UUID:
    return (await experiments.create(work, ExperimentCreate(project_id=project, name=name))).id


async def a_run(work: Work, experiment: UUID | None = None, name: str = "first") -> UUID:
    experiment = experiment or await an_experiment(work)
    command = RunCreate(experiment_id=experiment, name=name, start_time=NOON)
    return (await runs.create(work, command)).run.id


def a_point(value: float, step: int = 0, seconds: float = 0, key: str = "loss") -> LogMetric:
    return LogMetric(key=key, value=value, step=step, at=NOON + timedelta(seconds=seconds))


async def newest_of(work: Work, run: UUID, key: str = "loss") -> float:
    (value,) = [p.value for p in (await runs.get(work, run)).metrics if p.key == key]
    return value


async def test_an_experiment_is_created_once_by_name(work: Work) -> None:
    id = await an_experiment(work)
    assert (await experiments.find(work, LAB, "churn")).experiment.id == id
    with pytest.raises(ExperimentNameTaken):
        await an_experiment(work)


async def test_an_experiment_is_renamed_deleted_and_restored_on_the_record(work: Work) -> None:
    id = await an_experiment(work)
    await experiments.rename(work, id, "churn 2")
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


async def test_deleting_an_experiment_takes_its_runs_and_restoring_brings_those_back(
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
    assert (await runs.get(work, gone)).run.lifecycle_stage is LifecycleStage.DELETED


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


async def test_a_param_is_written_once(work: Work) -> None:
    run = await a_run(work)
    await logs.log_batch(work, run, Batch(params=[LogParam(key="lr", value="0.1")]))
    await logs.log_batch(work, run, Batch(params=[LogParam(key="lr", value="0.1")]))
    with pytest.raises(ParamChanged):
        await logs.log_batch(work, run, Batch(params=[LogParam(key="lr", value="0.2")]))
    assert (await runs.get(work, run)).params == {"lr": "0.1"}


async def test_a_batch_is_all_or_nothing(sessions: Sessions) -> None:
    async with open_work(sessions, caller()) as work:
        run = await a_run(work)
        await logs.log_batch(work, run, Batch(params=[LogParam(key="lr", value="0.1")]))
    wrong = Batch(
        metrics=[a_point(1)],
        params=[LogParam(key="new", value="1"), LogParam(key="lr", value="0.2")],
        tags=[SetTag(key="t", value="1")],
    )
    with pytest.raises(ParamChanged):
        async with open_work(sessions, caller()) as work:
            await logs.log_batch(work, run, wrong)
    async with open_work(sessions, caller(), read_only=True) as work:
        record = await runs.get(work, run)
    assert (record.metrics, record.params) == ([], {"lr": "0.1"})
    assert "t" not in record.tags


async def test_a_repeated_batch_changes_nothing(work: Work) -> None:
    run = await a_run(work)
    batch = Batch(
        metrics=[a_point(v, s) for s, v in enumerate([1.0, math.nan, math.inf, -math.inf, 1.0])]
        + [a_point(1.0), a_point(math.nan, 1)],
        params=[LogParam(key="lr", value="0.1")],
        tags=[SetTag(key="t", value="1")],
    )
    await logs.log_batch(work, run, batch)
    once = await runs.get(work, run)
    await logs.log_batch(work, run, batch)
    twice = await runs.get(work, run)
    assert (once.params, once.tags) == (twice.params, twice.tags)
    points = await work.session.scalars(select(MetricPoint.step).where(MetricPoint.run_id == run))
    assert sorted(points) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("points", "newest"),
    [
        ([a_point(1, 0), a_point(2, 1)], 2),
        ([a_point(2, 1), a_point(1, 0)], 2),
        ([a_point(1, 1, 9), a_point(2, 1, 3)], 1),
        ([a_point(3, 1, 1), a_point(4, 1, 1)], 4),
        ([a_point(4, 1, 1), a_point(3, 1, 1)], 4),
        ([a_point(1, -1), a_point(2, -2)], 1),
        ([a_point(7, 0), a_point(math.inf, 1)], math.inf),
        ([a_point(-math.inf, 2**63 - 1), a_point(7, 0)], -math.inf),
    ],
)
async def test_the_newest_value_is_by_step_then_time_then_value(
    work: Work, points: list[LogMetric], newest: float
) -> None:
    together, apart = await a_run(work), await a_run(work, await an_experiment(work, "b"))
    await logs.log_batch(work, together, Batch(metrics=points))
    for point in points:
        await logs.log_batch(work, apart, Batch(metrics=[point]))
    assert await newest_of(work, together) == await newest_of(work, apart) == newest


async def test_nan_is_a_value_like_any_other(work: Work) -> None:
    run = await a_run(work)
    await logs.log_batch(work, run, Batch(metrics=[a_point(1, 0), a_point(math.nan, 1)]))
    assert math.isnan(await newest_of(work, run))
    history = await metrics.history(work, run, "loss", ALL)
    assert [str(point.value) for point in history.items] == ["1.0", "nan"]


async def test_history_is_by_time_and_in_pages(work: Work) -> None:
    run = await a_run(work)
    points = [a_point(n, n // 2, seconds=-n) for n in range(7)]
    await logs.log_batch(work, run, Batch(metrics=points))
    found, cursor = [], None
    while True:
        page = await metrics.history(work, run, "loss", PageRequest(3, cursor))
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert [p.value for p in found] == [6, 5, 4, 3, 2, 1, 0]
    assert found[0].at == NOON - timedelta(seconds=6)
    with pytest.raises(Invalid):
        await metrics.history(work, run, "loss", PageRequest(3, "what"))


async def test_writers_to_one_run_take_turns_and_lose_nothing(sessions: Sessions) -> None:
    async with open_work(sessions, caller()) as work:
        run = await a_run(work)

    async def write(writer: int) -> None:
        for step in range(3):
            async with open_work(sessions, caller()) as work:
                batch = Batch(
                    metrics=[a_point(writer, step * 10 + writer), a_point(1, key=f"of {writer}")],
                    params=[LogParam(key="shared", value="same"), LogParam(key=f"p{writer}")],
                    tags=[SetTag(key="last", value=str(writer))],
                )
                await logs.log_batch(work, run, batch)

    await asyncio.gather(*(write(n) for n in range(6)))
    async with open_work(sessions, caller(), read_only=True) as work:
        record = await runs.get(work, run)
        history = await metrics.history(work, run, "loss", ALL)
        newest = await newest_of(work, run)
    assert len(history.items) == 18
    assert newest == 5
    assert len(record.params) == 7
    assert len(record.metrics) == 7


async def test_one_of_two_writers_of_different_params_is_told(sessions: Sessions) -> None:
    async with open_work(sessions, caller()) as work:
        run = await a_run(work)

    async def write(value: str) -> str:
        try:
            async with open_work(sessions, caller()) as work:
                await logs.log_batch(work, run, Batch(params=[LogParam(key="lr", value=value)]))
        except ParamChanged:
            return "told"
        return "kept"

    assert sorted(await asyncio.gather(write("1"), write("2"))) == ["kept", "told"]


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


async def test_a_run_needs_an_experiment(work: Work) -> None:
    with pytest.raises(ExperimentNotFound):
        await runs.create(work, RunCreate(experiment_id=new_id()))


@pytest.mark.parametrize(
    "key",
    ["", ".", "..", "../x", "/x", "x/", "a//b", "./a", "a/../b", "a\n", "a\x00", "k" * 251, "a?"],
)
def test_keys_that_read_as_paths_or_are_too_long_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        SetTag(key=key)


@pytest.mark.parametrize("key", ["a", "a b", "a/b", "a.b", "ä:b-c_d", "k" * 250, "..a"[1:]])
def test_keys_of_mlflow_are_taken(key: str) -> None:
    assert SetTag(key=key).key == key


def test_a_batch_has_its_limits() -> None:
    point, param, tag = a_point(1), LogParam(key="a"), SetTag(key="a")
    Batch(metrics=[point] * 1000)
    for wrong in (
        {"metrics": [point] * 1001},
        {"params": [LogParam(key=f"p{n}") for n in range(101)]},
        {"tags": [tag] * 101},
        {"metrics": [point] * 999, "params": [param], "tags": [tag]},
        {"params": [param, param]},
    ):
        with pytest.raises(ValueError, match="Batch"):
            Batch.model_validate(wrong)


async def test_a_new_project_begins_with_its_default_experiment(work: Work) -> None:
    work = Work(work.session, work.access, work.now, [listen])
    project = await projects.create(work, ProjectCreate(name="Churn"))
    assert (await experiments.find(work, project.id, experiments.DEFAULT)).tags == {}
