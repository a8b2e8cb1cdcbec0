"""Logged models and inputs of runs: by many at once, how much is told, and what goes with what."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import delete, select

from maestro_ml.db.work import Sessions, Work, open_work
from maestro_ml.tracking.errors import LoggedModelNotFound, ParamChanged
from maestro_ml.tracking.models import (
    DatasetInput,
    Experiment,
    LoggedDataset,
    LoggedModel,
    LoggedModelMetric,
    Run,
    RunModel,
)
from maestro_ml.tracking.schemas import Batch, LogMetric
from maestro_ml.tracking.schemas_models import (
    Dataset,
    DatasetUse,
    LoggedModelCreate,
    LogModelParam,
    ModelOutput,
    RunInputs,
)
from maestro_ml.tracking.service import inputs, logged_models, logs, model_metrics, runs
from support import caller
from support.tracking import a_point, a_run, an_experiment


async def a_model(work: Work, experiment: UUID, name: str = "forest") -> UUID:
    command = LoggedModelCreate(experiment_id=experiment, name=name)
    return (await logged_models.create(work, command)).model.id


def uses(*names: str) -> RunInputs:
    datasets = [Dataset(name=n, digest="1", source_type="local", source="{}") for n in names]
    return RunInputs(datasets=[DatasetUse(dataset=dataset) for dataset in datasets])


def about(model: UUID, step: int, key: str = "loss") -> LogMetric:
    return a_point(step / 2, step, seconds=step, key=key).model_copy(update={"model_id": model})


async def test_runs_that_use_the_same_datasets_at_once_share_them(sessions: Sessions) -> None:
    async with open_work(sessions, caller()) as work:
        experiment = await an_experiment(work)
        made = [await a_run(work, experiment, f"run {n}") for n in range(8)]
        model = await a_model(work, experiment)
    names = [f"set {n}" for n in range(5)]

    async def write(number: int, run: UUID) -> None:
        async with open_work(sessions, caller()) as work:
            await inputs.log_inputs(work, run, uses(*(names if number % 2 else names[::-1])))
            await inputs.log_outputs(work, run, [ModelOutput(model_id=model, step=number)])

    await asyncio.gather(*(write(number, run) for number, run in enumerate(made)))
    async with open_work(sessions, caller(), read_only=True) as work:
        kept = list(await work.session.scalars(select(LoggedDataset.name)))
        for number, run in enumerate(made):
            links = (await runs.get(work, run)).links
            assert sorted(used.dataset.name for used in links.datasets) == names
            assert [(made.model_id, made.step) for made in links.models_out] == [(model, number)]
    assert sorted(kept) == names


async def test_one_of_two_writers_of_different_model_params_is_told(sessions: Sessions) -> None:
    async with open_work(sessions, caller()) as work:
        model = await a_model(work, await an_experiment(work))

    async def write(value: str) -> str:
        try:
            async with open_work(sessions, caller()) as work:
                await logged_models.log_params(work, model, [LogModelParam(key="k", value=value)])
        except ParamChanged:
            return "told"
        return "kept"

    assert sorted(await asyncio.gather(write("1"), write("2"))) == ["kept", "told"]


async def test_an_answer_holds_the_newest_points_of_a_model(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = await an_experiment(work)
    run, first = await a_run(work, experiment), await a_model(work, experiment)
    second = await a_model(work, experiment)
    points = [about(first, step, key) for step in (2, 0, 1) for key in ("acc", "loss")]
    await logs.log_batch(work, run, Batch(metrics=[*points, about(second, 9)]))
    record = await logged_models.get(work, first)
    seen = [(point.key, point.step) for point in record.points]
    assert seen == [("acc", 0), ("loss", 0), ("acc", 1), ("loss", 1), ("acc", 2), ("loss", 2)]
    monkeypatch.setattr(model_metrics, "MAX_POINTS", 2)
    record = await logged_models.get(work, first)
    assert [(point.key, point.step) for point in record.points] == seen[-2:]
    both = [(await logged_models.get(work, id)).model for id in (first, second)]
    newest = await model_metrics.newest(work, both)
    assert [len(newest[id]) for id in (first, second)] == [2, 1]


async def test_points_of_a_model_go_with_their_run_and_all_with_the_experiment(
    work: Work,
) -> None:
    experiment = await an_experiment(work)
    run, other = await a_run(work, experiment), await a_run(work, experiment)
    model = await a_model(work, experiment)
    for id in (run, other):
        await logs.log_batch(work, id, Batch(metrics=[about(model, 1)]))
        await inputs.log_inputs(work, id, uses("set"))
        await inputs.log_outputs(work, id, [ModelOutput(model_id=model)])
    await work.session.execute(delete(Run).where(Run.id == run))
    work.session.expire_all()
    assert [p.run_id for p in (await logged_models.get(work, model)).points] == [other]
    await work.session.execute(delete(Experiment).where(Experiment.id == experiment))
    work.session.expire_all()
    for kind in (LoggedModel, LoggedModelMetric, LoggedDataset, DatasetInput, RunModel):
        assert (await work.session.scalars(select(kind.created_at))).all() == []


async def test_a_deleted_model_is_neither_measured_nor_linked(work: Work) -> None:
    experiment = await an_experiment(work)
    run, model = await a_run(work, experiment), await a_model(work, experiment)
    await logged_models.delete(work, model)
    for deed in (
        logs.log_batch(work, run, Batch(metrics=[about(model, 1)])),
        inputs.log_inputs(work, run, RunInputs(models=[model])),
        inputs.log_outputs(work, run, [ModelOutput(model_id=model)]),
    ):
        with pytest.raises(LoggedModelNotFound):
            await deed
